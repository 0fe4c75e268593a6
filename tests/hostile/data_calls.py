"""Shipped models, files of weights, and data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from hostile.call import OBJECT, Call, over
from hostile.world import World

import lrp_explorer as lrp


def zoo() -> Iterator[Call]:
    bad = ("digits-cn", "", "☃", 3, None, True, OBJECT, Path("x"), [])
    yield from over("load_model", lambda w, v: lrp.load_model(v), *bad, words=("model",))
    weights = lambda w, v: lrp.load_model("digits-mlp", weights=v)  # noqa: E731
    bad = ("/nowhere/w.pt", "", "☃.pt", 3, True, OBJECT, "\0.pt", "/", [])
    yield from over("load_model: weights", weights, *bad, words=("weights|file",))
    yield Call("load_model: weights /dev/null", lambda w: weights(w, "/dev/null"), ("'null'", "0 bytes|file"))
    for name, content in (
        ("w.pt", b""),
        ("odd.pt", b"\0" * 99),
        ("w.safetensors", b"{}"),
        ("w.txt", b"x"),
        ("text.pt", b"hello"),
    ):
        yield Call(
            f"load_model: weights {name}", lambda w, n=name, c=content: weights(w, w.file(n, c)), (re.escape(name),)
        )
    for label, content, word in (
        ("a number", 3, "int"),
        ("a list", [1], "list"),
        ("nothing", {}, "dict|empty"),
        ("text", {"a": "b"}, "str"),
        ("others", {"a": torch.zeros(3)}, "digits-mlp|'a'"),
        ("sparse", {"a": torch.eye(3).to_sparse()}, "sparse|'a'"),
    ):
        yield Call(
            f"load_model: weights that hold {label}", lambda w, c=content: weights(w, _saved(w, c)), ("held.pt", word)
        )
    bad = ("digit", "", "☃", 3, None, True, OBJECT, [])
    yield from over("load_dataset", lambda w, v: lrp.load_dataset(v), *bad, words=("data set",))
    folder = lambda w, v: lrp.load_dataset(f"folder:{v}")  # noqa: E731
    yield from over("load_dataset: folder", folder, "/nowhere", "/dev/null", "\0", words=("folder|file",))
    split = lambda w, v: lrp.load_dataset("digits", v)  # noqa: E731
    yield from over("load_dataset: split", split, "validation", "", 3, None, True, [], words=("split",))
    yield from over(
        "load_dataset: card", lambda w, v: lrp.load_dataset("digits", card=v), 3, "x", OBJECT, {}, words=("card",)
    )
    yield from over("digits[…]", lambda w, v: lrp.load_dataset("digits")[v], "x", 1.5, None, True, OBJECT)


def _saved(world: World, content: Any) -> str:
    path = world.folder / "held.pt"
    torch.save(content, path)
    return str(path)

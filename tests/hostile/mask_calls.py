"""Masks of a data set, and files of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from hostile.call import HUGE, INF, NAN, OBJECT, Call, over
from hostile.world import World

import lrp_explorer as lrp


def aggregates() -> Iterator[Call]:
    def of(name: str) -> Callable[[World, Any], Any]:
        return lambda w, v: w.aggregate(**{name: v})

    yield from over("aggregate: limit", of("limit"), 0, -1, 1.5, NAN, True, "9", OBJECT, [], words=("limit",))
    yield from over("aggregate: batch", of("batch"), 0, -1, 1.5, NAN, True, "9", OBJECT, [], words=("batch",))
    yield from over("aggregate: theta", of("theta"), NAN, INF, "0.1", True, HUGE, 1j, OBJECT, [], words=("theta",))
    bad = ([], [0, 0], [-1], [99], "cat", [1.5], True, [True], NAN, OBJECT)
    yield from over("aggregate: classes", of("classes"), *bad, words=("class",))
    yield from over(
        "aggregate: layer", of("layer"), [], ["a", "a"], 3, None, True, "heads", [3], "", OBJECT, words=("layer",)
    )
    yield from over(
        "aggregate: reduce", of("reduce"), [], "xor", "", 3, None, ["and", "and"], [3], OBJECT, words=("reduc",)
    )
    bad = ("quantile(2)", "quantile()", "quantile(x)", "vote(0)", "vote(nan)")
    yield from over("aggregate: q", of("reduce"), *bad, words=("quantile|vote",))
    yield from over("aggregate: target", of("target"), "labels", 3, None, True, OBJECT, words=("target",))
    yield from over("aggregate: seed", of("seed"), "x", 3, None, torch.zeros(2, 5), words=("seed",))
    yield from over("aggregate: composite", of("composite"), "x", 3, None, words=("composite",))
    yield from over("aggregate: semiring", of("semiring"), "x", 3, None, words=("semiring",))
    yield from over("aggregate: runner", of("runner"), "x", 3, None, True, OBJECT, words=("runner",))
    yield from over("aggregate: only_correct", of("only_correct"), "no", 3, None, OBJECT, words=("only_correct",))
    yield from over("aggregate: skip_nonfinite", of("skip_nonfinite"), "no", 3, None, OBJECT, words=("skip_nonfinite",))
    yield from over("aggregate: progress", of("progress"), "no", 3, None, OBJECT, words=("progress",))
    yield from over("aggregate: should_stop", of("should_stop"), 3, "no", True, OBJECT, words=("should_stop",))
    yield from over("aggregate: on_update", of("on_update"), 3, "no", True, OBJECT, words=("on_update",))
    yield from over("aggregate: cache", of("cache"), 3, 1.5, OBJECT, "/dev/null/x", "\0", words=("cache",))
    yield from over("aggregate: weights", of("weights"), "w.pt", 3, words=("weights",))
    data = lambda w, v: w.aggregate(v)  # noqa: E731
    yield from over("aggregate: data", data, 3, True, OBJECT, 1.5, "digit", "", words=("data|folder",))
    yield Call("aggregate: no folder", lambda w: data(w, "folder:/nowhere"), ("/nowhere", "folder:"))
    yield Call("aggregate: no examples", lambda w: lrp.aggregate(w.model, [], progress=False), ("no example|empty",))
    for label, example, words in (
        ("a number", 3, ("int", "tensor")),
        ("text", "x", ("str", "tensor")),
        ("None", None, ("None", "tensor")),
        ("one alone", (torch.zeros(3, 8, 8),), ("label|tuple",)),
        ("of two", (torch.zeros(3, 8, 8), 1.5), ("1.5", "label")),
        ("of text", (torch.zeros(3, 8, 8), "cat"), ("cat", "label")),
        ("of −2", (torch.zeros(3, 8, 8), -2), ("-2", "label")),
        ("far beyond", (torch.zeros(3, 8, 8), 10**30), ("10{10}", "label")),
        ("of truth", (torch.zeros(3, 8, 8), 0.5), ("0.5", "label")),
        ("small", (torch.zeros(3, 2, 2), 0), (r"\(3, 2, 2\)|2, 2",)),
        ("whole", (torch.zeros(3, 8, 8, dtype=torch.int64), 0), ("int64",)),
        ("of NaN", (torch.full((3, 8, 8), NAN), 0), ("nan|not finite",)),
    ):
        yield Call(
            f"aggregate: an example {label}",
            lambda w, e=example: w.aggregate([w.data[0], e], limit=None),
            (*words, "1|2"),
        )
    for value in ("xor", "", 3, None, True, ("input",), ("input", "and", 1), OBJECT):
        yield from over("masks[…]", lambda w, v: w.masks[v], value)
    yield from over("masks.row", lambda w, v: w.masks.row(v), 99, "cat", None, True, 1.5, [], OBJECT, words=("class",))
    yield from over("masks.at_layer", lambda w, v: w.masks.at_layer(v), "heads", None, 3, [], OBJECT, words=("layer",))
    yield from over("masks.save", lambda w, v: w.masks.save(v), "/nowhere/x.safetensors", None, 3, "x.txt", "")
    yield from over("Masks.load", lambda w, v: lrp.Masks.load(v), "/nowhere/x.safetensors", None, 3, "", "\0")
    odd = (("empty.safetensors", b""), ("odd.safetensors", b"\0" * 64), ("text.safetensors", "☃".encode()))
    for name, content in odd:
        yield Call(f"Masks.load {name}", lambda w, n=name, c=content: lrp.Masks.load(w.file(n, c)), (name,))

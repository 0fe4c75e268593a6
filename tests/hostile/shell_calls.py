"""Flags of the command: one line on stderr, code 2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hostile.call import Call
from hostile.world import World


def shell() -> Iterator[Call]:
    """Flags of the command: one line on stderr, code 2."""

    def line(label: str, *argv: Any, words: tuple[str, ...]) -> Call:
        return Call(f"$ {label}", lambda w: _refuse(w.shell(*[a(w) if callable(a) else a for a in argv])), words)

    out = lambda w: str(w.folder / "out.png")  # noqa: E731
    base = ("explain", World.picture, "--model", "digits-mlp", "--out", out, "--device", "cpu")
    for flag, value, words in (
        ("--model", "digits-ml", ("digits-ml", "mean")),
        ("--model", "", ("model",)),
        ("--composite", "x", ("composite", "'x'")),
        ("--composite", "epsilon-gamma-boxx", ("composite",)),
        ("--target", "99", ("99",)),
        ("--target", "-1", ("-1",)),
        ("--target", "cat", ("cat",)),
        ("--target", "", ("class|target",)),
        ("--target", "1.5", ("1.5",)),
        ("--out", "x.txt", ("x.txt", r"\.png")),
        ("--out", "", ("out",)),
        ("--out", "/nowhere/x.png", ("/nowhere",)),
        ("--device", "gpu", ("gpu",)),
        ("--device", "cuda:x", ("cuda:x",)),
        ("--weights", "/nowhere/w.pt", ("/nowhere/w.pt",)),
        ("--weights", "/dev/null", ("null",)),
        ("--weights", "", ("weights",)),
        ("--colour", "red", ("--colour",)),
    ):
        yield line(f"explain {flag} {value!r}", *base, flag, value, words=words)
    rest = base[2:]
    yield line("explain /nowhere.png", "explain", "/nowhere.png", *rest, words=("/nowhere.png",))
    yield line("explain folder", "explain", lambda w: str(w.folder), *rest, words=("folder|directory|image",))
    for name, content in (("empty.png", b""), ("text.png", b"hello"), ("☃.png", b"\x89PNG\r\n\x1a\n")):
        yield line(f"explain {name}", "explain", lambda w, n=name, c=content: w.file(n, c), *rest, words=(name,))
    yield line("explain --layers to a picture", *base, "--layers", words=("layers", "npz"))
    yield line("explain", "explain", words=("image", "required"))
    yield line("explian", "explian", words=("explian",))
    yield line("list nothing", "list", "nothing", words=("nothing",))
    for flag, value in (
        ("--port", "0"),
        ("--port", "-1"),
        ("--port", "99999"),
        ("--port", "http"),
        ("--port", "1.5"),
        ("--ip", "no address"),
        ("--ip", ""),
        ("--ip", "999.1.1.1"),
        ("--device", "gpu"),
        ("--colour", "red"),
    ):
        yield line(f"{flag} {value}", flag, value, "--no-browser", words=(re.escape(value) or "ip",))
    folder = lambda w: str(w.folder / "masks")  # noqa: E731
    masks = ("masks", "digits-mlp", "digits", "--out", folder, "--limit", "1", "--quiet", "--device", "cpu")
    for flag, value, words in (
        ("--limit", "0", ("limit",)),
        ("--limit", "x", ("limit",)),
        ("--batch", "0", ("batch",)),
        ("--theta", "nan", ("theta",)),
        ("--theta", "x", ("theta",)),
        ("--classes", "99", ("99",)),
        ("--classes", "cat", ("cat",)),
        ("--classes", ",", ("class",)),
        ("--reduce", "xor", ("xor",)),
        ("--reduce", "", ("reduc",)),
        ("--reduce", "quantile(2)", ("quantile",)),
        ("--layer", "heads", ("heads",)),
        ("--layer", ",", ("layer",)),
        ("--composite", "x", ("composite",)),
        ("--semiring", "x", ("semiring",)),
        ("--target", "x", ("target",)),
        ("--split", "x", ("split",)),
        ("--runner", "x", ("runner",)),
        ("--weights", "/nowhere/w.pt", ("/nowhere/w.pt",)),
        ("--device", "gpu", ("gpu",)),
        ("--out", "/dev/null", ("/dev/null",)),
        ("--out", "/dev/null/x", ("/dev/null",)),
    ):
        yield line(f"masks {flag} {value!r}", *masks, flag, value, words=words)
    yield line("masks of no model", "masks", "x", "digits", *masks[3:], words=("model", "'x'"))
    yield line("masks of no data", "masks", "digits-mlp", "x", *masks[3:], words=("data set", "'x'"))


class Said(Exception):
    """What the command says where it refuses."""


def _refuse(text: str) -> None:
    raise Said(text)

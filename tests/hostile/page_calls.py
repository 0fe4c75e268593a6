"""The pages in the browser."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from hostile.call import NAN, OBJECT, Call, over

import lrp_explorer as lrp


def pages() -> Iterator[Call]:
    yield from over(
        "explore: model", lambda w, v: lrp.explore(v), "digits-cn", "", 3, True, OBJECT, [], words=("model",)
    )
    data = lambda w, v: lrp.explore(w.model, v)  # noqa: E731
    bad = ("digit", "", 3, True, OBJECT, torch.zeros(3), torch.zeros(0, 3, 8, 8), [])
    yield from over("explore: data", data, *bad, words=("data|given|tensor|label",))
    unequal = (torch.zeros(2, 3, 8, 8), torch.zeros(3))
    yield Call("explore: too many labels", lambda w: data(w, unequal), (r"\b2\b", r"\b3\b", "labels"))
    state = lambda name: lambda w, v: lrp.explore(w.model, w.x, **{name: v})  # noqa: E731
    yield from over("explore: composite", state("composite"), "x", 3, None, words=("composite",))
    yield from over("explore: example", state("example"), 99, -1, "x", 1.5, None, words=("example",))
    yield from over("explore: target", state("target"), -1, "x", 1.5, words=("target|class",))
    yield from over("explore: semiring", state("semiring"), "x", 3, None, words=("semiring",))
    yield from over("explore: theta", state("theta"), -1.0, NAN, "x", None, words=("theta",))
    yield from over(
        "explore: numbers", state("numbers"), {"gamma": "x"}, {"gamma": -1.0}, {"gamma": NAN}, 3, words=("gam|numbers",)
    )
    yield Call("explore: no such number", lambda w: state("numbers")(w, {"gama": 1.0}), ("gama", "gamma"))
    yield from over("explore: view", state("view"), "x", 3, None, words=("view",))
    yield Call("explore: no such trait", state("gama") and (lambda w: state("gama")(w, 1.0)), ("gama",))

"""Semirings, their laws and their thresholds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from hostile.call import GARBAGE, HUGE, INF, NAN, OBJECT, Call, over

from lrp_explorer import semirings
from lrp_explorer.semirings import thresholds


def algebras() -> Iterator[Call]:
    numbers = (-1e-3, 0, 0.0, NAN, INF, "0.1", "", None, True, HUGE, 1j, OBJECT, [0.1], b"1", torch.tensor([0.1, 0.2]))
    numbers += ({"head": -1.0}, {"head": "x"}, {"head": NAN}, {"head": True})
    yield from over("Boolean: theta", lambda w, v: semirings.Boolean(v), *numbers, words=("theta|threshold",))
    yield from over("Counting: theta", lambda w, v: semirings.Counting(v), *numbers[:9], words=("theta|threshold",))
    yield from over(
        "Bottleneck: theta", lambda w, v: semirings.Bottleneck(v), 0.1, 0, "x", NAN, True, words=("theta|threshold",)
    )
    of_layers = lambda w, v: w.session.relevance(semiring=semirings.Boolean({v: 0.1}))  # noqa: E731
    yield from over("theta of layers", of_layers, "heads", 3, "", words=("layer",))
    yield from over(
        "Boolean: strict", lambda w, v: semirings.Boolean(strict=v), "yes", 1, None, OBJECT, words=("strict",)
    )
    yield from over(
        "Viterbi: normalise", lambda w, v: semirings.Viterbi(v), "mean", 1, None, OBJECT, [], words=("normalise",)
    )
    yield from over("Viterbi: edge", lambda w, v: semirings.Viterbi(edge=v), "both", 1, None, [], words=("edge",))
    yield from over(
        "Viterbi: absolute", lambda w, v: semirings.Viterbi(absolute=v), "no", 1, None, [], words=("absolute",)
    )
    yield from over(
        "Viterbi: pooling", lambda w, v: semirings.Viterbi(pooling=v), "max", 1, None, [], words=("pooling",)
    )
    yield from over("Real: theta", lambda w, v: semirings.Real(v), 0.1, "auto", 0, words=("theta",))
    yield from over(
        "Quantile: q", lambda w, v: thresholds.Quantile(v), -0.1, 1.1, NAN, "0.5", True, None, words=("q is",)
    )
    yield from over(
        "Quantile: sample", lambda w, v: thresholds.Quantile(sample=v), 0, -1, 1.5, NAN, True, "9", words=("sample",)
    )
    yield from over("semirings.get", lambda w, v: semirings.get(v), "reals", "", None, 3, words=("semiring",))
    yield from over(
        "semirings.register", lambda w, v: semirings.register(v), "reals", None, 3, int, OBJECT, semirings.Semiring
    )
    broken = lambda w, v: semirings.register(type("Broken", (semirings.Viterbi,), {"add": v, "name": "broken"}))  # noqa: E731
    yield Call(
        "register: no law", lambda w: broken(w, lambda self, a, b: a - b), ("Broken", "fails|not a semiring|sum")
    )
    yield Call("register: no tensor", lambda w: broken(w, lambda self, a, b: None), ("Broken", "add"))
    yield Call("register: raises", lambda w: broken(w, lambda self, a, b: 1 / 0), ("Broken", "add"))
    taken = lambda w: semirings.register(semirings.Viterbi(), name="real")  # noqa: E731
    yield Call("register: a name that is taken", taken, ("real", "another name"))
    yield from over(
        "register: name", lambda w, v: semirings.register(semirings.Viterbi(), name=v), 3, True, OBJECT, words=("name",)
    )
    samples = lambda w, v: semirings.register(semirings.Viterbi, samples=v, name="mine")  # noqa: E731
    yield from over("register: samples", samples, 3, "x", [], torch.zeros(0), words=("samples",))

    thetas = (0, -1.0, NAN, INF, "0.1", None, True, HUGE, 1j, OBJECT, [0.1], torch.tensor([0.1, 0.2]))
    yield from over("paths.at", lambda w, v: w.paths.at(v), *thetas, words=("theta",))
    yield from over(
        "masks.at", lambda w, v: w.masks.at(v), NAN, INF, "0.1", None, True, HUGE, *GARBAGE, words=("theta",)
    )
    influence = lambda w, v: w.paths.influence(v)  # noqa: E731
    lists = ([NAN], [0.0], [-1.0], [INF], ["x"], [None], [], [True], [1j], [[0.1]], 0.1, None, "auto", OBJECT)
    yield from over("paths.influence", influence, *lists, words=("theta",))
    for what in ("at", "influence"):
        yield Call(f"boolean.{what}", lambda w, n=what: getattr(w.boolean, n)(0.1), ("Boolean", "bottleneck"))
    yield from over("paths.log10", lambda w, v: w.paths.log10(v), "heads", None, 3, "", words=("layer",))
    yield Call("boolean.log10", lambda w: w.boolean.log10("head"), ("Boolean|boolean|bool",))

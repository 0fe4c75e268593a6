"""How relevance is asked for: of a session, by its settings, its paths and its sweeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from hostile.call import GARBAGE, HUGE, INF, NAN, OBJECT, Call, over
from hostile.world import World

from lrp_explorer import composites, rules, semirings


def _relevance(argument: str) -> Callable[[World, Any], Any]:
    return lambda world, value: world.session.relevance(**{argument: value})


def settings_of_relevance() -> Iterator[Call]:
    bad = (5, -1, True, np.bool_(True), 1.5, NAN, INF, HUGE, -HUGE, "cat", "", "1", [1, 7], [1, 2, 3], [True, False])
    bad += (torch.tensor([0.5, 1.5]), torch.zeros(2, 5, dtype=torch.int64), np.array([0.0, 1.0]), [None, 1])
    bad += (torch.tensor([0, 9]), torch.tensor(True), torch.zeros(2, dtype=torch.complex64), [], "☃", *GARBAGE)
    yield from over("target", _relevance("target"), *bad, words=("target",))
    sparse = torch.eye(2, dtype=torch.int64).to_sparse()
    yield from over("target", _relevance("target"), sparse, torch.zeros(2, dtype=torch.int64, device="meta"))

    bad = (3, True, None, 1.5, "logits", "", "LOGIT", "☃", torch.zeros(5), torch.zeros(2, 4), torch.zeros(2, 5, 1))
    bad += (np.zeros((2, 5)), [[0.0] * 5] * 2, torch.zeros(2, 5, dtype=torch.complex64), *GARBAGE)
    bad += (torch.ones(2, 5, device="meta"), torch.eye(2, 5).to_sparse(), torch.ones(2, 5, dtype=torch.bool))
    yield from over("seed", _relevance("seed"), *bad, words=("seed",))
    yield from over(
        "seed", lambda w, v: w.session.relevance(seed=torch.full((2, 5), v)), NAN, INF, -INF, words=("seed",)
    )

    bad = (None, 3, True, "epsilon-pluss", "", "☃", rules.ZPlus(), rules.Epsilon, composites.Uniform, *GARBAGE)
    yield from over("composite", _relevance("composite"), *bad, words=("composite",))
    yield from over("composite by bounds", _relevance("composite"), "epsilon-gamma-box", "deep-taylor", words=("low",))

    bad = (None, 3, True, "reals", "", "☃", "real ", semirings.Semiring, int, *GARBAGE)
    yield from over("semiring", _relevance("semiring"), *bad)
    paths = lambda w, v: w.session.relevance(semiring="bottleneck", seed=v)  # noqa: E731
    yield from over("seed of paths", paths, "contrast", "probability", torch.ones(2, 5), None, 3, words=("seed",))
    yield from over("should_stop", _relevance("should_stop"), 3, "no", True, [], *GARBAGE, words=("should_stop",))
    boxes = lambda w, v: w.session.relevance(composite=composites.EpsilonGammaBox(*v))  # noqa: E731
    yield from over("bounds", boxes, ((-9.0, -9.0), (9.0, 9.0)), words=("bound",))
    yield from over("layer", lambda w, v: w.plain[v], "feature.0", "", "☃", 0, None, True, ("input",), *GARBAGE)
    yield from over("overridden layer", _overriding, "heads", "", "☃", "input", "features.9", words=("layer|module",))
    yield from over(
        "rule for head", lambda w, v: _overriding(w, "head", v), rules.Pass(), rules.Winner(), words=("head",)
    )


def _overriding(world: World, layer: str, rule: Any = None) -> Any:
    return world.session.relevance(composite=composites.EpsilonPlus().override({layer: rule or rules.Flat()}))


def best_paths() -> Iterator[Call]:
    indices = ((0, 9, 0), (0, 0), (-1, 0, 0), (0, 0, 0, 0), (), (1.7, 0, 0), (1.7,), ("a", 0, 0), (True, 0, 0))
    indices += ((NAN, 0, 0), None, 3, "abc", (None, 0, 0), ((0, 1), 0, 0), OBJECT, (HUGE, 0, 0), 1j)
    indices += ((slice(None), 0, 0), np.zeros((2, 3)))
    yield from over("best_path: index", lambda w, v: w.session.best_path(v), *indices, words=("index",))
    path = lambda name: lambda w, v: w.session.best_path((0, 1, 1), **{name: v})  # noqa: E731
    yield from over(
        "best_path: example", path("example"), 2, -1, True, 1.5, "0", None, NAN, HUGE, OBJECT, words=("example",)
    )
    bad = ("real", "boolean", "x", None, 3, semirings.Tropical())
    yield from over("best_path: semiring", path("semiring"), *bad, words=("semiring",))
    yield from over("best_path: target", path("target"), 5, True, "cat", 1.5, [1, 7], words=("target",))
    yield from over("best_path: composite", path("composite"), "x", None, 3, words=("composite",))


def sweeps() -> Iterator[Call]:
    sweep = lambda w, parameter, values, **more: w.session.sweep(parameter, values, **more)  # noqa: E731
    names = ("gama", "", "☃", 3, None, True, ":", OBJECT, "overrides", ["epsilon"])
    yield from over("sweep: parameter", lambda w, v: sweep(w, v, [0.1]), *names)
    for name, words in (
        ("head:gamma", ("gamma", "epsilon")),
        ("heads:epsilon", ("heads", "head")),
        ("a:b:c", ("a:b",)),
    ):
        yield Call(f"sweep: parameter={name!r}", lambda w, n=name: sweep(w, n, [0.1]), words)
    values = (None, 3, [], {}, OBJECT, "abc", [NAN], [-1.0], ["x"], [None], [True], [HUGE])
    yield from over("sweep: values", lambda w, v: sweep(w, "epsilon", v), *values, words=("epsilon|values",))
    yield from over(
        "sweep: targets", lambda w, v: sweep(w, "target", v), [9], [True], ["x"], [0, 9], 3, words=("target",)
    )
    yield from over("sweep: seeds", lambda w, v: sweep(w, "seed", v), ["x"], [3], [None], words=("seed",))
    yield from over("sweep: composites", lambda w, v: sweep(w, "composite", v), ["x"], [3], 3, words=("composite",))
    yield from over("sweep: semirings", lambda w, v: sweep(w, "semiring", v), ["x"], [3], 3, words=("semiring",))
    yield from over(
        "sweep: progress", lambda w, v: sweep(w, "epsilon", [0.1], progress=v), "yes", 3, OBJECT, words=("progress",)
    )

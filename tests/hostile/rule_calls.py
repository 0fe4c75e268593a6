"""Parameters of rules and composites."""

from __future__ import annotations

import decimal
import fractions
from collections.abc import Iterator

import numpy as np
import torch
from hostile.call import GARBAGE, HUGE, INF, NAN, OBJECT, Call, over

from lrp_explorer import composites, rules


def parameters() -> Iterator[Call]:
    numbers = (-1e-3, NAN, INF, -INF, "0.1", "", None, True, HUGE, OBJECT, [0.1], 1j, torch.tensor(0.1), b"1")
    numbers += (decimal.Decimal("0.1"), fractions.Fraction(1, 10), np.array([0.1, 0.2]), np.float64("nan"))
    for kind, names in {
        rules.Epsilon: ["epsilon"],
        rules.Gamma: ["gamma", "stabilizer"],
        rules.Zero: ["stabilizer"],
        rules.Flat: ["stabilizer"],
        composites.EpsilonPlus: ["epsilon"],
        composites.LayeredLRP: ["gamma", "lower"],
    }.items():
        for name in names:
            build = lambda w, v, k=kind, n=name: k(**{n: v})  # noqa: E731
            many = numbers if name in ("epsilon", "gamma") and kind in (rules.Epsilon, rules.Gamma) else numbers[:7]
            yield from over(f"{kind.__name__}: {name}", build, *many, words=(kind.__name__ if name != "gamma" else "",))
    relative = lambda w, v: rules.Epsilon(relative=v)  # noqa: E731
    yield from over("Epsilon: relative", relative, "max", 1, True, OBJECT, [], words=("relative", "std"))
    yield from over(
        "Epsilon: bias", lambda w, v: rules.Epsilon(bias=v), "drop", 1, None, True, OBJECT, [], words=("bias", "absorb")
    )
    pairs = ((2, 2), (NAN, 1), (0, -1), (1, -0.5), (INF, INF), ("2", "1"), (True, False), (None, None))
    for alpha, beta in pairs:
        yield Call(
            f"AlphaBeta({alpha!r}, {beta!r})",
            lambda w, a=alpha, b=beta: rules.AlphaBeta(a, b),
            (f"{alpha!r}|{beta!r}",),
        )
    bounds = (NAN, INF, "0", None, True, 1j, OBJECT, "", [1.0, "a"], [[1.0], [2.0, 3.0]], [], HUGE, torch.zeros(0))
    yield from over("ZBox: low", lambda w, v: rules.ZBox(v, 1.0), *bounds, words=("bound|low",))
    yield from over("ZBox: high", lambda w, v: rules.ZBox(-1.0, v), -1.0, -2.0, torch.tensor(1j), words=("bound|high",))
    uniform = lambda w, v: composites.Uniform(v)  # noqa: E731
    yield from over(
        "Uniform", uniform, "flat", None, rules.Flat, 3, composites.EpsilonPlus(), *GARBAGE, words=("rule",)
    )
    changed = lambda w, v: composites.EpsilonPlus().override(v)  # noqa: E731
    yield from over("override", changed, "features.0", None, 3, [("a", rules.Flat())], OBJECT, words=("override",))
    head = lambda w, v: changed(w, {"head": v})  # noqa: E731
    yield from over("override rule", head, "flat", None, rules.Flat, 3, OBJECT, words=("head", "rule"))
    yield from over(
        "override name", lambda w, v: changed(w, {v: rules.Flat()}), 3, None, ("a",), words=("override|layer",)
    )
    split = lambda w, v: w.session.relevance(composite=composites.EpsilonPlus(split=v))  # noqa: E731
    yield from over("split", split, "half", None, True, 0, OBJECT, [], words=("split", "signed"))
    yield from over(
        "composites.get", lambda w, v: composites.get(v), "epsilon-box", "", None, 3, "☃", words=("composite",)
    )

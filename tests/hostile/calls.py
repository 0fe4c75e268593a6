"""The hostile calls, as tables: what is given, and the words by which its refusal must name it.

A refusal is clear when it is an error of the house that names the value (or its type) and says what is expected. Where
a row gives no words, the value's own repr, its text or its type must be in the message.
"""

from __future__ import annotations

import decimal
import fractions
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile.world import World
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import baselines, composites, rules, semirings
from lrp_explorer.semirings import thresholds

EXPECTATION = re.compile(
    r"expected|must|needs?\b|known|accept|between|at least|give|use\b|take|choose|classes 0 to|set |call |make |load "
    r"|convert|should|run the model|let forward|did you mean|was given|leave|serves |has examples 0|is one of |Rules for this layer|out of range|compute |check |fetch |required|see lrp-explorer",
    re.IGNORECASE,
)


class Opaque:
    """Nothing that any call could understand."""

    def __repr__(self) -> str:
        return "Opaque()"


NAN, INF = math.nan, math.inf
HUGE = 10**400
NESTED = [[1], [2, [3]]]
OBJECT = Opaque()
# Given wherever nothing of the kind is meant.
GARBAGE = (OBJECT, b"bytes", 1j, {"a": 1}, NESTED)


@dataclass(frozen=True)
class Call:
    """One call, and the words (regular expressions) that its refusal holds."""

    name: str
    run: Callable[[World], Any]
    words: tuple[str, ...]


def named(value: Any) -> str:
    """A regular expression for any of the ways in which a message may name a value, its type, or what is in it."""
    kind = re.escape(type(value).__name__)
    ways = [rf"\b(?:an?|of|torch\.)\s?{kind}\b", rf"\({kind}\)"]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        ways += [
            kind,
            re.escape(str(tuple(value.shape))),
            str(value.dtype),
            r"array\(",
            "empty" if 0 in value.shape else kind,
        ]
        ways += [str(value.layout), f"'{value.device}'"] if isinstance(value, torch.Tensor) else []
        ways += [rf"\b{one}\b" for one in _listed(value)]
    elif isinstance(value, int) and abs(value) == HUGE:
        ways += ["beyond", "10{20}", r"1e\+?400"]
    elif isinstance(value, (list, tuple, set, dict)):
        ways += [re.escape(repr(value)), rf"\b{kind}\b", rf"shape \({len(value)},\)" if value else "empty|no values"]
        ways += [named(one) for one in (value.values() if isinstance(value, dict) else value)]
    else:
        ways += [re.escape(text) for text in {repr(value), str(value), f"{value:g}" if kind == "float" else ""} if text]
        ways += [rf"\b{kind}\b"] if type(value).__module__ != "builtins" else []
    return "|".join(ways)


def _listed(values: torch.Tensor | np.ndarray) -> list[Any]:
    strided = not isinstance(values, torch.Tensor) or (values.layout == torch.strided and values.device.type == "cpu")
    return values.reshape(-1).tolist() if strided and values.dtype not in (torch.complex64,) else []


def _over(subject: str, run: Callable[[World, Any], Any], *values: Any, words: tuple[str, ...] = ()) -> Iterator[Call]:
    """The same argument, given each of the values."""
    for value in values:
        label = repr(value)
        label = (
            f"{type(value).__name__}{tuple(value.shape)}" if isinstance(value, (torch.Tensor, np.ndarray)) else label
        )
        label = label if len(label) <= 40 else f"{label[:30]}…"
        yield Call(f"{subject}={label}", lambda world, value=value: run(world, value), (f"(?:{named(value)})", *words))


def _relevance(argument: str) -> Callable[[World, Any], Any]:
    return lambda world, value: world.session.relevance(**{argument: value})


def settings_of_relevance() -> Iterator[Call]:
    bad = (5, -1, True, np.bool_(True), 1.5, NAN, INF, HUGE, -HUGE, "cat", "", "1", [1, 7], [1, 2, 3], [True, False])
    bad += (torch.tensor([0.5, 1.5]), torch.zeros(2, 5, dtype=torch.int64), np.array([0.0, 1.0]), [None, 1])
    bad += (torch.tensor([0, 9]), torch.tensor(True), torch.zeros(2, dtype=torch.complex64), [], "☃", *GARBAGE)
    yield from _over("target", _relevance("target"), *bad, words=("target",))
    sparse = torch.eye(2, dtype=torch.int64).to_sparse()
    yield from _over("target", _relevance("target"), sparse, torch.zeros(2, dtype=torch.int64, device="meta"))

    bad = (3, True, None, 1.5, "logits", "", "LOGIT", "☃", torch.zeros(5), torch.zeros(2, 4), torch.zeros(2, 5, 1))
    bad += (np.zeros((2, 5)), [[0.0] * 5] * 2, torch.zeros(2, 5, dtype=torch.complex64), *GARBAGE)
    bad += (torch.ones(2, 5, device="meta"), torch.eye(2, 5).to_sparse(), torch.ones(2, 5, dtype=torch.bool))
    yield from _over("seed", _relevance("seed"), *bad, words=("seed",))
    yield from _over(
        "seed", lambda w, v: w.session.relevance(seed=torch.full((2, 5), v)), NAN, INF, -INF, words=("seed",)
    )

    bad = (None, 3, True, "epsilon-pluss", "", "☃", rules.ZPlus(), rules.Epsilon, composites.Uniform, *GARBAGE)
    yield from _over("composite", _relevance("composite"), *bad, words=("composite",))
    yield from _over("composite by bounds", _relevance("composite"), "epsilon-gamma-box", "deep-taylor", words=("low",))

    bad = (None, 3, True, "reals", "", "☃", "real ", semirings.Semiring, int, *GARBAGE)
    yield from _over("semiring", _relevance("semiring"), *bad)
    paths = lambda w, v: w.session.relevance(semiring="bottleneck", seed=v)  # noqa: E731
    yield from _over("seed of paths", paths, "contrast", "probability", torch.ones(2, 5), None, 3, words=("seed",))
    yield from _over("should_stop", _relevance("should_stop"), 3, "no", True, [], *GARBAGE, words=("should_stop",))
    boxes = lambda w, v: w.session.relevance(composite=composites.EpsilonGammaBox(*v))  # noqa: E731
    yield from _over("bounds", boxes, ((-9.0, -9.0), (9.0, 9.0)), words=("bound",))
    yield from _over("layer", lambda w, v: w.plain[v], "feature.0", "", "☃", 0, None, True, ("input",), *GARBAGE)
    yield from _over("overridden layer", _overriding, "heads", "", "☃", "input", "features.9", words=("layer|module",))
    yield from _over(
        "rule for head", lambda w, v: _overriding(w, "head", v), rules.Pass(), rules.Winner(), words=("head",)
    )


def _overriding(world: World, layer: str, rule: Any = None) -> Any:
    return world.session.relevance(composite=composites.EpsilonPlus().override({layer: rule or rules.Flat()}))


def inputs() -> Iterator[Call]:
    for dtype in (torch.uint8, torch.int64, torch.bool, torch.float64, torch.float16, torch.bfloat16, torch.complex64):
        yield Call(f"x of {dtype}", lambda w, d=dtype: w.explain(w.x.to(d)), (str(dtype), "float"))
    for shape in ((2, 1, 8, 8), (3, 8, 8), (2, 3, 2, 2), (2, 3), (2,), (), (0, 3, 8, 8), (2, 3, 0, 8), (2, 3, 8, 8, 1)):
        yield Call(f"x of {shape}", lambda w, s=shape: w.explain(torch.zeros(s)), (re.escape(str(shape)),))
    for value, word in ((NAN, "nan"), (INF, "infinite"), (-INF, "infinite")):
        yield Call(f"x with {value}", lambda w, v=value: w.explain(_with(w.x, v)), (word, "1, 2, 5, 3"))
    yield Call("x sparse", lambda w: w.explain(w.x.to_sparse()), ("sparse", "dense"))
    yield Call("x on meta", lambda w: w.explain(w.x.to("meta")), ("meta",))
    quantised = lambda w: torch.quantize_per_tensor(w.x, 0.1, 0, torch.qint8)  # noqa: E731
    yield Call("x quantised", lambda w: w.explain(quantised(w)), ("qint8", "float"))
    nested = lambda w: torch.nested.nested_tensor(list(w.x))  # noqa: E731
    yield Call("x nested", lambda w: w.explain(nested(w)), ("nested|strided|jagged",))
    yield Call("x an array of text", lambda w: w.explain(np.array([["a", "b"]])), ("ndarray|<U1|str|array",))
    yield Call("x a ragged list", lambda w: w.explain([[1.0], [2.0, 3.0]]), ("list|example|shape",))
    explaining = lambda w, v: lrp.explain(w.model, v, device="cpu")  # noqa: E731
    for label, start in (("explain", explaining), ("Session", lambda w, v: lrp.Session(w.model, v, "cpu")),
                         ("coverage", lambda w, v: lrp.coverage(w.model, v)),
                         ("attribute", lambda w, v: lrp.attribute(w.model, v, device="cpu")),
                         ("another", lambda w, v: w.session.another(v))):  # fmt: skip
        bad = (None, 3, True, "picture.png", OBJECT, [], [[1.0, 2.0]], np.zeros(3, np.float32))
        yield from _over(f"{label}: x", start, *bad)
    for label, start in (("explain", lambda w, v: lrp.explain(v, w.x)), ("coverage", lambda w, v: lrp.coverage(v, w.x)),
                         ("attribute", lambda w, v: lrp.attribute(v, w.x)),
                         ("aggregate", lambda w, v: lrp.aggregate(v, w.data))):  # fmt: skip
        bad = (None, 3, True, OBJECT, [], {}, torch.zeros(3), nn.Linear)
        yield from _over(f"{label}: model", start, *bad, words=("model", "Module"))
    for label, start in (("explain", lambda w, v: w.explain(device=v)), ("aggregate", lambda w, v: w.aggregate(device=v)),
                         ("attribute", lambda w, v: lrp.attribute(w.model, w.x, device=v)),
                         ("coverage", lambda w, v: lrp.coverage(w.model, w.x, device=v)),
                         ("explore", lambda w, v: lrp.explore(w.model, w.x, device=v))):  # fmt: skip
        bad = ("gpu", "cuda:99", "", "☃", 7, -1, True, 1.5, OBJECT, "meta", "cpu:3", "CPU")
        yield from _over(f"{label}: device", start, *bad, words=("device",))
    yield from _over("memory", lambda w, v: lrp.Session(w.model, w.x, "cpu", v), -1, "lots", 1.5, NAN, True, *GARBAGE)


def _with(x: torch.Tensor, value: float) -> torch.Tensor:
    bad = x.clone()
    bad[1, 2, 5, 3] = value
    return bad


class Answering(nn.Module):
    """A model that answers as it is told."""

    def __init__(self, answer: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.answer = answer

    def forward(self, x: torch.Tensor) -> Any:
        return self.answer(self.layer(x))


ANSWERS: dict[str, tuple[Callable[[torch.Tensor], Any], tuple[str, ...]]] = {
    "a dict": (lambda y: {"logits": y}, ("dict", "logits")),
    "two": (lambda y: (y, y), ("tuple",)),
    "a list": (lambda y: [y], ("list",)),
    "nothing": (lambda y: None, ("None",)),
    "a number": (lambda y: 3.0, ("float|3\\.0|depend",)),
    "a total": (lambda y: y.sum(), (r"\(\)", "classes")),
    "a map": (lambda y: y[:, :, None], (r"\(2, 3, 1\)", "classes")),
    "labels": (lambda y: y.argmax(1), ("classes|depend",)),
    "constants": (lambda y: torch.ones(2, 3), ("depend",)),
    "not a number": (lambda y: y * NAN, ("nan",)),
    "infinity": (lambda y: y / 0.0, ("inf|nan",)),
    "complex": (lambda y: torch.complex(y, y), ("complex",)),
    "a branch": (lambda y: y if y.sum() > 0 else -y, ("torch.where",)),
    "a number taken out": (lambda y: y * float(y.max()), (r"calls\.py",)),
    "an array": (lambda y: torch.from_numpy(y.detach().numpy()), ("numpy",)),
    "an error": (lambda y: 1 / 0, ("division",)),
    "no classes": (lambda y: y[:, :0], (r"\(2, 0\)|classes",)),
}


def models() -> Iterator[Call]:
    x = torch.ones(2, 4)
    for label, (answer, words) in ANSWERS.items():
        yield Call(
            f"model answers {label}", lambda w, a=answer: lrp.explain(Answering(a).eval(), x, device="cpu"), words
        )
    empty = nn.Sequential(nn.Linear(4, 3)).to("meta")
    yield Call("model on meta", lambda w: lrp.explain(empty, x, device="cpu"), ("meta", "load"))
    bad = nn.Linear(4, 3)
    nn.init.constant_(bad.weight, NAN)
    yield Call("model of NaN", lambda w: lrp.explain(nn.Sequential(bad).eval(), x, device="cpu"), ("nan", "0"))
    yield Call(
        "model lazy", lambda w: lrp.explain(nn.LazyLinear(3), x, device="cpu"), ("lazy|uninitiali", "once|first")
    )
    script = lambda w: torch.jit.script(nn.Linear(4, 3))  # noqa: E731
    yield Call("model scripted", lambda w: lrp.explain(script(w).eval(), x, device="cpu"), ("script",))
    yield Call("model of complex weights", lambda w: lrp.explain(nn.Linear(4, 3).to(torch.complex64), x), ("complex",))
    yield Call(
        "model of tokens", lambda w: lrp.explain(nn.Embedding(9, 3), torch.ones(2, 4, dtype=torch.int64)), ("int64",)
    )


def parameters() -> Iterator[Call]:
    numbers = (-1e-3, NAN, INF, -INF, "0.1", "", None, True, HUGE, OBJECT, [0.1], 1j, torch.tensor(0.1), b"1")
    numbers += (decimal.Decimal("0.1"), fractions.Fraction(1, 10), np.array([0.1, 0.2]), np.float64("nan"))
    for kind, names in {
        rules.Epsilon: ["epsilon"], rules.Gamma: ["gamma", "stabilizer"], rules.Zero: ["stabilizer"],
        rules.Flat: ["stabilizer"], composites.EpsilonPlus: ["epsilon"], composites.LayeredLRP: ["gamma", "lower"],
    }.items():  # fmt: skip
        for name in names:
            build = lambda w, v, k=kind, n=name: k(**{n: v})  # noqa: E731
            many = numbers if name in ("epsilon", "gamma") and kind in (rules.Epsilon, rules.Gamma) else numbers[:7]
            yield from _over(
                f"{kind.__name__}: {name}", build, *many, words=(kind.__name__ if name != "gamma" else "",)
            )
    yield from _over(
        "Epsilon: relative",
        lambda w, v: rules.Epsilon(relative=v),
        "max",
        1,
        True,
        OBJECT,
        [],
        words=("relative", "std"),
    )
    yield from _over(
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
    yield from _over("ZBox: low", lambda w, v: rules.ZBox(v, 1.0), *bounds, words=("bound|low",))
    yield from _over(
        "ZBox: high", lambda w, v: rules.ZBox(-1.0, v), -1.0, -2.0, torch.tensor(1j), words=("bound|high",)
    )
    uniform = lambda w, v: composites.Uniform(v)  # noqa: E731
    yield from _over(
        "Uniform", uniform, "flat", None, rules.Flat, 3, composites.EpsilonPlus(), *GARBAGE, words=("rule",)
    )
    over = lambda w, v: composites.EpsilonPlus().override(v)  # noqa: E731
    yield from _over("override", over, "features.0", None, 3, [("a", rules.Flat())], OBJECT, words=("override",))
    yield from _over(
        "override rule", lambda w, v: over(w, {"head": v}), "flat", None, rules.Flat, 3, OBJECT, words=("head", "rule")
    )
    yield from _over(
        "override name", lambda w, v: over(w, {v: rules.Flat()}), 3, None, ("a",), words=("override|layer",)
    )
    split = lambda w, v: w.session.relevance(composite=composites.EpsilonPlus(split=v))  # noqa: E731
    yield from _over("split", split, "half", None, True, 0, OBJECT, [], words=("split", "signed"))
    yield from _over(
        "composites.get", lambda w, v: composites.get(v), "epsilon-box", "", None, 3, "☃", words=("composite",)
    )


def algebras() -> Iterator[Call]:
    numbers = (-1e-3, 0, 0.0, NAN, INF, "0.1", "", None, True, HUGE, 1j, OBJECT, [0.1], b"1", torch.tensor([0.1, 0.2]))
    numbers += ({"head": -1.0}, {"head": "x"}, {"head": NAN}, {"head": True})
    yield from _over("Boolean: theta", lambda w, v: semirings.Boolean(v), *numbers, words=("theta|threshold",))
    yield from _over("Counting: theta", lambda w, v: semirings.Counting(v), *numbers[:9], words=("theta|threshold",))
    yield from _over(
        "Bottleneck: theta", lambda w, v: semirings.Bottleneck(v), 0.1, 0, "x", NAN, True, words=("theta|threshold",)
    )
    yield from _over(
        "theta of layers",
        lambda w, v: w.session.relevance(semiring=semirings.Boolean({v: 0.1})),
        "heads",
        3,
        "",
        words=("layer",),
    )
    yield from _over(
        "Boolean: strict", lambda w, v: semirings.Boolean(strict=v), "yes", 1, None, OBJECT, words=("strict",)
    )
    yield from _over(
        "Viterbi: normalise", lambda w, v: semirings.Viterbi(v), "mean", 1, None, OBJECT, [], words=("normalise",)
    )
    yield from _over("Viterbi: edge", lambda w, v: semirings.Viterbi(edge=v), "both", 1, None, [], words=("edge",))
    yield from _over(
        "Viterbi: absolute", lambda w, v: semirings.Viterbi(absolute=v), "no", 1, None, [], words=("absolute",)
    )
    yield from _over(
        "Viterbi: pooling", lambda w, v: semirings.Viterbi(pooling=v), "max", 1, None, [], words=("pooling",)
    )
    yield from _over("Real: theta", lambda w, v: semirings.Real(v), 0.1, "auto", 0, words=("theta",))
    yield from _over(
        "Quantile: q", lambda w, v: thresholds.Quantile(v), -0.1, 1.1, NAN, "0.5", True, None, words=("q is",)
    )
    yield from _over(
        "Quantile: sample", lambda w, v: thresholds.Quantile(sample=v), 0, -1, 1.5, NAN, True, "9", words=("sample",)
    )
    yield from _over("semirings.get", lambda w, v: semirings.get(v), "reals", "", None, 3, words=("semiring",))
    yield from _over(
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
    yield from _over(
        "register: name", lambda w, v: semirings.register(semirings.Viterbi(), name=v), 3, True, OBJECT, words=("name",)
    )
    samples = lambda w, v: semirings.register(semirings.Viterbi, samples=v, name="mine")  # noqa: E731
    yield from _over("register: samples", samples, 3, "x", [], torch.zeros(0), words=("samples",))

    thetas = (0, -1.0, NAN, INF, "0.1", None, True, HUGE, 1j, OBJECT, [0.1], torch.tensor([0.1, 0.2]))
    yield from _over("paths.at", lambda w, v: w.paths.at(v), *thetas, words=("theta",))
    yield from _over(
        "masks.at", lambda w, v: w.masks.at(v), NAN, INF, "0.1", None, True, HUGE, *GARBAGE, words=("theta",)
    )
    influence = lambda w, v: w.paths.influence(v)  # noqa: E731
    lists = ([NAN], [0.0], [-1.0], [INF], ["x"], [None], [], [True], [1j], [[0.1]], 0.1, None, "auto", OBJECT)
    yield from _over("paths.influence", influence, *lists, words=("theta",))
    for what in ("at", "influence"):
        yield Call(f"boolean.{what}", lambda w, n=what: getattr(w.boolean, n)(0.1), ("Boolean", "bottleneck"))
    yield from _over("paths.log10", lambda w, v: w.paths.log10(v), "heads", None, 3, "", words=("layer",))
    yield Call("boolean.log10", lambda w: w.boolean.log10("head"), ("Boolean|boolean|bool",))


def best_paths() -> Iterator[Call]:
    indices = (
        (0, 9, 0),
        (0, 0),
        (-1, 0, 0),
        (0, 0, 0, 0),
        (),
        (1.7, 0, 0),
        (1.7,),
        ("a", 0, 0),
        (True, 0, 0),
        (NAN, 0, 0),
    )
    indices += (
        None,
        3,
        "abc",
        (None, 0, 0),
        ((0, 1), 0, 0),
        OBJECT,
        (HUGE, 0, 0),
        1j,
        (slice(None), 0, 0),
        np.zeros((2, 3)),
    )
    yield from _over("best_path: index", lambda w, v: w.session.best_path(v), *indices, words=("index",))
    path = lambda name: lambda w, v: w.session.best_path((0, 1, 1), **{name: v})  # noqa: E731
    yield from _over(
        "best_path: example", path("example"), 2, -1, True, 1.5, "0", None, NAN, HUGE, OBJECT, words=("example",)
    )
    yield from _over(
        "best_path: semiring",
        path("semiring"),
        "real",
        "boolean",
        "x",
        None,
        3,
        semirings.Tropical(),
        words=("semiring",),
    )
    yield from _over("best_path: target", path("target"), 5, True, "cat", 1.5, [1, 7], words=("target",))
    yield from _over("best_path: composite", path("composite"), "x", None, 3, words=("composite",))


def sweeps() -> Iterator[Call]:
    sweep = lambda w, parameter, values, **more: w.session.sweep(parameter, values, **more)  # noqa: E731
    names = ("gama", "", "☃", 3, None, True, ":", OBJECT, "overrides", ["epsilon"])
    yield from _over("sweep: parameter", lambda w, v: sweep(w, v, [0.1]), *names)
    for name, words in (
        ("head:gamma", ("gamma", "epsilon")),
        ("heads:epsilon", ("heads", "head")),
        ("a:b:c", ("a:b",)),
    ):
        yield Call(f"sweep: parameter={name!r}", lambda w, n=name: sweep(w, n, [0.1]), words)
    values = (None, 3, [], {}, OBJECT, "abc", [NAN], [-1.0], ["x"], [None], [True], [HUGE])
    yield from _over("sweep: values", lambda w, v: sweep(w, "epsilon", v), *values, words=("epsilon|values",))
    yield from _over(
        "sweep: targets", lambda w, v: sweep(w, "target", v), [9], [True], ["x"], [0, 9], 3, words=("target",)
    )
    yield from _over("sweep: seeds", lambda w, v: sweep(w, "seed", v), ["x"], [3], [None], words=("seed",))
    yield from _over("sweep: composites", lambda w, v: sweep(w, "composite", v), ["x"], [3], 3, words=("composite",))
    yield from _over("sweep: semirings", lambda w, v: sweep(w, "semiring", v), ["x"], [3], 3, words=("semiring",))
    yield from _over(
        "sweep: progress", lambda w, v: sweep(w, "epsilon", [0.1], progress=v), "yes", 3, OBJECT, words=("progress",)
    )


def attributions() -> Iterator[Call]:
    attribute = lambda w, method, **more: lrp.attribute(w.model, w.x, method, device="cpu", **more)  # noqa: E731
    bad = ("grad-camm", "", "☃", 3, None, True, baselines.Saliency, *GARBAGE)
    yield from _over("attribute: method", attribute, *bad, words=("method|baseline",))
    steps = lambda w, v: attribute(w, "integrated-gradients", steps=v)  # noqa: E731
    yield from _over("steps", steps, 0, -1, 1.5, NAN, True, "9", None, OBJECT, words=("steps",))
    begin = lambda w, v: attribute(w, "integrated-gradients", baseline=v)  # noqa: E731
    yield from _over(
        "baseline", begin, NAN, INF, "x", None, True, [1.0, 2.0], torch.zeros(5), OBJECT, words=("baseline|bound",)
    )
    layer = lambda w, v: attribute(w, "grad-cam", layer=v)  # noqa: E731
    yield from _over("grad-cam: layer", layer, "heads", "head", "", 3, True, OBJECT, words=("layer",))
    yield Call("attribute: no parameter", lambda w: attribute(w, "saliency", step=3), ("step", "saliency|Known"))
    beside = lambda w: attribute(w, baselines.Saliency(), steps=3)  # noqa: E731
    yield Call("attribute: beside an object", beside, ("steps", "Saliency"))
    yield from _over(
        "attribute: target", lambda w, v: attribute(w, "saliency", target=v), 5, True, "x", 1.5, words=("target",)
    )


def aggregates() -> Iterator[Call]:
    def of(name: str) -> Callable[[World, Any], Any]:
        return lambda w, v: w.aggregate(**{name: v})

    yield from _over("aggregate: limit", of("limit"), 0, -1, 1.5, NAN, True, "9", OBJECT, [], words=("limit",))
    yield from _over("aggregate: batch", of("batch"), 0, -1, 1.5, NAN, True, "9", OBJECT, [], words=("batch",))
    yield from _over("aggregate: theta", of("theta"), NAN, INF, "0.1", True, HUGE, 1j, OBJECT, [], words=("theta",))
    yield from _over(
        "aggregate: classes",
        of("classes"),
        [],
        [0, 0],
        [-1],
        [99],
        "cat",
        [1.5],
        True,
        [True],
        NAN,
        OBJECT,
        words=("class",),
    )
    yield from _over(
        "aggregate: layer", of("layer"), [], ["a", "a"], 3, None, True, "heads", [3], "", OBJECT, words=("layer",)
    )
    yield from _over(
        "aggregate: reduce", of("reduce"), [], "xor", "", 3, None, ["and", "and"], [3], OBJECT, words=("reduc",)
    )
    yield from _over(
        "aggregate: q",
        of("reduce"),
        "quantile(2)",
        "quantile()",
        "quantile(x)",
        "vote(0)",
        "vote(nan)",
        words=("quantile|vote",),
    )
    yield from _over("aggregate: target", of("target"), "labels", 3, None, True, OBJECT, words=("target",))
    yield from _over("aggregate: seed", of("seed"), "x", 3, None, torch.zeros(2, 5), words=("seed",))
    yield from _over("aggregate: composite", of("composite"), "x", 3, None, words=("composite",))
    yield from _over("aggregate: semiring", of("semiring"), "x", 3, None, words=("semiring",))
    yield from _over("aggregate: runner", of("runner"), "x", 3, None, True, OBJECT, words=("runner",))
    yield from _over("aggregate: only_correct", of("only_correct"), "no", 3, None, OBJECT, words=("only_correct",))
    yield from _over(
        "aggregate: skip_nonfinite", of("skip_nonfinite"), "no", 3, None, OBJECT, words=("skip_nonfinite",)
    )
    yield from _over("aggregate: progress", of("progress"), "no", 3, None, OBJECT, words=("progress",))
    yield from _over("aggregate: should_stop", of("should_stop"), 3, "no", True, OBJECT, words=("should_stop",))
    yield from _over("aggregate: on_update", of("on_update"), 3, "no", True, OBJECT, words=("on_update",))
    yield from _over("aggregate: cache", of("cache"), 3, 1.5, OBJECT, "/dev/null/x", "\0", words=("cache",))
    yield from _over("aggregate: weights", of("weights"), "w.pt", 3, words=("weights",))
    data = lambda w, v: w.aggregate(v)  # noqa: E731
    yield from _over("aggregate: data", data, 3, True, OBJECT, 1.5, "digit", "", words=("data|folder",))
    yield Call("aggregate: no folder", lambda w: data(w, "folder:/nowhere"), ("/nowhere", "folder:"))
    yield Call("aggregate: no examples", lambda w: lrp.aggregate(w.model, [], progress=False), ("no example|empty",))
    for label, example, words in (
        ("a number", 3, ("int", "tensor")), ("text", "x", ("str", "tensor")), ("None", None, ("None", "tensor")),
        ("one alone", (torch.zeros(3, 8, 8),), ("label|tuple",)), ("of two", (torch.zeros(3, 8, 8), 1.5), ("1.5", "label")),
        ("of text", (torch.zeros(3, 8, 8), "cat"), ("cat", "label")), ("of −2", (torch.zeros(3, 8, 8), -2), ("-2", "label")),
        ("far beyond", (torch.zeros(3, 8, 8), 10**30), ("10{10}", "label")), ("of truth", (torch.zeros(3, 8, 8), 0.5), ("0.5", "label")),
        ("small", (torch.zeros(3, 2, 2), 0), (r"\(3, 2, 2\)|2, 2",)), ("whole", (torch.zeros(3, 8, 8, dtype=torch.int64), 0), ("int64",)),
        ("of NaN", (torch.full((3, 8, 8), NAN), 0), ("nan|not finite",)),
    ):  # fmt: skip
        yield Call(
            f"aggregate: an example {label}",
            lambda w, e=example: w.aggregate([w.data[0], e], limit=None),
            (*words, "1|2"),
        )
    for value in ("xor", "", 3, None, True, ("input",), ("input", "and", 1), OBJECT):
        yield from _over("masks[…]", lambda w, v: w.masks[v], value)
    yield from _over("masks.row", lambda w, v: w.masks.row(v), 99, "cat", None, True, 1.5, [], OBJECT, words=("class",))
    yield from _over("masks.at_layer", lambda w, v: w.masks.at_layer(v), "heads", None, 3, [], OBJECT, words=("layer",))
    yield from _over("masks.save", lambda w, v: w.masks.save(v), "/nowhere/x.safetensors", None, 3, "x.txt", "")
    yield from _over("Masks.load", lambda w, v: lrp.Masks.load(v), "/nowhere/x.safetensors", None, 3, "", "\0")
    odd = (("empty.safetensors", b""), ("odd.safetensors", b"\0" * 64), ("text.safetensors", "☃".encode()))
    for name, content in odd:
        yield Call(f"Masks.load {name}", lambda w, n=name, c=content: lrp.Masks.load(w.file(n, c)), (name,))


def zoo() -> Iterator[Call]:
    yield from _over(
        "load_model",
        lambda w, v: lrp.load_model(v),
        "digits-cn",
        "",
        "☃",
        3,
        None,
        True,
        OBJECT,
        Path("x"),
        [],
        words=("model",),
    )
    weights = lambda w, v: lrp.load_model("digits-mlp", weights=v)  # noqa: E731
    bad = ("/nowhere/w.pt", "", "☃.pt", 3, True, OBJECT, "\0.pt", "/", [])
    yield from _over("load_model: weights", weights, *bad, words=("weights|file",))
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
        ("a number", 3, "int"), ("a list", [1], "list"), ("nothing", {}, "dict|empty"), ("text", {"a": "b"}, "str"),
        ("others", {"a": torch.zeros(3)}, "digits-mlp|'a'"), ("sparse", {"a": torch.eye(3).to_sparse()}, "sparse|'a'"),
    ):  # fmt: skip
        yield Call(
            f"load_model: weights that hold {label}", lambda w, c=content: weights(w, _saved(w, c)), ("held.pt", word)
        )
    yield from _over(
        "load_dataset",
        lambda w, v: lrp.load_dataset(v),
        "digit",
        "",
        "☃",
        3,
        None,
        True,
        OBJECT,
        [],
        words=("data set",),
    )
    yield from _over(
        "load_dataset: folder",
        lambda w, v: lrp.load_dataset(f"folder:{v}"),
        "/nowhere",
        "/dev/null",
        "\0",
        words=("folder|file",),
    )
    yield from _over(
        "load_dataset: split",
        lambda w, v: lrp.load_dataset("digits", v),
        "validation",
        "",
        3,
        None,
        True,
        [],
        words=("split",),
    )
    yield from _over(
        "load_dataset: card", lambda w, v: lrp.load_dataset("digits", card=v), 3, "x", OBJECT, {}, words=("card",)
    )
    yield from _over("digits[…]", lambda w, v: lrp.load_dataset("digits")[v], "x", 1.5, None, True, OBJECT)


def _saved(world: World, content: Any) -> str:
    path = world.folder / "held.pt"
    torch.save(content, path)
    return str(path)


def pages() -> Iterator[Call]:
    yield from _over(
        "explore: model", lambda w, v: lrp.explore(v), "digits-cn", "", 3, True, OBJECT, [], words=("model",)
    )
    data = lambda w, v: lrp.explore(w.model, v)  # noqa: E731
    bad = ("digit", "", 3, True, OBJECT, torch.zeros(3), torch.zeros(0, 3, 8, 8), [])
    yield from _over("explore: data", data, *bad, words=("data|given|tensor|label",))
    unequal = (torch.zeros(2, 3, 8, 8), torch.zeros(3))
    yield Call("explore: too many labels", lambda w: data(w, unequal), (r"\b2\b", r"\b3\b", "labels"))
    state = lambda name: lambda w, v: lrp.explore(w.model, w.x, **{name: v})  # noqa: E731
    yield from _over("explore: composite", state("composite"), "x", 3, None, words=("composite",))
    yield from _over("explore: example", state("example"), 99, -1, "x", 1.5, None, words=("example",))
    yield from _over("explore: target", state("target"), -1, "x", 1.5, words=("target|class",))
    yield from _over("explore: semiring", state("semiring"), "x", 3, None, words=("semiring",))
    yield from _over("explore: theta", state("theta"), -1.0, NAN, "x", None, words=("theta",))
    yield from _over(
        "explore: numbers", state("numbers"), {"gamma": "x"}, {"gamma": -1.0}, {"gamma": NAN}, 3, words=("gam|numbers",)
    )
    yield Call("explore: no such number", lambda w: state("numbers")(w, {"gama": 1.0}), ("gama", "gamma"))
    yield from _over("explore: view", state("view"), "x", 3, None, words=("view",))
    yield Call("explore: no such trait", state("gama") and (lambda w: state("gama")(w, 1.0)), ("gama",))


def shell() -> Iterator[Call]:
    """Flags of the command: one line on stderr, code 2."""

    def line(label: str, *argv: Any, words: tuple[str, ...]) -> Call:
        return Call(f"$ {label}", lambda w: _refuse(w.shell(*[a(w) if callable(a) else a for a in argv])), words)

    base = (
        "explain",
        World.picture,
        "--model",
        "digits-mlp",
        "--out",
        lambda w: str(w.folder / "out.png"),
        "--device",
        "cpu",
    )
    for flag, value, words in (
        ("--model", "digits-ml", ("digits-ml", "mean")), ("--model", "", ("model",)), ("--composite", "x", ("composite", "'x'")),
        ("--composite", "epsilon-gamma-boxx", ("composite",)), ("--target", "99", ("99",)), ("--target", "-1", ("-1",)),
        ("--target", "cat", ("cat",)), ("--target", "", ("class|target",)), ("--target", "1.5", ("1.5",)), ("--out", "x.txt", ("x.txt", r"\.png")),
        ("--out", "", ("out",)), ("--out", "/nowhere/x.png", ("/nowhere",)), ("--device", "gpu", ("gpu",)), ("--device", "cuda:x", ("cuda:x",)),
        ("--weights", "/nowhere/w.pt", ("/nowhere/w.pt",)), ("--weights", "/dev/null", ("null",)), ("--weights", "", ("weights",)),
        ("--colour", "red", ("--colour",)),
    ):  # fmt: skip
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
    for flag, value in (("--port", "0"), ("--port", "-1"), ("--port", "99999"), ("--port", "http"), ("--port", "1.5"),
                        ("--ip", "no address"), ("--ip", ""), ("--ip", "999.1.1.1"), ("--device", "gpu"), ("--colour", "red")):  # fmt: skip
        yield line(f"{flag} {value}", flag, value, "--no-browser", words=(re.escape(value) or "ip",))
    masks = (
        "masks",
        "digits-mlp",
        "digits",
        "--out",
        lambda w: str(w.folder / "masks"),
        "--limit",
        "1",
        "--quiet",
        "--device",
        "cpu",
    )
    for flag, value, words in (
        ("--limit", "0", ("limit",)), ("--limit", "x", ("limit",)), ("--batch", "0", ("batch",)), ("--theta", "nan", ("theta",)),
        ("--theta", "x", ("theta",)), ("--classes", "99", ("99",)), ("--classes", "cat", ("cat",)), ("--classes", ",", ("class",)),
        ("--reduce", "xor", ("xor",)), ("--reduce", "", ("reduc",)), ("--reduce", "quantile(2)", ("quantile",)), ("--layer", "heads", ("heads",)),
        ("--layer", ",", ("layer",)), ("--composite", "x", ("composite",)), ("--semiring", "x", ("semiring",)), ("--target", "x", ("target",)),
        ("--split", "x", ("split",)), ("--runner", "x", ("runner",)), ("--weights", "/nowhere/w.pt", ("/nowhere/w.pt",)),
        ("--device", "gpu", ("gpu",)), ("--out", "/dev/null", ("/dev/null",)), ("--out", "/dev/null/x", ("/dev/null",)),
    ):  # fmt: skip
        yield line(f"masks {flag} {value!r}", *masks, flag, value, words=words)
    yield line("masks of no model", "masks", "x", "digits", *masks[3:], words=("model", "'x'"))
    yield line("masks of no data", "masks", "digits-mlp", "x", *masks[3:], words=("data set", "'x'"))


class Said(Exception):
    """What the command says where it refuses."""


def _refuse(text: str) -> None:
    raise Said(text)


# Errors of Python's own protocols: of iteration, of attributes, and for a keyword that a function does not have.
PYTHON: dict[str, tuple[Callable[[World], Any], type[Exception], str]] = {
    "digits[1000000]": (lambda w: lrp.load_dataset("digits")[10**6], IndexError, "range"),
    "lrp.explian": (lambda w: lrp.explian, AttributeError, "'explian'.*explain"),
    "explain(tgt=)": (lambda w: w.explain(tgt=1), TypeError, "'tgt'"),
    "Session(tgt=)": (lambda w: lrp.Session(w.model, w.x, tgt=1), TypeError, "'tgt'"),  # pyright: ignore
    "relevance(tgt=)": (lambda w: w.session.relevance(tgt=1), TypeError, "'tgt'"),
    "coverage(tgt=)": (lambda w: lrp.coverage(w.model, w.x, tgt=1), TypeError, "'tgt'"),  # pyright: ignore
    "aggregate(tgt=)": (lambda w: w.aggregate(tgt=1), TypeError, "'tgt'"),
    "load_model(wts=)": (lambda w: lrp.load_model("digits-mlp", wts=1), TypeError, "'wts'"),  # pyright: ignore
    "load_dataset(part=)": (lambda w: lrp.load_dataset("digits", part=1), TypeError, "'part'"),  # pyright: ignore
    "Epsilon(eps=)": (lambda w: rules.Epsilon(eps=1), TypeError, "'eps'"),  # pyright: ignore
    "EpsilonPlus(eps=)": (lambda w: composites.EpsilonPlus(eps=1), TypeError, "'eps'"),  # pyright: ignore
    "Boolean(threshold=)": (lambda w: semirings.Boolean(threshold=1), TypeError, "'threshold'"),  # pyright: ignore
    "relevance.input=": (lambda w: setattr(w.plain, "input", 1), AttributeError, "input"),
    "relevance.target=": (lambda w: setattr(w.plain, "target", 1), AttributeError, "target"),
}
TABLES = (
    settings_of_relevance,
    inputs,
    models,
    parameters,
    algebras,
    best_paths,
    sweeps,
    attributions,
    aggregates,
    zoo,
    pages,
    shell,
)
CALLS = [call for table in TABLES for call in table()]

"""Pictures, models and devices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from hostile.call import GARBAGE, INF, NAN, OBJECT, Call, over
from torch import nn

import lrp_explorer as lrp


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
    for label, start in (
        ("explain", explaining),
        ("Session", lambda w, v: lrp.Session(w.model, v, "cpu")),
        ("coverage", lambda w, v: lrp.coverage(w.model, v)),
        ("attribute", lambda w, v: lrp.attribute(w.model, v, device="cpu")),
        ("another", lambda w, v: w.session.another(v)),
    ):
        bad = (None, 3, True, "picture.png", OBJECT, [], [[1.0, 2.0]], np.zeros(3, np.float32))
        yield from over(f"{label}: x", start, *bad)
    for label, start in (
        ("explain", lambda w, v: lrp.explain(v, w.x)),
        ("coverage", lambda w, v: lrp.coverage(v, w.x)),
        ("attribute", lambda w, v: lrp.attribute(v, w.x)),
        ("aggregate", lambda w, v: lrp.aggregate(v, w.data)),
    ):
        bad = (None, 3, True, OBJECT, [], {}, torch.zeros(3), nn.Linear)
        yield from over(f"{label}: model", start, *bad, words=("model", "Module"))
    for label, start in (
        ("explain", lambda w, v: w.explain(device=v)),
        ("aggregate", lambda w, v: w.aggregate(device=v)),
        ("attribute", lambda w, v: lrp.attribute(w.model, w.x, device=v)),
        ("coverage", lambda w, v: lrp.coverage(w.model, w.x, device=v)),
        ("explore", lambda w, v: lrp.explore(w.model, w.x, device=v)),
    ):
        bad = ("gpu", "cuda:99", "", "☃", 7, -1, True, 1.5, OBJECT, "meta", "cpu:3", "CPU")
        yield from over(f"{label}: device", start, *bad, words=("device",))
    yield from over("memory", lambda w, v: lrp.Session(w.model, w.x, "cpu", v), -1, "lots", 1.5, NAN, True, *GARBAGE)


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

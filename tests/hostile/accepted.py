"""Unusual calls that are right: what is found, and the plain call whose result it has to equal."""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile.world import World
from torch import Tensor, nn

import lrp_explorer as lrp
from lrp_explorer import composites, rules, semirings

Pair = tuple[Any, Any]


class Tagged(Tensor):
    """A subclass of tensors, as libraries of pictures and of fields have them."""


def _read_only(x: Tensor) -> Tensor:
    array = x.numpy().copy()
    array.setflags(write=False)
    return torch.from_numpy(array)


def _offset(x: Tensor) -> Tensor:
    store = torch.zeros(x.numel() + 7)
    view = store[5 : 5 + x.numel()].view(x.shape)
    return view.copy_(x)


def _inference(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x.clone()


LIKE_X: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed twice": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "every second of more": lambda x: x.repeat_interleave(2, dim=3)[..., ::2],
    "a view with an offset": _offset,
    "read-only": _read_only,
    "with gradients": lambda x: x.clone().requires_grad_(),
    "with a history": lambda x: x.clone().requires_grad_() * 1.0,
    "a parameter": nn.Parameter,
    "a subclass": lambda x: x.clone().as_subclass(Tagged),
    "made in inference mode": _inference,
    "turned negative twice": lambda x: torch._neg_view(-x),
    "strided by 0 in the batch": lambda x: x[:1].expand(2, -1, -1, -1),
}

LIKE_1: dict[str, Any] = {
    "np.int64": np.int64(1),
    "np.int32": np.int32(1),
    "np.uint8": np.uint8(1),
    "a tensor": torch.tensor(1),
    "a small tensor": torch.tensor(1, dtype=torch.uint8),
    "an array": np.array(1),
    "a list": [1, 1],
    "a tuple": (1, 1),
    "arrays of int32": np.array([1, 1], np.int32),
    "a range": range(1, 2) and [*range(1, 2)] * 2,
    "a tensor of int32": torch.tensor([1, 1], dtype=torch.int32),
    "a view": torch.ones(4, dtype=torch.int64)[::2],
    "a list of np.int64": [np.int64(1)] * 2,
    "a read-only array": np.broadcast_to(np.int64(1), 2),
}

LIKE_HALF: dict[str, Any] = {
    "np.float64": np.float64(0.5),
    "np.float32": np.float32(0.5),
    "np.float16": np.float16(0.5),
}


def _inputs() -> Iterator[tuple[str, Callable[[World], Pair]]]:
    for name, change in LIKE_X.items():
        yield f"x {name}", lambda w, c=change: (w.explain(c(w.x)).input, w.explain(c(w.x).detach().clone()).input)
    yield "x under no_grad", lambda w: (torch.no_grad()(w.explain)().input, w.plain.input)
    yield "x under inference_mode", lambda w: (torch.inference_mode()(w.explain)().input.clone(), w.plain.input)
    yield "another x", lambda w: (w.session.another(w.x.clone()).relevance().input, w.plain.input)
    yield "a device", lambda w: (w.explain(device=torch.device("cpu")).input, w.plain.input)
    for memory in (0, 1, 10**30, np.int64(10**6), None):
        yield (
            f"memory={memory}",
            lambda w, m=memory: (lrp.Session(w.model, w.x, "cpu", m).relevance().input, w.plain.input),
        )


def _settings() -> Iterator[tuple[str, Callable[[World], Pair]]]:
    for name, target in LIKE_1.items():
        yield f"target {name}", lambda w, t=target: (w.session.relevance(t).input, w.session.relevance(1).input)
    ones = torch.ones(2, 5)
    like = {
        "double": ones.double(),
        "bfloat16": ones.bfloat16(),
        "whole": ones.long(),
        "with gradients": ones.clone().requires_grad_(),
        "expanded": torch.ones(1).expand(2, 5),
        "turned": torch.ones(5, 2).T,
        "a subclass": ones.as_subclass(Tagged),
    }
    for name, seed in like.items():
        yield (
            f"seed {name}",
            lambda w, s=seed: (w.session.relevance(seed=s).input, w.session.relevance(seed=ones).input),
        )
    for name, half in LIKE_HALF.items():
        yield (
            f"gamma {name}",
            lambda w, h=half: (
                w.session.relevance(composite=composites.Uniform(rules.Gamma(h))).input,
                w.session.relevance(composite=composites.Uniform(rules.Gamma(0.5))).input,
            ),
        )
        yield f"theta {name}", lambda w, h=half: (w.paths.at(h).input, w.paths.at(0.5).input)
        yield (
            f"edges at {name}",
            lambda w, h=half: (
                w.session.relevance(semiring=semirings.Boolean(h)).input,
                w.session.relevance(semiring=semirings.Boolean(0.5)).input,
            ),
        )
    yield (
        "epsilon 1",
        lambda w: (
            w.session.relevance(composite=composites.EpsilonPlus(1)).input,
            w.session.relevance(composite=composites.EpsilonPlus(1.0)).input,
        ),
    )
    yield "a semiring's class", lambda w: (w.session.relevance(semiring=semirings.Bottleneck).input, w.paths.input)
    flat = {"head": rules.Epsilon(0.1)}
    for kind in (OrderedDict, types.MappingProxyType):
        yield (
            f"override by {kind.__name__}",
            lambda w, k=kind: (
                w.session.relevance(composite=composites.EpsilonPlus().override(k(flat))).input,
                w.session.relevance(composite=composites.EpsilonPlus().override(flat)).input,
            ),
        )
    box = lambda w, low, high: w.session.relevance(composite=composites.EpsilonGammaBox(low, high)).input  # noqa: E731
    for name, low in {
        "a list": [-5] * 3,
        "an array": np.full(3, -5.0),
        "a tensor": torch.full((1, 3, 1, 1), -5),
        "np.float32": np.float32(-5),
    }.items():
        yield f"bounds as {name}", lambda w, b=low: (box(w, b, 5.0), box(w, -5.0, 5.0))


def _methods() -> Iterator[tuple[str, Callable[[World], Pair]]]:
    path = lambda w, index, example=0: [s.index for s in w.session.best_path(index, example)]  # noqa: E731
    for name, index in {
        "a list": [0, 1, 1],
        "np.int64": tuple(np.array([0, 1, 1])),
        "an array": np.array([0, 1, 1]),
        "a tensor": torch.tensor([0, 1, 1]),
    }.items():
        yield f"index as {name}", lambda w, i=index: (path(w, i), path(w, (0, 1, 1)))
    yield "example np.int64", lambda w: (path(w, (0, 1, 1), np.int64(1)), path(w, (0, 1, 1), 1))
    shares = lambda w, thetas: w.paths.influence(thetas)["input"]  # noqa: E731
    for name, thetas in {
        "a tuple": (0.1, 0.2),
        "an array": np.array([0.1, 0.2]),
        "a tensor": torch.tensor([0.1, 0.2], dtype=torch.float64),
    }.items():
        yield f"thetas as {name}", lambda w, t=thetas: (shares(w, t), shares(w, [0.1, 0.2]))
    swept = lambda w, values, name="epsilon": torch.stack([r.input for r in w.session.sweep(name, values)])  # noqa: E731
    for name, values in {"a tuple": (0.5, 1.0), "an array": np.array([0.5, 1.0]), "a map": None}.items():
        yield (
            f"values as {name}",
            lambda w, v=values: (swept(w, map(float, (0.5, 1)) if v is None else v), swept(w, [0.5, 1.0])),
        )
    yield "targets as a range", lambda w: (swept(w, range(3), "target"), swept(w, [0, 1, 2], "target"))


def _folding() -> Iterator[tuple[str, Callable[[World], Pair]]]:
    mean = lambda w, **more: w.aggregate(**{"reduce": "mean", "limit": None} | more)["mean"]  # noqa: E731
    usual: dict[str, dict[str, Any]] = {
        "limit np.int64": {"limit": np.int64(2)},
        "batch np.int64": {"batch": np.int64(3)},
        "layer as a tuple": {"layer": ("input",)},
        "reduce as a generator": {"reduce": iter(["mean"])},
        "theta np.float32": {"theta": np.float32(0.5)},
        "only_correct np.bool_": {"only_correct": np.False_},
    }
    for name, settings in usual.items():
        plain = {key: value.item() for key, value in settings.items() if isinstance(value, np.generic)}
        yield name, lambda w, s=settings, p=plain: (mean(w, **s), mean(w, **p))
    for name, classes in {
        "a tuple": (0, 1),
        "a range": range(2),
        "an array": np.arange(2),
        "a generator": None,
        "names": ["0", "1"],
    }.items():
        if name != "names":
            yield (
                f"classes as {name}",
                lambda w, c=classes: (mean(w, classes=iter((0, 1)) if c is None else c)[:2], mean(w)[:2]),
            )
    yield "one class", lambda w: (mean(w, classes=np.int64(1))[0], mean(w)[1])

    def doubled(w: World) -> Any:
        return [(x.double() if i % 2 else x, label) for i, (x, label) in enumerate(w.data)]

    yield (
        "examples of two types",
        lambda w: (w.aggregate(doubled(w), reduce="mean")["mean"], w.aggregate(reduce="mean")["mean"]),
    )

    def written(w: World, kind: Callable[[str], Any]) -> Pair:
        place = kind(str(w.folder / "☃ and spaces.safetensors"))
        w.masks.save(place)
        return lrp.Masks.load(place)["mean"], w.masks["mean"]

    yield "masks in a file", lambda w: written(w, str)
    yield "masks in a Path", lambda w: written(w, Path)
    yield "a mask with spaces", lambda w: (w.masks["input", " mean "], w.masks["mean"])
    yield "a row by np.int64", lambda w: (w.masks.row(np.int64(1)), w.masks.row(1))
    yield "a row by name", lambda w: (w.masks.row("all"), 5)


ACCEPTED = [pair for table in (_inputs, _settings, _methods, _folding) for pair in table()]

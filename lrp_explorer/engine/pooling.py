"""Pooling in a semiring: by shares of each window, to the winner, or by the input itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.account import divide, scaled_epsilon
from lrp_explorer.engine.annotate import Annotator
from lrp_explorer.engine.means import averaging
from lrp_explorer.engine.passing import value_of
from lrp_explorer.engine.windows import first_largest, fold, kept_axes, pooled_axes, summed
from lrp_explorer.rules import Winner


def averaged(step: Annotator) -> Tensor:
    """Averages: each input by its share of the window's sum."""
    if step.node.op in ("mean", "sum", "amax"):
        return _over_axes(step)
    return _shares(step)


def pooled(step: Annotator) -> Tensor:
    """Max pooling, as the semiring says: by shares, to the winner, or by the input itself."""
    by_rule = "winner" if isinstance(step.rule, Winner) else "average"
    pooling = by_rule if step.paths is None else step.paths.pooling
    if pooling == "winner":
        return _to_winner(step)
    by_input = pooling == "activation"
    return _over_axes(step, by_input=by_input) if step.node.op == "amax" else _shares(step, by_input=by_input)


def _shares(step: Annotator, *, by_input: bool = False) -> Tensor:
    node, record, x = step.node, step.record, step.x
    out = tuple(record.value(node.name).shape[2:])
    if step.separate or by_input:
        return _fold(step, lambda at, of: step.chain(x[at], step.relevance[of]), out)
    if step.by_strongest:
        strongest = summed(node, record, x.abs(), out, torch.maximum)
        factor = torch.where(strongest > 0, 1.0 / strongest, 0.0)
    else:
        z, share = _average(step, out)
        factor = divide(torch.ones_like(z), z, _epsilon(step.rule, z)) * share
    return _fold(step, lambda at, of: step.chain(x[at] * factor[of], step.relevance[of]), out)


def _average(step: Annotator, out: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """What every window averages to, and the factor of each of its inputs: as the layer's own operation has them.

    Zeros beyond the edge may count or not, and a divisor may be given: what the operation makes of ones tells.
    """
    node, record, x = step.node, step.record, step.x
    mean = averaging(node, record) if node.kind == "max_pool" else value_of(node, record)
    z = mean(x) if node.kind == "max_pool" else record.value(node.name)
    ones = torch.ones_like(x[:1, :1])
    return z, mean(ones) / summed(node, record, ones, out, torch.add)


def _fold(step: Annotator, message: Callable[..., Tensor], out: tuple[int, ...]) -> Tensor:
    return fold(step.semiring, step.node, step.record, step.relevance, out, message)


def _to_winner(step: Annotator) -> Tensor:
    """All to the largest input of each window, the first in row-major order, found by comparing values."""
    node, record, x = step.node, step.record, step.x
    largest = record.value(node.name)
    none = step.semiring.full((1,) * x.dim(), step.relevance)
    axes = (1,) * len(step.semiring.element)
    if node.op == "amax":
        over = pooled_axes(node, x)
        won = first_largest(x, over, kept_axes(largest, x, over))
        relevance = kept_axes(step.relevance, x, over, step.semiring.element)
        return torch.where(won.reshape(*won.shape, *axes), relevance, none)
    taken = torch.zeros_like(largest, dtype=torch.bool)

    def message(at: Any, of: Any) -> Tensor:
        # A window's inputs come in row-major order: one by one, or all of a cell's at once.
        whole = x[at].shape != taken[of].shape
        equal = first_largest(x[at], range(2, x.dim()), largest[of]) if whole else x[at] == largest[of]
        won = equal & ~taken[of]
        taken[of] |= won.flatten(2).any(2).reshape(taken[of].shape) if whole else won
        return torch.where(won.reshape(*won.shape, *axes), step.relevance[of], none)

    return _fold(step, message, tuple(largest.shape[2:]))


def _over_axes(step: Annotator, *, by_input: bool = False) -> Tensor:
    """Means over whole axes: every input has one output."""
    node, x = step.node, step.x
    axes = pooled_axes(node, x)
    relevance = kept_axes(step.relevance, x, axes, step.semiring.element)
    if step.separate or by_input:
        d = x
    elif step.by_strongest:
        strongest = x.abs().amax(axes, keepdim=True)
        d = torch.where(strongest > 0, x.abs() / strongest, 0.0)
    else:
        count = 1 if node.op == "sum" else math.prod(x.shape[axis] for axis in axes)
        z = x.sum(axes, keepdim=True) / count
        d = x * (divide(torch.ones_like(z), z, _epsilon(step.rule, z)) / count)
    return step.chain(d, relevance)


def _epsilon(rule: Any, z: Tensor) -> float | Tensor:
    if getattr(rule, "relative", None) is not None:
        return scaled_epsilon(rule, z)
    return float(getattr(rule, "stabilizer", 1e-6))

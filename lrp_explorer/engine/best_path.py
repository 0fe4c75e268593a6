"""The best path itself: from one neuron of the input up to the target's output, by the edges that made it best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from lrp_explorer.engine.annotate import Annotator
from lrp_explorer.engine.cache import Memo
from lrp_explorer.engine.edges import layer_edges
from lrp_explorer.engine.paths import LINEAR, path_step
from lrp_explorer.engine.record import Record
from lrp_explorer.engine.thresholds import Scale
from lrp_explorer.errors import InputError
from lrp_explorer.graph import INPUT, Node
from lrp_explorer.results import PathStep, Table
from lrp_explorer.rules import Rule
from lrp_explorer.semirings import Viterbi
from lrp_explorer.semirings.edges import Edges


def best_path(
    record: Record,
    rules: Mapping[str, Rule],
    semiring: Viterbi,
    maps: Mapping[str, Tensor],
    index: tuple[int, ...],
    memo: Callable[[str], Memo],
) -> Table[PathStep]:
    """Trace the maximum back: at every layer, the output whose edge and strength give this neuron its own.

    Parameters
    ----------
    record : Record
        The recorded forward pass of one example.
    rules : mapping
        Layer → rule.
    semiring : Viterbi
        The algebra in which `maps` were computed.
    maps : mapping
        Layer → strength of the best path from there, of one example ``(1, ...)``.
    index : tuple of int
        A neuron of the input, without the batch, as `checked_index` gives it.
    memo : callable
        Layer → what keeps what its steps need.

    Returns
    -------
    Table of PathStep
        Input side first.

    Raises
    ------
    InputError
        If no path leads from there to the target.
    """
    shape = tuple(maps[INPUT].shape[1:])
    here, name = _flat(index, shape), INPUT
    if float(maps[INPUT].flatten()[here]) <= 0.0:
        raise InputError(f"no path leads from the input's {index} to the target; choose a neuron of strength > 0")
    steps = []
    while name != record.graph.output:
        strength = float(maps[name].flatten()[here])
        found = [
            _onward(
                node,
                rules[node.name],
                semiring,
                record,
                maps[node.name],
                node.inputs.index(name),
                here,
                memo(node.name),
            )
            for node in record.graph.consumers[name]
        ]
        best = max(range(len(found)), key=lambda i: found[i][0])
        node, there = record.graph.consumers[name][best], found[best][1]
        above = float(maps[node.name].flatten()[there])
        steps.append(PathStep(name, _place(here, tuple(maps[name].shape[1:])), strength, strength / above))
        name, here = node.name, there
    strength = float(maps[name].flatten()[here])
    return Table([*steps, PathStep(name, _place(here, tuple(maps[name].shape[1:])), strength, 1.0)])


def checked_index(index: object, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the place of one neuron in a value of this shape, in whole numbers that count from 0.

    Raises
    ------
    InputError
        When it is anything else.
    """
    expected = f"one neuron of an input of shape {shape} is expected: {len(shape)} whole numbers from 0"
    if isinstance(index, (Tensor, np.ndarray)):
        index = index.tolist()
    if not isinstance(index, (tuple, list)):
        raise InputError(f"index is {index!r}, but {expected}")
    if len(index) != len(shape):
        raise InputError(f"index is {tuple(index)!r}, but {expected}")
    for axis, (i, n) in enumerate(zip(index, shape, strict=True)):
        whole = isinstance(i, (int, np.integer)) and not isinstance(i, bool)
        if not whole or not 0 <= int(i) < n:
            raise InputError(
                f"index is {tuple(index)!r}, whose number {i!r} for axis {axis} is not one of 0 to {n - 1}; {expected}"
            )
    return tuple(int(i) for i in index)


def _onward(
    node: Node,
    rule: Rule,
    semiring: Viterbi,
    record: Record,
    above: Tensor,
    position: int,
    here: int,
    memo: Memo,
) -> tuple[float, int]:
    """Best strength that a layer's outputs give to input neuron `here`, and the output that does."""
    if node.kind in LINEAR:
        return _through_weights(node, rule, semiring, record, above, here, memo)

    # The maximum's own derivative names the output that it was taken from.
    with torch.enable_grad():
        relevance = above.detach().clone().requires_grad_()
        part = path_step(node, rule, semiring, record, relevance, memo, Scale())[position]
        strength = part.reshape(-1)[here]
        (edges,) = torch.autograd.grad(strength, relevance, allow_unused=True) if strength.requires_grad else (None,)
    return float(strength), 0 if edges is None else int(edges.reshape(-1).argmax())


def _through_weights(
    node: Node, rule: Rule, semiring: Viterbi, record: Record, above: Tensor, here: int, memo: Memo
) -> tuple[float, int]:
    """One neuron's edges to all outputs, by the layer itself applied to that neuron alone."""
    walk = Annotator(node, rule, semiring, record, above, Scale())
    edges = layer_edges(node, rule, walk.linear_step(memo), semiring)
    alone = _zeros(walk.x)
    alone.view(-1)[here] = 1.0
    only = edges.turn_in(alone)
    strengths = _zeros(edges.turn(above))
    for part in edges.parts:
        c = _applied(part, part.x * only)
        d = (c * torch.where(c > 0, part.positive, part.negative)).abs()
        strengths = torch.maximum(strengths, d * edges.turn(above))
    if edges.separate is not None:
        strengths = strengths * float((edges.separate * only).abs().sum())
    number = torch.arange(above.numel(), dtype=torch.float64, device=above.device).reshape(above.shape)
    best = int(strengths.flatten().argmax())
    return float(strengths.flatten()[best]), int(edges.turn(number).flatten()[best])


def _applied(edges: Edges, x: Tensor) -> Tensor:
    geometry = edges.geometry
    if geometry.rank == 0:
        return torch.nn.functional.linear(x, edges.weight)
    each = (list(geometry.stride), list(geometry.padding), list(geometry.dilation))
    return torch.convolution(x, edges.weight, None, *each, False, [0] * geometry.rank, geometry.groups)


def _zeros(like: Tensor) -> Tensor:
    # In the order of indices, whatever the strides of `like`.
    return torch.zeros_like(like, memory_format=torch.contiguous_format)


def _flat(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    flat = 0
    for i, n in zip(index, shape, strict=True):
        flat = flat * n + i
    return flat


def _place(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    place = []
    for n in reversed(shape):
        flat, i = divmod(flat, n)
        place.append(i)
    return tuple(reversed(place)) if math.prod(shape) else ()

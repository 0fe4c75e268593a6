"""From a linear layer and its rule to the real coefficients d_jk with which the rule hands relevance down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from lrp_explorer.engine.account import divide
from lrp_explorer.engine.first import in_box, squares, view
from lrp_explorer.engine.linear import LinearStep
from lrp_explorer.errors import CoverageError
from lrp_explorer.graph import Node
from lrp_explorer.rules import Flat, LinearRule, Rule, WSquare, ZBox
from lrp_explorer.semirings import PathSemiring, Semiring, Tropical, Viterbi
from lrp_explorer.semirings.edges import Edges, Geometry
from lrp_explorer.semirings.kernels import largest

Part = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LayerEdges:
    """All edges of one layer, in the layout of kernels: features are the second axis.

    Attributes
    ----------
    parts : sequence of Edges
        No pair of neurons has an edge in more than one of them.
    turn, turn_in, turn_back : callable
        From the layer's own layout ``(batch, ..., features)`` to that of kernels, for outputs and for inputs, and back
        for inputs.
    separate : Tensor or None
        Activations a_j that still have to be annotated and chained, where edges are weights alone.
    """

    parts: Sequence[Edges]
    turn: Callable[[Tensor], Tensor]
    turn_in: Callable[[Tensor], Tensor]
    turn_back: Callable[[Tensor], Tensor]
    separate: Tensor | None = None


def layer_edges(node: Node, rule: Rule, step: LinearStep, semiring: Semiring) -> LayerEdges:
    """Edges of a dense layer or convolution.

    Parameters
    ----------
    node, rule, step
        The layer, the rule that serves it, and what both need.
    semiring : Semiring
        Says whether edges are absolute, divided by the strongest (Viterbi), or activations and weights by themselves.

    Raises
    ------
    CoverageError
        Where a layer's weights do not tell its pairs one by one (transposed convolutions, products from the left).
    """
    geometry, weight = step.layer.geometry, step.layer.weight
    if geometry is None or not isinstance(weight, Tensor):
        raise CoverageError(
            f"layer {node.name!r}: operation {node.op!r} has no edges for semirings; dense layers, convolutions, "
            "pooling, sums and concatenations have. Take semiring='real' for this model"
        )
    turn = turn_in = turn_back = _same
    if geometry.before:
        turn_in, turn_back = _around(geometry, tuple(step.x.shape[2:]))
        geometry = replace(geometry, before=())
    elif geometry.rank == 0 and step.x.dim() > 2:
        # Features come last here; the other axes are places of a convolution of size 1.
        geometry, weight, shape = Geometry((1,), (0,), (1,)), weight.unsqueeze(-1), step.x.shape
        turn = turn_in = _by_place
        turn_back = lambda r: r.transpose(1, 2).reshape(*shape, *r.shape[3:])  # noqa: E731
    if isinstance(semiring, PathSemiring) and semiring.edge == "separate":
        x, ones = turn_in(step.x), torch.ones_like(turn(step.output()))
        parts = [Edges(torch.ones_like(x), weight, ones, ones, geometry, semiring.absolute)]
        return LayerEdges(parts, turn, turn_in, turn_back, x)
    by_strongest = isinstance(semiring, (Viterbi, Tropical)) and semiring.normalise == "max"
    absolute = isinstance(semiring, PathSemiring) and (semiring.absolute or isinstance(semiring, (Viterbi, Tropical)))
    if by_strongest:
        blank = turn(torch.empty_like(step.output()))
        parts = _signed(step, [(step.x, weight)], turn_in, (blank, blank), geometry, absolute=True)
        strongest = step.memo(("largest",), lambda: _strongest(parts))
        share = torch.where(strongest > 0, 1.0 / strongest, 0.0)
        parts = [Edges(e.x, e.weight, share, share, geometry, absolute=True) for e in parts]
    else:
        pairs, factors = _of_rule(rule, step, weight)
        parts = _signed(step, pairs, turn_in, (turn(factors[0]), turn(factors[1])), geometry, absolute=absolute)
    return LayerEdges(parts, turn, turn_in, turn_back)


def _same(x: Tensor) -> Tensor:
    return x


def _by_place(x: Tensor) -> Tensor:
    return x.flatten(1, -2).transpose(1, 2).contiguous()


def _around(geometry: Geometry, size: tuple[int, ...]) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Put zeros around an input of this size, and take their elements away again."""
    sides = list(geometry.before)
    # The last axis comes first in the order of `functional.pad`.
    first = reversed(sides[::2])
    inner = (slice(None), slice(None), *(slice(side, side + n) for side, n in zip(first, size, strict=True)))
    return lambda x: functional.pad(x, sides), lambda r: r[inner].contiguous()


def _strongest(parts: Sequence[Edges]) -> Tensor:
    result = largest(parts[0])
    for part in parts[1:]:
        result = torch.maximum(result, largest(part))
    return result


def _of_rule(rule: Rule, step: LinearStep, weight: Tensor) -> tuple[list[Part], tuple[Tensor, Tensor]]:
    """Inputs and weights whose products are the contributions, and the factors of positive and of negative ones."""
    x, like = step.x, weight.shape
    if isinstance(rule, LinearRule):
        return [(x, weight)], step.factors(rule)
    if isinstance(rule, ZBox):
        low, high = rule.low.like(x), rule.high.like(x)  # type: ignore[union-attr]
        s = _inverse(step, in_box(step, rule), rule.stabilizer)
        # Inputs lie between the bounds: contributions (a − l) w⁺ and (a − h) w⁻ are both positive.
        return [(x - low, weight.clamp(min=0)), (x - high, weight.clamp(max=0))], (s, s)
    if isinstance(rule, (WSquare, Flat)):
        ones, denominator = squares(step, rule) if isinstance(rule, WSquare) else view(step)
        s = _inverse(step, denominator, rule.stabilizer)
        return [(torch.ones_like(x), ones.reshape(like))], (s, s)
    raise TypeError(f"no edges for rule {rule!r}")


def _inverse(step: LinearStep, denominator: Tensor, epsilon: float) -> Tensor:
    one = denominator.new_ones((len(step.x), *denominator.shape[1:]))
    return divide(one, denominator, float(epsilon))


def _signed(
    step: LinearStep,
    pairs: Sequence[Part],
    turn_in: Callable[[Tensor], Tensor],
    factors: tuple[Tensor, Tensor],
    geometry: Geometry,
    *,
    absolute: bool,
) -> list[Edges]:
    """Turn inputs of both signs into inputs ≥ 0: negative ones change sign together with their weights."""
    parts = []
    for given, weight in pairs:
        x = turn_in(given).contiguous()
        known = step.nonnegative and given is step.x
        if known or bool((x >= 0).all()):
            parts.append(Edges(x, weight, *factors, geometry, absolute))
            continue
        if bool((x > 0).any()):
            parts.append(Edges(x.clamp(min=0), weight, *factors, geometry, absolute))
        parts.append(Edges((-x).clamp(min=0), -weight, *factors, geometry, absolute))
    return parts

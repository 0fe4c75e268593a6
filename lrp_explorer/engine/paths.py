"""One step down in a semiring: a layer's edges, annotated and chained with relevance, joined over all outputs."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from lrp_explorer.engine.annotate import Annotator
from lrp_explorer.engine.cache import Memo
from lrp_explorer.engine.pooling import averaged, pooled
from lrp_explorer.engine.record import Record
from lrp_explorer.engine.thresholds import Scale, check_precision
from lrp_explorer.errors import CoverageError, NumericsError
from lrp_explorer.graph import Node
from lrp_explorer.graph.layer_norm import is_centred
from lrp_explorer.graph.pairs import tells_pairs
from lrp_explorer.rules import (
    Average,
    Epsilon,
    Gradient,
    LRNIdentity,
    Magnitude,
    NormIdentity,
    Pass,
    Rule,
    Signal,
    Winner,
    Zero,
)
from lrp_explorer.semirings import Apart, Counting, PathSemiring, Semiring, Viterbi

LINEAR = ("convolution", "linear")
# Kinds without a weight for each pair whose shares LRP-0 and ε tell all the same.
SHARED = ("sum", "shift", "average_pool", "batch_norm", "layer_norm")


def path_step(
    node: Node,
    rule: Rule,
    semiring: Semiring,
    record: Record,
    relevance: Tensor,
    memo: Memo,
    scale: Scale,
    *,
    vanishes_below: bool = False,
) -> list[Tensor]:
    """Hand the relevance of one node's output down to its inputs, in a semiring.

    Parameters
    ----------
    node, rule, semiring
        The layer, the rule whose coefficients are its edges, and the algebra.
    record : Record
        The recorded forward pass.
    relevance : Tensor
        Elements of the node's output ``(*shape, *element)``.
    memo, vanishes_below
        As for `lrp_explorer.engine.propagate.step`.
    scale : Scale
        What the layer's edges are divided by.

    Returns
    -------
    list of Tensor
        Elements for each of ``node.inputs``, in that order.

    Raises
    ------
    CoverageError
        Where an operation has no edges.
    """
    if not has_edges(node, rule):
        raise CoverageError(
            f"layer {node.name!r}: {type(rule).__name__} at operation {node.op!r} has no edges for semirings; dense "
            "layers, convolutions, pooling, sums, concatenations and identities have. Take semiring='real', or set "
            f"another rule by composite.override({{{node.name!r}: …}})"
        )
    walk = Annotator(node, rule, semiring, record, relevance, scale)
    if node.kind in LINEAR:
        return [walk.linear(memo, vanishes_below)]
    if node.kind == "average_pool":
        return [averaged(walk)]
    if node.kind == "layer_norm" and isinstance(rule, (Zero, Epsilon)) and is_centred(node):
        return [walk.normalised()]
    if node.kind == "batch_norm" and not isinstance(rule, Pass):
        return [walk.diagonal(memo)]
    match rule:
        case Zero() | Epsilon() if node.kind == "layer_norm":
            return walk.moved()
        case Signal():
            return walk.signal()
        case Magnitude():
            return walk.summands(lambda parts: [part.abs() for part in parts])
        case Zero() | Epsilon():
            return walk.summands(lambda parts: parts)
        case Winner() | Average():
            return [pooled(walk)]
    return walk.moved()


def has_edges(node: Node, rule: Rule) -> bool:
    """Whether a layer's rule can be taken apart into pairs of neurons."""
    if isinstance(rule, (Pass, NormIdentity, LRNIdentity, Signal, Magnitude, Winner, Average)):
        return True
    if node.kind in LINEAR:
        return tells_pairs(node) and not isinstance(rule, Gradient)
    return isinstance(rule, (Zero, Epsilon)) and node.kind in SHARED


def start_elements(semiring: Semiring, logits: Tensor, target: Tensor) -> Tensor:
    """Put in 𝟙 at the target's output and 𝟘 at the others ``(batch, classes, *element)``.

    Where relevance has a threshold of its own, the logit f of the target is an edge instead, Θ_r(f).

    Raises
    ------
    InputError
        When a threshold is too small for the type of the logits.
    """
    check_precision(semiring, logits.dtype)
    like = torch.empty(0, dtype=semiring.dtype(logits.dtype), device=logits.device)
    start = semiring.full(logits.shape, like)
    ones = semiring.full((len(target),), like, semiring.one)
    theta = getattr(semiring, "theta", None)
    if isinstance(theta, Apart) and theta.relevance is not None:
        f = logits.gather(1, target[:, None])[:, 0]
        f = f.abs() if isinstance(semiring, PathSemiring) and semiring.absolute else f
        ones = semiring.mul(semiring.encode(Scale(theta.relevance).over(f)), ones)
    start[torch.arange(len(target), device=target.device), target] = ones
    return start


def check_range(semiring: Semiring, layer: str, elements: Tensor) -> None:
    """Raise or warn where elements have left the range of their type.

    Raises
    ------
    NumericsError
        When a count is infinite.
    """
    if isinstance(semiring, Counting) and not bool(torch.isfinite(elements).all()):
        raise NumericsError(
            f"layer {layer!r}: more than 1.8e308 paths lead here, beyond double precision; take a larger theta, count "
            "from a lower layer, or ask for the best path by Viterbi or Tropical"
        )
    if isinstance(semiring, Viterbi):
        top = float(elements.amax())
        if 0.0 < top < 1e-30:
            warnings.warn(
                f"layer {layer!r}: the best path's strength, {top:.3g}, nears the end of {elements.dtype}'s range, and "
                "weaker paths vanish; take Tropical, or the model in float64",
                stacklevel=5,
            )

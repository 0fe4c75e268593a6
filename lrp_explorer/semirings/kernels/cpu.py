"""Compiled kernels for the CPU: the reference's results, many times faster.

x_j ≥ 0 and rounding is monotone, so x_j leaves a maximum, to the last bit: max_k x_j · (w · F_k) =
x_j · max_k (w · F_k). Boolean, Viterbi and `largest` are therefore one (max, ×) contraction that never looks at x.
Edges with d ≤ 0 never win: factors are clamped at 0 and come as P for positive weights and N for negative ones; what is
zero all over, or cannot change the result of a tile of neurons, is skipped.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.semirings.algebra import Semiring
from lrp_explorer.semirings.edges import Edges
from lrp_explorer.semirings.library import Boolean, Bottleneck, Counting, Thresholded, Tropical, Viterbi


@cache
def available() -> bool:
    """Whether the compiler is installed."""
    return importlib.util.find_spec("numba") is not None


def covers(semiring: Semiring, edges: Edges) -> bool:
    """Whether `contract` knows this algebra and these edges; if not, the reference does."""
    tensors = (edges.x, edges.weight, edges.positive, edges.negative)
    return (
        type(semiring) in (Boolean, Counting, Viterbi, Bottleneck, Tropical)
        and edges.geometry.rank <= 2
        and edges.x.dim() == 2 + edges.geometry.rank
        and (edges.geometry.rank > 0 or edges.geometry.groups == 1)
        and edges.x.dtype in (torch.float32, torch.float64)
        and all(tensor.device.type == "cpu" and tensor.dtype == edges.x.dtype for tensor in tensors)
        and available()
    )


def contract(semiring: Semiring, edges: Edges, relevance: Tensor) -> Tensor:
    """Compute R_j = ⊕_k encode(d_jk) ⊗ R_k for every input j of a layer.

    The same bits as the reference's for `Boolean`, `Bottleneck` and `Counting` (up to 2⁵³ paths); the same up to
    rounding for `Viterbi` and `Tropical`.

    Parameters
    ----------
    semiring : Semiring
        One that `covers` accepts.
    edges : Edges
        The layer's edges.
    relevance : Tensor
        R_k ``(batch, outputs, *out)``.

    Returns
    -------
    Tensor
        R_j ``(batch, inputs, *in)``.

    Raises
    ------
    TypeError
        If `covers` does not accept semiring and edges.
    """
    if not covers(semiring, edges):
        raise TypeError(f"no compiled kernel for {type(semiring).__name__} and these edges; take the reference")
    from lrp_explorer.semirings.kernels import cpu_layers

    x = edges.x.detach()
    if isinstance(semiring, (Viterbi, Tropical)):
        edges = replace(edges, absolute=True)
    write = partial(_write, semiring, edges.absolute)
    if isinstance(semiring, Tropical):
        return cpu_layers.cheapest(edges, relevance, write).add_(x.log()).neg_()
    if isinstance(semiring, Viterbi):
        return cpu_layers.strongest(edges, relevance, write).mul_(x)
    if isinstance(semiring, Boolean):
        return semiring.reaches(cpu_layers.strongest(edges, relevance, write).mul_(x))
    return cpu_layers.joined(edges, relevance, write, _level(semiring, x.dtype))


def largest(edges: Edges) -> Tensor:
    """Compute max_j x_j · abs(w_jk) for every output k ``(batch, outputs, *out)``: what Viterbi's edges divide by."""
    from lrp_explorer.semirings.kernels import cpu_layers

    return cpu_layers.largest(edges)


def _write(semiring: Semiring, absolute: bool, part: Tensor, factor: Tensor, relevance: Tensor, sign: int) -> None:
    """Fill `part` with factors of edges whose weights have a sign, never negative, zero without relevance."""
    if absolute:
        torch.abs(factor, out=part)
    elif sign > 0:
        torch.clamp(factor, min=0, out=part)
    else:
        torch.neg(factor, out=part).clamp_(min=0)
    if isinstance(semiring, Tropical):
        part.log_().sub_(relevance)
    elif isinstance(semiring, (Bottleneck, Counting)):
        part.mul_(relevance > 0)
    else:
        part.mul_(relevance)


def _level(semiring: Semiring, dtype: torch.dtype) -> Any:
    """The smallest number of a type that reaches the threshold; None for an algebra without."""
    if not isinstance(semiring, Thresholded):
        return None
    level = torch.tensor(semiring.level, dtype=dtype)
    if semiring.strict:
        level = torch.nextafter(level, torch.tensor(torch.inf, dtype=dtype))
    return level.numpy()[()]

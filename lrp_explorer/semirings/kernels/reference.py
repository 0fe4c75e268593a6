"""The truth: any semiring, any device, tile by tile, with nothing but PyTorch and the semiring's own operations."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from lrp_explorer.semirings.algebra import Semiring
from lrp_explorer.semirings.edges import Edges

# Elements that one tile of edges may hold.
TILE = 1 << 22


def contract(semiring: Semiring, edges: Edges, relevance: Tensor) -> Tensor:
    """Compute R_j = ⊕_k encode(d_jk) ⊗ R_k for every input j of a layer.

    Parameters
    ----------
    semiring : Semiring
        The algebra.
    edges : Edges
        The layer's edges.
    relevance : Tensor
        R_k ``(batch, outputs, *out, *element)``.

    Returns
    -------
    Tensor
        R_j ``(batch, inputs, *in, *element)``.
    """
    groups = edges.geometry.groups
    inputs = edges.x.shape[1]
    x, inner = _padded(edges)
    result = semiring.full(x.shape, relevance)
    ins, outs = inputs // groups, edges.weight.shape[0] // groups
    for group in range(groups):
        j, k = slice(group * ins, (group + 1) * ins), slice(group * outs, (group + 1) * outs)
        for tap, window in _windows(edges):
            at = (slice(None), j, *window)
            part = _one_tap(semiring, edges, relevance[:, k], x[at], k, tap)
            result[at] = semiring.add(result[at], part)
    return result[inner].contiguous()


def _padded(edges: Edges) -> tuple[Tensor, tuple[slice, ...]]:
    """Inputs with zeros around them, and where in there they are."""
    size, padding = edges.x.shape[2:], edges.geometry.padding
    x = edges.x.new_zeros((*edges.x.shape[:2], *(n + 2 * pad for n, pad in zip(size, padding, strict=True))))
    inner = (slice(None), slice(None), *(slice(pad, pad + n) for n, pad in zip(size, padding, strict=True)))
    x[inner] = edges.x
    return x, inner


def _windows(edges: Edges) -> list[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each tap of the kernel, and the (padded) inputs that it reads: one for each output."""
    geometry, out = edges.geometry, edges.positive.shape[2:]
    return [
        (
            tap,
            tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, geometry.dilation, out, geometry.stride, strict=True)
            ),
        )
        for tap in itertools.product(*map(range, edges.weight.shape[2:]))
    ]


def _one_tap(semiring: Semiring, edges: Edges, relevance: Tensor, x: Tensor, k: slice, tap: tuple[int, ...]) -> Tensor:
    """⊕ over the outputs, for edges through one tap of the kernel."""
    weight = edges.weight[(k, slice(None), *tap)]
    positive, negative = edges.positive[:, k], edges.negative[:, k]
    axes = (1,) * (x.dim() - 2)
    tile = max(1, TILE // max(1, x.numel() * math.prod(semiring.element)))
    total = semiring.full(x.shape, relevance)
    for start in range(0, weight.shape[0], tile):
        part = slice(start, start + tile)
        w = weight[part].reshape(1, -1, weight.shape[1], *axes)
        factor = torch.where(w > 0, positive[:, part].unsqueeze(2), negative[:, part].unsqueeze(2))
        d = x.unsqueeze(1) * (w * factor)
        d = d.abs() if edges.absolute else d
        messages = semiring.mul(semiring.encode(d), relevance[:, part].unsqueeze(2))
        total = semiring.add(total, semiring.sum(messages, 1))
    return total


def largest(edges: Edges) -> Tensor:
    """Compute max_j x_j · abs(w_jk) for every output k ``(batch, outputs, *out)``: what Viterbi's edges divide by."""
    groups = edges.geometry.groups
    batch, inputs = edges.x.shape[:2]
    x, _ = _padded(edges)
    result = edges.x.new_zeros((batch, *edges.positive.shape[1:]))
    ins, outs = inputs // groups, edges.weight.shape[0] // groups
    for group in range(groups):
        for tap, window in _windows(edges):
            values = x[(slice(None), slice(group * ins, (group + 1) * ins), *window)].unsqueeze(1)
            tile = max(1, TILE // max(1, values.numel()))
            for start in range(group * outs, (group + 1) * outs, tile):
                k = slice(start, min(start + tile, (group + 1) * outs))
                w = edges.weight[(k, slice(None), *tap)].abs()
                part = (values * w.reshape(1, *w.shape, *(1,) * edges.geometry.rank)).amax(2)
                result[:, k] = torch.maximum(result[:, k], part)
    return result

"""Thresholds by quantiles of a layer's own edges, estimated from some of them."""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_explorer.semirings import Quantile
from lrp_explorer.semirings.edges import Edges


def quantile(profile: Quantile, parts: list[Edges]) -> Tensor:
    """τ by the quantile of a layer's edges with d > 0, example by example, from edges drawn with a fixed seed."""
    return _above_zero(profile, torch.cat([_drawn(part, profile.sample) for part in parts], 1))


def quantile_of(profile: Quantile, values: Tensor) -> Tensor:
    """Quantile of the values above 0, for each row of `values` ``(rows, n)``, from some drawn with a fixed seed."""
    if values.shape[1] > profile.sample:
        source = torch.Generator().manual_seed(0)
        chosen = torch.randint(values.shape[1], (profile.sample,), generator=source)
        values = values[:, chosen.to(values.device)]
    return _above_zero(profile, values)


def _above_zero(profile: Quantile, drawn: Tensor) -> Tensor:
    found = []
    for d in drawn:
        positive = d[d > 0]
        found.append(
            torch.quantile(positive.double(), profile.q) if len(positive) else d.new_ones((), dtype=torch.float64)
        )
    return torch.stack(found).clamp(min=torch.finfo(drawn.dtype).tiny)


def _drawn(edges: Edges, count: int) -> Tensor:
    """Draw edges that lie inside the input: d ``(batch, up to count)``, the same pairs for every example."""
    source = torch.Generator().manual_seed(0)
    geometry, size = edges.geometry, edges.x.shape[2:]
    outputs, inputs = edges.weight.shape[:2]

    def draw(n: int) -> Tensor:
        return torch.randint(n, (count,), generator=source)

    k, j = draw(outputs), draw(inputs)
    places, taps = [draw(n) for n in edges.positive.shape[2:]], [draw(n) for n in edges.weight.shape[2:]]
    read = [
        place * stride - padding + tap * dilation
        for place, tap, stride, padding, dilation in zip(
            places, taps, geometry.stride, geometry.padding, geometry.dilation, strict=True
        )
    ]
    inside = torch.ones(count, dtype=torch.bool)
    for position, n in zip(read, size, strict=True):
        inside &= (position >= 0) & (position < n)
    k, j, *rest = (index[inside].to(edges.x.device) for index in (k, j, *places, *taps, *read))
    rank = geometry.rank
    places, taps, read = rest[:rank], rest[rank : 2 * rank], rest[2 * rank :]
    w = edges.weight[(k, j, *taps)]
    channel = k // (outputs // geometry.groups) * inputs + j
    factor = torch.where(w > 0, edges.positive[(slice(None), k, *places)], edges.negative[(slice(None), k, *places)])
    d = edges.x[(slice(None), channel, *read)] * (w * factor)
    return d.abs() if edges.absolute else d

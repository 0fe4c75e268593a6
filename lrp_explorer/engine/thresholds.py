"""Thresholds of edges, layer by layer: what a layer's edges are divided by before they are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lrp_explorer.errors import InputError
from lrp_explorer.graph import Graph, Node, Ref
from lrp_explorer.semirings import PerLayer, Profile, Quantile, Semiring, Size
from lrp_explorer.semirings.edges import Edges

WEIGHTED = ("convolution", "linear")
COMPARED = (*WEIGHTED, "batch_norm", "average_pool", "max_pool", "sum", "shift")
# Layers that no profile speaks of: any share at all counts.
UNNAMED = 1e-9


@dataclass(frozen=True)
class Scale:
    """What one layer's edges are divided by.

    Attributes
    ----------
    by : float or Tensor
        One number, or one for each example ``(batch,)``.
    """

    by: float | Tensor = 1.0

    def over(self, d: Tensor) -> Tensor:
        """Return d / τ."""
        if not isinstance(self.by, Tensor):
            return d if self.by == 1.0 else d / self.by
        return d / self.by.to(d.dtype).reshape(-1, *[1] * (d.dim() - 1))

    def applied(self, edges: Edges) -> Edges:
        """Edges whose coefficients are divided by τ."""
        if not isinstance(self.by, Tensor) and self.by == 1.0:
            return edges
        same = edges.positive is edges.negative
        positive = self.over(edges.positive)
        return replace(edges, positive=positive, negative=positive if same else self.over(edges.negative))


def profile_of(semiring: Semiring) -> Profile | None:
    """Give the thresholds by layer that a semiring asks for, if it does."""
    theta = getattr(semiring, "theta", None)
    return theta if isinstance(theta, Profile) else None


def fixed_scales(graph: Graph, semiring: Semiring, shapes: dict[str, tuple[int, ...]]) -> dict[str, float]:
    """τ of every layer, as far as it does not depend on the example.

    Parameters
    ----------
    graph, semiring
        The model and the algebra.
    shapes : dict
        Layer with weights → shape of its weight.

    Raises
    ------
    UnknownNameError
        When a profile names no layer.
    """
    profile = profile_of(semiring)
    layers = [node for node in graph if node.inputs]
    if profile is None:
        return {node.name: 1.0 for node in layers}
    if isinstance(profile, PerLayer):
        by_name = {graph.resolve(name): value for name, value in profile.values}
        return {node.name: by_name.get(node.name, by_name.get(_base(node), profile.otherwise)) for node in layers}
    if isinstance(profile, Size):
        return {node.name: UNNAMED for node in layers} | _by_size(graph, shapes)
    if isinstance(profile, Quantile):
        return {node.name: UNNAMED for node in layers if node.kind not in WEIGHTED}
    raise InputError(f"no thresholds are known for {profile!r}; take a number, {{layer: number}}, Quantile() or Size()")


def told(graph: Graph, semiring: Semiring, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Threshold of every layer whose edges are compared, in words, for the coverage report."""
    theta = getattr(semiring, "theta", None)
    compared = [node for node in graph if node.inputs and node.kind in COMPARED]
    if theta is None:
        return {}
    if not isinstance(theta, Profile):
        return {node.name: f"{theta:g}" for node in compared}
    shapes = {node.name: tuple(weights[ref.name].shape) for node in compared if (ref := _weight(node, weights))}
    fixed = fixed_scales(graph, semiring, shapes)
    return {node.name: f"{fixed[node.name]:.4g}" if node.name in fixed else repr(theta) for node in compared}


def _weight(node: Node, weights: Mapping[str, Tensor]) -> Ref | None:
    given = [arg for arg in node.args if isinstance(arg, Ref) and arg.name in weights and weights[arg.name].dim() > 1]
    return given[0] if node.kind in WEIGHTED and given else None


def _base(node: Node) -> str:
    return node.name.partition("@")[0]


def _by_size(graph: Graph, shapes: dict[str, tuple[int, ...]]) -> dict[str, float]:
    weighted = [node.name for node in graph if node.kind in WEIGHTED and node.inputs and node.name in shapes]
    if not weighted:
        return {}
    kernels = [shapes[name][2] if len(shapes[name]) > 2 else 1 for name in weighted]
    following = [*kernels[1:], kernels[-1]]
    return {
        name: 0.005 * (k * k + 3.0 * math.log(shapes[name][1])) + 0.0066 + 0.0002 * n
        for n, (name, k) in enumerate(zip(weighted, following, strict=True))
    }


def quantile(profile: Quantile, parts: list[Edges]) -> Scale:
    """τ by the quantile of a layer's edges with d > 0, example by example, from edges drawn with a fixed seed."""
    drawn = torch.cat([_drawn(part, profile.sample) for part in parts], 1)
    found = []
    for d in drawn:
        positive = d[d > 0]
        found.append(
            torch.quantile(positive.double(), profile.q) if len(positive) else d.new_ones((), dtype=torch.float64)
        )
    return Scale(torch.stack(found).clamp(min=torch.finfo(drawn.dtype).tiny))


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

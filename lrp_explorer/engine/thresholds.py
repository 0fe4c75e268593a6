"""Thresholds of edges, layer by layer: what a layer's edges are divided by before they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lrp_explorer.engine.quantiles import quantile_of
from lrp_explorer.engine.sizes import by_size
from lrp_explorer.errors import InputError
from lrp_explorer.graph import Graph, Node
from lrp_explorer.semirings import Apart, PerLayer, Profile, Quantile, Semiring, Size
from lrp_explorer.semirings.edges import Edges

WEIGHTED = ("convolution", "linear")
COMPARED = (*WEIGHTED, "batch_norm", "layer_norm", "average_pool", "max_pool", "sum", "shift")
# Layers that no profile speaks of: any share at all counts.
UNNAMED = 1e-9


@dataclass(frozen=True)
class Scale:
    """What one layer's edges are divided by.

    Attributes
    ----------
    by : float, Tensor or Quantile
        One number, one for each example ``(batch,)``, or what finds it in the layer's edges. Where edges are
        activations and weights by themselves it belongs to activations.
    of_weights : float, Tensor or Quantile
        Of weights by themselves.
    """

    by: float | Tensor | Quantile = 1.0
    of_weights: float | Tensor | Quantile = 1.0

    def over(self, d: Tensor) -> Tensor:
        """Return d / τ; where τ is 0, which asks for d > 0 alone, more than 1 for every d > 0."""
        if isinstance(self.by, Tensor):
            return d / self.by.to(d.dtype).reshape(-1, *[1] * (d.dim() - 1))
        assert not isinstance(self.by, Quantile)
        if self.by == 0.0:
            return d.sign() * 2.0
        return d if self.by == 1.0 else d / self.by

    def over_weights(self, weight: Tensor) -> Tensor:
        """Return w / τ_w of weights by themselves."""
        return Scale(self.of_weights).over(weight)

    def found(self, x: Tensor, weight: Tensor, *, absolute: bool) -> Scale:
        """Find what quantiles ask for, in a layer's activations ``(batch, ...)`` and weights by themselves."""
        by, of_weights = self.by, self.of_weights
        if isinstance(by, Quantile):
            by = quantile_of(by, (x.abs() if absolute else x).flatten(1))
        if isinstance(of_weights, Quantile):
            of_weights = quantile_of(of_weights, (weight.abs() if absolute else weight).reshape(1, -1))
        return Scale(by, of_weights)

    def applied(self, edges: Edges) -> Edges:
        """Edges whose coefficients are divided by τ."""
        if not isinstance(self.by, Tensor) and self.by == 1.0:
            return edges
        same = edges.positive is edges.negative
        positive = self.over(edges.positive)
        return replace(edges, positive=positive, negative=positive if same else self.over(edges.negative))


def scales(graph: Graph, semiring: Semiring) -> dict[str, Scale]:
    """What the edges of every layer are divided by.

    Raises
    ------
    UnknownNameError
        When a profile names no layer.
    """
    theta = getattr(semiring, "theta", None)
    if isinstance(theta, Apart):
        activations, weights = (_by_layer(graph, one) for one in (theta.activation, theta.weight))
        return {name: Scale(activations[name], weights[name]) for name in activations}
    # One number alone is what the semiring itself compares with.
    by = _by_layer(graph, theta if isinstance(theta, Profile) else 1.0)
    return {name: Scale(one, one) for name, one in by.items()}


def _by_layer(graph: Graph, theta: float | Profile) -> Mapping[str, float | Quantile]:
    layers = [node for node in graph if node.inputs]
    if not isinstance(theta, Profile):
        return {node.name: theta for node in layers}
    if isinstance(theta, PerLayer):
        by_name = {graph.resolve(name): value for name, value in theta.values}
        return {node.name: by_name.get(node.name, by_name.get(_base(node), theta.otherwise)) for node in layers}
    if isinstance(theta, Size):
        return {node.name: UNNAMED for node in layers} | by_size(graph)
    if isinstance(theta, Quantile):
        return {node.name: theta if node.kind in WEIGHTED else UNNAMED for node in layers}
    raise InputError(f"no thresholds are known for {theta!r}; take a number, {{layer: number}}, Quantile() or Size()")


def check_precision(semiring: Semiring, dtype: torch.dtype) -> None:
    """Raise `InputError` where a threshold is so small that the network's precision rounds it to 0.

    Nothing is wrong with 0 where edges have to be above it (``strict=True``).
    """
    theta = getattr(semiring, "theta", None)
    if getattr(semiring, "strict", False):
        return
    for one in (theta.activation, theta.weight, theta.relevance) if isinstance(theta, Apart) else (theta,):
        numbers = [value for _, value in one.values] if isinstance(one, PerLayer) else [one]
        for number in numbers:
            if isinstance(number, float) and float(torch.tensor(number, dtype=dtype)) == 0.0:
                raise InputError(
                    f"{type(semiring).__name__}: theta is {number!r}, which {str(dtype).removeprefix('torch.')} rounds "
                    "to 0, and every pair would be an edge; take a larger theta, strict=True for the sign alone "
                    "(d > 0), or the model in float64"
                )


def told(graph: Graph, semiring: Semiring) -> dict[str, str]:
    """Threshold of every layer whose edges are compared, in words, for the coverage report."""
    theta = getattr(semiring, "theta", None)
    if theta is None:
        return {}
    by_layer, words = scales(graph, semiring), {}
    for node in graph:
        if not node.inputs or node.kind not in COMPARED:
            continue
        scale = by_layer[node.name]
        if not isinstance(theta, Apart):
            words[node.name] = f"θ = {_word(scale.by if isinstance(theta, Profile) else theta)}"
            continue
        words[node.name] = f"θ of activations = {_word(scale.by)}"
        if node.kind in (*WEIGHTED, "batch_norm"):
            words[node.name] += f", of weights = {_word(scale.of_weights)}"
    if isinstance(theta, Apart) and theta.relevance is not None:
        said = [words[graph.output]] if graph.output in words else []
        words[graph.output] = "; ".join([*said, f"θ of relevance = {_word(theta.relevance)}"])
    return words


def _word(theta: object) -> str:
    return f"{theta:.4g}" if isinstance(theta, float) else repr(theta)


def _base(node: Node) -> str:
    return node.name.partition("@")[0]

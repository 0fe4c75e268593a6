"""Layers in a semiring: what moves is moved, shares are annotated, dense layers and convolutions go to a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.account import divide, scaled_epsilon
from lrp_explorer.engine.cache import Memo
from lrp_explorer.engine.edges import LayerEdges, layer_edges
from lrp_explorer.engine.linear import LinearStep
from lrp_explorer.engine.norm_edges import norm_layer
from lrp_explorer.engine.passing import SAME_ORDER, called, joined_sizes, summands
from lrp_explorer.engine.quantiles import quantile
from lrp_explorer.engine.record import Record
from lrp_explorer.engine.thresholds import Scale
from lrp_explorer.graph import Node
from lrp_explorer.graph.gates import signal_shares
from lrp_explorer.semirings import PathSemiring, Quantile, Semiring, Tropical, Viterbi
from lrp_explorer.semirings.edges import Edges
from lrp_explorer.semirings.kernels import contract


class Annotator:
    """One layer in one semiring: its coefficients become elements and are chained with those of its output."""

    def __init__(
        self, node: Node, rule: Any, semiring: Semiring, record: Record, relevance: Tensor, scale: Scale
    ) -> None:
        self.node, self.rule, self.semiring, self.record = node, rule, semiring, record
        self.relevance, self.scale = relevance, scale
        self.paths = semiring if isinstance(semiring, PathSemiring) else None
        self.separate = self.paths is not None and self.paths.edge == "separate"
        self.by_strongest = isinstance(semiring, (Viterbi, Tropical)) and semiring.normalise == "max"

    @property
    def x(self) -> Tensor:
        """The layer's (first) input."""
        return self.record.value(self.node.inputs[0])

    def chain(self, d: Tensor, relevance: Tensor) -> Tensor:
        """Encode(d) ⊗ R, with d divided by the layer's threshold."""
        if self.paths is not None and self.paths.absolute:
            d = d.abs()
        return self.semiring.mul(self.semiring.encode(self.scale.over(d)), relevance)

    def linear(self, memo: Memo, vanishes_below: bool) -> Tensor:
        """Dense layers and convolutions, by the kernel that covers them."""
        return self._contracted(self.linear_step(memo, vanishes_below), vanishes_below=vanishes_below)

    def normalised(self) -> Tensor:
        """Norms over features: a dense layer over what shares one mean, the deviation held constant."""
        step = norm_layer(self.node, self.record)
        element = self.semiring.element
        relevance = step.norm.in_rows(self.relevance, element)
        inside = Annotator(self.node, self.rule, self.semiring, self.record, relevance, self.scale)
        found = step.norm.from_rows(inside._contracted(step, vanishes_below=False), element)
        return found.reshape(*self.x.shape, *element)

    def _contracted(self, step: LinearStep, *, vanishes_below: bool) -> Tensor:
        edges = layer_edges(self.node, self.rule, step, self.semiring)
        relevance = edges.turn(self.relevance) if not self.semiring.element else self._turned(edges.turn)
        if edges.separate is not None:
            return edges.turn_back(self._apart(edges.parts[0], edges.separate, relevance))
        if isinstance(self.scale.by, Quantile):
            alive = [self._alive(part, edges, vanishes_below) for part in edges.parts]
            self.scale = Scale(quantile(self.scale.by, alive))
        parts = [contract(self.semiring, self.scale.applied(part), relevance) for part in edges.parts]
        total = parts[0]
        for part in parts[1:]:
            total = self.semiring.add(total, part)
        return edges.turn_back(total)

    def _apart(self, weights: Edges, x: Tensor, relevance: Tensor) -> Tensor:
        """Activations and weights by themselves, each against a threshold of its own."""
        self.scale = self.scale.found(x, weights.weight, absolute=weights.absolute)
        total = contract(self.semiring, replace(weights, weight=self.scale.over_weights(weights.weight)), relevance)
        return self.chain(x, total)

    def _alive(self, part: Edges, edges: LayerEdges, vanishes_below: bool) -> Edges:
        """Edges into outputs that a ReLU leaves: the others carry nothing."""
        if not vanishes_below:
            return part
        alive = edges.turn(self.record.rectified(self.node)) > 0
        return replace(part, positive=part.positive * alive, negative=part.negative * alive)

    def linear_step(self, memo: Memo, vanishes_below: bool = False) -> LinearStep:
        """What the rule of a linear layer needs."""
        record, node = self.record, self.node
        source = node.inputs[0]
        return LinearStep(
            layer=record.maps[node.name],
            x=record.value(source),
            output=lambda: record.value(node.name),
            nonnegative=source in record.nonnegative,
            rectified=record.rectified(node) if vanishes_below else None,
            memo=memo,
        )

    def _turned(self, turn: Callable[[Tensor], Tensor]) -> Tensor:
        """Turn every number of the elements by itself."""
        flat = self.relevance.flatten(self.relevance.dim() - len(self.semiring.element))
        turned = torch.stack([turn(number) for number in flat.unbind(-1)], -1)
        return turned.unflatten(-1, self.semiring.element)

    def moved(self) -> list[Tensor]:
        """Take elements back along moved values."""
        node = self.node
        if node.kind in ("activation", "identity", "batch_norm", "layer_norm", "response_norm", "softmax"):
            return [self.relevance]
        if node.kind in ("scale", "shift"):
            return [self.fit(self.relevance, self.x)]
        if node.op in SAME_ORDER:
            return [self.relevance.reshape((*self.x.shape, *self.semiring.element))]
        if node.op == "cat":
            axis = node.kwargs.get("dim", node.static(1, 0))
            axis = axis % self.x.dim()
            parts = self.relevance.split(joined_sizes(node, self.record, axis), axis)
            named = [(r.name, part) for r, part in zip(node.args[0], parts, strict=True) if r.name in node.inputs]
            return [part.reshape((*self.record.value(name).shape, *self.semiring.element)) for name, part in named]
        return [self._by_index(position) for position in range(len(node.inputs))]

    def _by_index(self, position: int) -> Tensor:
        """Follow each value to where it went; what several places hand back is joined by ⊕."""
        values = [self.record.value(name) for name in self.node.inputs]
        x = values[position]
        element = self.semiring.element
        blank = {i: torch.zeros_like(value, dtype=torch.float64) for i, value in enumerate(values)}
        numbers = torch.arange(1, x.numel() + 1, dtype=torch.float64, device=x.device).reshape(x.shape)
        went = called(self.node, self.record, blank | {position: numbers})
        # What is there without the numbers is a constant, such as what a picture is padded with.
        went = (went - called(self.node, self.record, blank)).nan_to_num(0.0).long().flatten()
        relevance = self.relevance.reshape(-1, *element)
        result = self.semiring.full((x.numel(),), relevance)
        here = went.nonzero().flatten()
        while len(here):
            places = went[here] - 1
            # Of several that came from one place, one at a time.
            first = torch.full((x.numel(),), -1, device=x.device).scatter_(0, places, here)
            chosen = first[places] == here
            at, of = places[chosen], here[chosen]
            result[at] = self.semiring.add(result[at], relevance[of])
            here = here[~chosen]
        return result.reshape((*x.shape, *element))

    def signal(self) -> list[Tensor]:
        """Give elements to the signal of a product; to both factors at one half where neither is a gate."""
        shares = signal_shares(self.record.graph, self.node)
        values = [self.record.value(name) for name in self.node.inputs]
        none = self.semiring.full(self.shape(self.relevance), self.relevance)
        half = torch.full(self.shape(self.relevance), 0.5, dtype=self.scale_dtype(values), device=none.device)
        if sum(shares) == 1.0 and 0.5 not in shares:
            parts = [self.relevance if share else none for share in shares]
        else:
            parts = [self.relevance if self.by_strongest else self.chain(half, self.relevance)] * 2
        return [self.fit(part, value) for part, value in zip(parts, values, strict=True)]

    @staticmethod
    def scale_dtype(values: list[Tensor]) -> torch.dtype:
        """Floating-point type of the factors."""
        return next(value.dtype for value in values if value.is_floating_point())

    def summands(self, weigh: Callable[[list[Tensor]], list[Tensor]]) -> list[Tensor]:
        """Edges of a sum are the summands' shares of it."""
        node = self.node
        named = [(name, value * sign) for name, value, sign in summands(node, self.record) if name is not None]
        raw = [value.expand_as(self.record.value(node.name)) for _, value in named]
        if self.separate:
            shares = raw
        elif self.by_strongest:
            sizes = [value.abs() for value in raw]
            strongest = sizes[0] if len(sizes) == 1 else torch.maximum(*sizes)
            shares = [torch.where(strongest > 0, size / strongest, 0.0) for size in sizes]
        else:
            values = weigh(raw)
            z = values[0] + values[1] if len(values) == 2 else self.record.value(node.name)
            epsilon = (
                self.rule.stabilizer if getattr(self.rule, "relative", None) is None else scaled_epsilon(self.rule, z)
            )
            shares = [divide(value, z, epsilon) for value in values]
        return [
            self.fit(self.chain(share, self.relevance), self.record.value(name))
            for (name, _), share in zip(named, shares, strict=True)
        ]

    def diagonal(self, memo: Memo) -> Tensor:
        """A batch norm by itself: every input has one output."""
        if self.by_strongest:
            return self.relevance
        record, node = self.record, self.node
        step = LinearStep(record.maps[node.name], self.x, lambda: record.value(node.name), memo=memo)
        if self.separate:
            weight = torch.as_tensor(step.layer.weight).expand_as(self.x)
            weight = weight.abs() if self.paths is not None and self.paths.absolute else weight
            by_weight = self.semiring.encode(self.scale.over_weights(weight))
            return self.semiring.mul(by_weight, self.chain(self.x, self.relevance))
        positive, negative = step.factors(self.rule)
        c = self.x * torch.as_tensor(step.layer.weight)
        return self.chain(c * torch.where(c > 0, positive, negative), self.relevance)

    def shape(self, elements: Tensor) -> tuple[int, ...]:
        """Shape of the neurons, without the axes of the element."""
        return tuple(elements.shape[: elements.dim() - len(self.semiring.element)])

    def fit(self, elements: Tensor, like: Tensor) -> Tensor:
        """Join elements over the axes along which `like` was broadcast."""
        shape = self.shape(elements)
        for _ in range(len(shape) - like.dim()):
            elements = self.semiring.sum(elements, 0)
        for axis, (n, wanted) in enumerate(zip(self.shape(elements), like.shape, strict=True)):
            if n != wanted:
                elements = self.semiring.sum(elements, axis).unsqueeze(axis)
        return elements

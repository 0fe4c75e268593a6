"""One forward pass, recorded: every value that propagation needs, computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.checks import all_finite
from lrp_explorer.engine.maps import LinearMap
from lrp_explorer.engine.node_maps import linear_map
from lrp_explorer.engine.prepared import Prepared
from lrp_explorer.errors import NumericsError
from lrp_explorer.graph import INPUT, Graph, Node, Ref
from lrp_explorer.graph.signs import nonnegative
from lrp_explorer.rules.linear import LINEAR_KINDS

Stop = Callable[[], None]


@dataclass(frozen=True)
class Record:
    """A recorded forward pass.

    Attributes
    ----------
    graph : Graph
        The model.
    values : mapping
        Name → value of every node, the weights and constants included.
    maps : mapping
        Name of a linear layer → its map, batch norms folded in.
    winners : mapping
        Name of a two-dimensional max pooling → index of each window's largest input.
    nonnegative : frozenset of str
        Names of the values that are known not to be negative.
    overwritten : mapping
        Name of a layer whose output was rectified in place → name of the ReLU that holds what is left of it.
    """

    graph: Graph
    values: Mapping[str, Any]
    maps: Mapping[str, LinearMap]
    winners: Mapping[str, Tensor]
    nonnegative: frozenset[str]
    overwritten: Mapping[str, str]

    def value(self, name: str) -> Any:
        """Return a recorded value; one that a ReLU has overwritten is computed again."""
        if name not in self.overwritten:
            return self.values[name]
        node = self.graph.by_name[name]
        source = self.value(node.inputs[0])
        if node.kind == "identity":
            return source
        if node.name in self.maps:
            return self.maps[node.name](source)
        args, kwargs = self.arguments(node)
        return node.target(*args, **kwargs)

    def suited(self, name: str, relevance: Tensor) -> Tensor:
        """Return relevance in the type of the value that it belongs to; a model may compute in several."""
        dtype = self.dtype(name)
        return relevance if dtype == relevance.dtype or not dtype.is_floating_point else relevance.to(dtype)

    def dtype(self, name: str) -> torch.dtype:
        """Type of a recorded value; a ReLU that has overwritten it left that as it was."""
        return self.values[self.overwritten.get(name, name)].dtype

    def rectified(self, node: Node) -> Tensor:
        """Return max(0, output) of a node."""
        if node.name in self.overwritten:
            return self.values[self.overwritten[node.name]]
        return self.values[node.name].clamp(min=0)

    def repeated(self, times: int) -> Record:
        """Return the record of a batch that holds every example `times` times, all of them after one another."""
        values = dict(self.values)
        values[INPUT] = _tiled(self.values[INPUT], times)
        for node in self.graph:
            if node.inputs and node.name in values:
                values[node.name] = _tiled(values[node.name], times)
            elif node.name in values:
                # Arithmetic on shapes, the batch among them.
                device = values[INPUT].device
                # Of what was rectified in place only the shape can be asked: that of the rectified.
                shaped = {n: self.values[self.overwritten[n]] for n in node.reads if n in self.overwritten}
                known = values | {name: _tiled(value, times) for name, value in shaped.items()}
                kwargs = {k: device if k == "device" else resolve(v, known) for k, v in node.kwargs.items()}
                values[node.name] = node.target(*resolve(node.args, known), **kwargs)
        winners = {name: _tiled(index, times) for name, index in self.winners.items()}
        # Maps without weights may hold constants of the batch's own size.
        maps = {
            name: made if isinstance(made.weight, Tensor) else self._map(self.graph.by_name[name], values)
            for name, made in self.maps.items()
        }
        return replace(self, values=values, winners=winners, maps=maps)

    @staticmethod
    def _map(node: Node, values: Mapping[str, Any]) -> LinearMap:
        args, kwargs = resolve(node.args, values), {k: resolve(v, values) for k, v in node.kwargs.items()}
        return linear_map(node, _constants(node, args), kwargs, values[node.inputs[0]])

    def arguments(self, node: Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a node with every reference replaced by its value."""
        return resolve(node.args, self.values), {k: resolve(v, self.values) for k, v in node.kwargs.items()}


def _tiled(value: Any, times: int) -> Any:
    return value.repeat(times, *[1] * (value.dim() - 1)) if isinstance(value, Tensor) and value.dim() else value


def resolve(argument: Any, values: Mapping[str, Any]) -> Any:
    """Replace every `Ref` in an argument, however nested, by the value that it names."""
    if isinstance(argument, Ref):
        return values[argument.name]
    if isinstance(argument, (tuple, list)):
        return type(argument)(resolve(item, values) for item in argument)
    return argument


def record(graph: Graph, prepared: Prepared, x: Tensor, stop: Stop = lambda: None) -> Record:
    """Run the model once.

    Parameters
    ----------
    graph, prepared
        The model and its weights, on the device of `x`.
    x : Tensor
        Input ``(batch, ...)``.
    stop : callable
        Called between layers; it raises to give the computation up.

    Raises
    ------
    NumericsError
        When the output is not finite; the message names the first layer whose output is not.
    """
    values: dict[str, Any] = {**prepared.weights, INPUT: x}
    maps: dict[str, LinearMap] = {}
    winners: dict[str, Tensor] = {}
    overwritten: dict[str, str] = {}
    with torch.no_grad():
        for node in graph:
            stop()
            args = resolve(node.args, values)
            kwargs = {k: x.device if k == "device" else resolve(v, values) for k, v in node.kwargs.items()}
            if node.kind in LINEAR_KINDS:
                values[node.name] = _linear(node, args, kwargs, values, maps, prepared)
            elif node.op == "relu" and (sources := _own_sources(graph, node)):
                overwritten |= dict.fromkeys(sources, node.name)
                values[node.name] = torch.relu_(args[0])
            elif node.op == "max_pool2d" and node.inputs:
                values[node.name], winners[node.name] = torch.ops.aten.max_pool2d_with_indices(*args)
            else:
                values[node.name] = node.target(*args, **kwargs)
        _check_finite(graph, values)
        for name in overwritten:
            del values[name]
        sign = nonnegative(graph, input_nonnegative=bool((x >= 0).all()))
    return Record(graph, values, maps, winners, sign, overwritten)


def _own_sources(graph: Graph, relu: Node) -> list[str]:
    """Names of the values that a ReLU may overwrite: an output that it alone reads, and what is folded into it."""
    names = []
    name = relu.inputs[0] if relu.inputs else INPUT
    while name not in (INPUT, graph.output) and len(graph.readers[name]) == 1:
        names.append(name)
        node = graph.by_name[name]
        if node.kind in ("convolution", "linear", "batch_norm", "sum"):
            return names
        if node.kind != "identity":
            return []
        name = node.inputs[0]
    return []


def _linear(
    node: Node,
    args: Any,
    kwargs: dict[str, Any],
    values: dict[str, Any],
    maps: dict[str, LinearMap],
    prepared: Prepared,
) -> Tensor:
    x = values[node.inputs[0]]
    constants = _constants(node, args)
    folded = bool(node.folded)
    for key, norms in (("norms", node.norms), ("before", node.before)):
        if norms:
            kwargs[key] = [resolve(norm.args, values | {norm.inputs[0]: None}) for norm in norms]
    maps[node.name] = made = linear_map(node, constants, kwargs, x, prepared.memo(node.name) if folded else None)
    if isinstance(made.weight, Tensor) and not folded and node.kind != "batch_norm":
        return node.target(*args, **kwargs)
    if node.kind == "convolution" and folded and made.bias is not None:
        return _folded_call(node, args, kwargs, made)
    return made(x)


def _constants(node: Node, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments that a map keeps; its input comes and goes."""
    source = Ref(node.inputs[0])
    return tuple(None if given == source else arg for given, arg in zip(node.args, args, strict=True))


def _folded_call(node: Node, args: Any, kwargs: dict[str, Any], made: LinearMap) -> Tensor:
    """Call the layer's own operation with folded weights, which adds the bias on the way."""
    kwargs = {k: v for k, v in kwargs.items() if k not in ("norms", "before", "bias")}
    assert made.bias is not None
    return node.target(args[0], made.weight, made.bias.flatten(), *args[3:], **kwargs)


def _check_finite(graph: Graph, values: Mapping[str, Any]) -> None:
    if all_finite(values[graph.output]):
        return
    for layer in graph.layers:
        value = values[layer]
        if not all_finite(value):
            count = int((~torch.isfinite(value)).sum())
            raise NumericsError(
                f"layer {layer!r} is the first whose output is not finite: {count} of {value.numel()} values are "
                "NaN or infinite. Check the weights of this layer and the range of the input, or use float64"
            )

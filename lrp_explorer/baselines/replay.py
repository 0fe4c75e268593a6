"""The traced model as a module that can be differentiated and watched, while the user's own model stays untouched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer.engine.record import resolve
from lrp_explorer.graph import INPUT, Graph, Node, Ref


class Replay(nn.Module):
    """Computes what the model computes in evaluation mode, operation by operation of its graph.

    No hook is set on the model and no in-place operation is left; weights are shared, and take no gradients.

    Parameters
    ----------
    graph, weights
        The model and its weights by value name.
    watch : str
        Layer whose output passes through `watched`, a module made for a hook; none if empty.

    Attributes
    ----------
    shapes : dict
        Layer → shape of its output in the latest call.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, Tensor], watch: str = "") -> None:
        super().__init__()
        self.watch = watch
        self.watched = nn.Identity()
        self.shapes: dict[str, torch.Size] = {}
        self._weights = weights
        # Folded batch norms stand here as operations of their own, so that every layer's output is the model's.
        norms = {norm.name: norm for node in graph for norm in node.folded}
        self._nodes = [norms.get(node.name, node) for node in graph]
        self._output = graph.output
        self._spent = _spent(self._nodes, keep={*weights, graph.output})

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``(batch, classes)`` of `x` ``(batch, ...)``."""
        values: dict[str, Any] = {**self._weights, INPUT: x}
        self._see(INPUT, values)
        for node, spent in zip(self._nodes, self._spent, strict=True):
            kwargs = {k: x.device if k == "device" else resolve(v, values) for k, v in node.kwargs.items()}
            values[node.name] = node.target(*resolve(node.args, values), **kwargs)
            self._see(node.name, values)
            for name in spent:
                del values[name]
        return values[self._output]

    def _see(self, name: str, values: dict[str, Any]) -> None:
        if isinstance(values[name], Tensor):
            self.shapes[name] = values[name].shape
        if name == self.watch:
            values[name] = self.watched(values[name])


def _spent(nodes: list[Node], keep: set[str]) -> list[list[str]]:
    """Tell for every node which values nobody reads after it; a pass without gradients then holds few at once."""
    last = {name: i for i, node in enumerate(nodes) for name in (node.name, *_names((node.args, dict(node.kwargs))))}
    spent: list[list[str]] = [[] for _ in nodes]
    for name, position in last.items():
        if name not in keep:
            spent[position].append(name)
    return spent


def _names(argument: Any) -> Iterator[str]:
    if isinstance(argument, Ref):
        yield argument.name
    elif isinstance(argument, dict):
        yield from _names(tuple(argument.values()))
    elif isinstance(argument, (tuple, list)):
        for item in argument:
            yield from _names(item)

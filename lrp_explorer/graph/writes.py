"""Values written in place, as functions: what is added into places is told from what it is added to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.graph.nodes import Graph, Node, Ref

# Operations that add values into places → where these values, and what makes the operation add, stand.
_SOURCE = {"index_add": 3, "scatter_add": 3, "scatter": 3, "scatter_reduce": 3}
_BY_FLAG = {"index_put": 2, "_unsafe_index_put": 2, "put": 2}


def gather_writes(graph: Graph) -> Graph:
    """Replace x with values added into places of it by the sum of x and of zeros with the values added there.

    The first is a sum like any other, the second a linear map with coefficients 0 and 1; without the sum, relevance of
    a place would have to be shared between what was there and what came.
    """
    taken = {*graph.by_name, *graph.weights, *graph.constants}
    nodes: list[Node] = []
    for node in graph:
        if node.op in _TARGETS:
            nodes.append(replace(node, target=_TARGETS[node.op]))
        elif node.inputs and (position := _added(node)) is not None:
            nodes += _apart(node, position, taken)
        elif node.inputs and _combines(node):
            nodes.append(replace(node, kind="unknown"))
        else:
            nodes.append(node)
    return graph.with_nodes(tuple(nodes))


def _copied(written: Tensor, value: Tensor, non_blocking: bool = False) -> Tensor:
    # PyTorch has no derivative of its own functional copy.
    return value.to(written.dtype).expand_as(written)


def _strided(x: Tensor, size: Any, stride: Any, offset: int | None = None) -> Tensor:
    return x.reshape(-1)[_places(x, size, stride, offset)]


def _written_strided(x: Tensor, value: Tensor, size: Any, stride: Any, offset: int | None = None) -> Tensor:
    # The derivative of PyTorch's own is that of the elements that are written over.
    places = _places(x, size, stride, offset)
    return x.reshape(-1).index_put((places,), value.expand(places.shape)).reshape(x.shape)


def _places(x: Tensor, size: Any, stride: Any, offset: int | None) -> Tensor:
    return torch.arange(x.numel(), device=x.device).as_strided(size, stride, offset or 0)


_TARGETS: dict[str, Callable[..., Tensor]] = {
    "copy": _copied,
    "as_strided": _strided,
    "as_strided_scatter": _written_strided,
}


def _added(node: Node) -> int | None:
    """Position of the values that an operation adds into places; None if it does not add."""
    if node.op in _BY_FLAG:
        return _BY_FLAG[node.op] if node.kwargs.get("accumulate", node.static(3, False)) else None
    adds = {
        "index_add": True,
        "scatter_add": True,
        "scatter": node.kwargs.get("reduce") == "add",
        "scatter_reduce": node.static(4) == "sum" and node.kwargs.get("include_self", True),
    }
    return _SOURCE[node.op] if adds.get(node.op) else None


def _combines(node: Node) -> bool:
    """Whether what is written is joined with what was there in another way, e.g. multiplied."""
    return node.op == "scatter" and node.kwargs.get("reduce") is not None


@dataclass(frozen=True)
class _Placed:
    """An operation that adds values into places of zeros, as a function of the values first."""

    operation: Callable[..., Any]
    position: int

    def __call__(self, values: Any, *others: Any, **named: Any) -> Tensor:
        return self.operation(*others[: self.position], values, *others[self.position :], **named)


def _apart(node: Node, position: int, taken: set[str]) -> list[Node]:
    base, values = node.args[0], node.args[position]
    given = isinstance(values, Ref) and values.name in node.inputs
    negative = node.kwargs.get("alpha", 1)
    zeros = Node(
        name=_free(f"{node.name}_zeros", taken), op="zeros_like", kind="constant", target=torch.zeros_like, args=(base,)
    )
    kind = "constant" if not given else "interpolation" if negative >= 0 else "matmul"
    placed = replace(
        node,
        name=_free(f"{node.name}_placed", taken),
        kind=kind,
        target=_Placed(node.target, position),
        args=(values, Ref(zeros.name), *node.args[1:position], *node.args[position + 1 :]),
        inputs=(values.name,) if given else (),
    )
    inputs = (*(name for name in (base.name,) if name in node.inputs), *((placed.name,) if given else ()))
    joined = replace(
        node,
        op="add",
        kind="sum" if len(inputs) == 2 else "shift",
        target=torch.add,
        args=(base, Ref(placed.name)),
        kwargs={},
        inputs=inputs,
    )
    return [zeros, placed, joined]


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name

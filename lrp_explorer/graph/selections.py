"""Values chosen by their order (sorted, the k largest, a median): their places are a choice, and they are moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.graph.nodes import Graph, Node, Picked, Ref


def gather_selections(graph: Graph) -> Graph:
    """Replace values that PyTorch returns together with their indices by two nodes: their places, and the move.

    Of equal values the first along the axis is taken, whichever PyTorch's own index names.
    """
    taken = {*graph.by_name, *graph.weights, *graph.constants}
    nodes: list[Node] = []
    for node in graph:
        picked = isinstance(node.target, Picked) and node.target.index == 0
        if not (picked and node.inputs and node.op in _PLACES):
            nodes.append(node)
            continue
        name = f"{node.name}_places"
        while name in taken:
            name += "_"
        taken.add(name)
        axis, kept = _axis(node)
        choice = replace(node, name=name, kind="choice", target=_PLACES[node.op], inputs=())
        move = replace(
            node,
            kind="reshape",
            op="take_along_dim",
            target=torch.take_along_dim if kept else _taken_from,
            args=(node.args[0], Ref(name), axis),
            kwargs={},
        )
        nodes += [choice, move]
    return graph.with_nodes(tuple(nodes))


def _axis(node: Node) -> tuple[int, bool]:
    """Axis along which values are compared, and whether the result still has it."""
    position = 2 if node.op in ("topk", "kthvalue") else 1
    axis = node.kwargs.get("dim", node.static(position, -1))
    if node.op not in _SINGLE:
        return axis, True
    return axis, bool(node.kwargs.get("keepdim", node.static(position + 1, False)))


def _taken_from(x: Tensor, places: Tensor, dim: int) -> Tensor:
    return torch.take_along_dim(x, places, dim).squeeze(dim)


def _sorted(x: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None) -> Tensor:
    return x.sort(dim=dim, descending=descending, stable=True)[1]


def _largest(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Tensor:
    if not sorted:
        # In which order they come is PyTorch's affair.
        return x.topk(k, dim, largest, sorted)[1]
    return x.sort(dim=dim, descending=largest, stable=True)[1].narrow(dim, 0, k)


def _first_of(operation: Callable[..., Any]) -> Callable[..., Tensor]:
    """Give the first place of the one value that an operation finds along an axis."""

    def places(x: Tensor, *given: Any, **named: Any) -> Tensor:
        takes_rank = operation is torch.kthvalue
        dim = named.pop("dim", given[1 if takes_rank else 0] if len(given) > takes_rank else -1)
        named.pop("keepdim", None)
        rank = given[:1] if takes_rank else ()
        value = operation(x, *rank, dim=dim, keepdim=True)[0]
        return (x == value).to(torch.uint8).argmax(dim, keepdim=True)

    return places


def _running(sign: float) -> Callable[..., Tensor]:
    """Give the place of the largest value so far, along an axis; the first one, where several are equal."""

    def places(x: Tensor, dim: int) -> Tensor:
        x = (x * sign).movedim(dim, -1)
        values = x.cummax(-1)[0]
        risen = torch.ones_like(values, dtype=torch.bool)
        risen[..., 1:] = values[..., 1:] > values[..., :-1]
        numbers = torch.arange(x.shape[-1], device=x.device)
        return torch.where(risen, numbers, 0).cummax(-1)[0].movedim(-1, dim)

    return places


_SINGLE = frozenset("kthvalue median nanmedian mode".split())
_PLACES: Mapping[str, Callable[..., Tensor]] = {
    "sort": _sorted,
    "topk": _largest,
    "kthvalue": _first_of(torch.kthvalue),
    "median": _first_of(torch.median),
    "nanmedian": _first_of(torch.nanmedian),
    "mode": _first_of(torch.mode),
    "cummax": _running(1.0),
    "cummin": _running(-1.0),
}

"""Norms over features: what the graph tells of them, and layer norms that are written out made one node."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.graph.nodes import Graph, Node, Ref


def is_centred(node: Node) -> bool:
    """Whether a norm takes the mean away before it divides; one that only divides has one input for every output."""
    return node.op != "rms_norm"


def takes_mean_away(graph: Graph, node: Node) -> bool:
    """Whether a difference is a value less its own mean: one linear map of that value, however it is written."""
    if node.op != "sub" or len(node.inputs) != 2 or node.kwargs or len(node.args) != 2:
        return False
    value, name = node.inputs
    while (taken := graph.by_name.get(name)) is not None and taken.kind == "reshape" and len(taken.inputs) == 1:
        name = taken.inputs[0]
    return taken is not None and taken.op == "mean" and taken.inputs == (value,)


def standardise(x: Tensor, axes: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Compute (x − mean) / √(var + eps) ⊙ w + b over any axes, w and b of any shape that broadcasts."""
    centred = x - x.mean(axes, keepdim=True)
    y = centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def gather_layer_norms(graph: Graph) -> Graph:
    """Replace every norm that is written out, weight and bias included, by one node of kind ``"layer_norm"``.

    It is then explained as the module that computes the same: ε is added once, and no sum is split.
    """
    nodes = dict(graph.by_name)
    for node in graph:
        if (found := _quotient(graph, node)) is not None and 0 not in found.axes:
            made, taken = _with_weights(graph, node, found)
            nodes = {name: kept for name, kept in nodes.items() if name not in taken} | {made.name: made}
    if all(nodes.get(node.name) is node for node in graph):
        return graph
    return _without_unread(graph.with_nodes(tuple(nodes[node.name] for node in graph if node.name in nodes)), graph)


@dataclass(frozen=True)
class _Found:
    """What is normalised, over which axes, and the ε beneath the root."""

    source: str
    axes: tuple[int, ...]
    eps: float


def _quotient(graph: Graph, node: Node) -> _Found | None:
    """Tell of a node that divides a value less its mean by that value's deviation, as a quotient or a product."""
    if node.op not in ("div", "mul") or len(node.inputs) != 2 or node.args != tuple(map(Ref, node.inputs)):
        return None
    pairs = [node.inputs] if node.op == "div" else [node.inputs, node.inputs[::-1]]
    for value, other in pairs:
        variance = _root(graph, other, inverse=node.op == "mul")
        offset = graph.by_name.get(variance or "")
        if offset is None or offset.op != "add" or offset.kwargs or not _number(offset.static(1)):
            continue
        centred = _centred(graph, value)
        if centred is not None and _variance(graph, offset.inputs[0], centred) == centred[1]:
            return _Found(*centred, float(offset.static(1)))
    return None


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _root(graph: Graph, name: str, *, inverse: bool) -> str | None:
    """Name of what the square root is taken of, or the inverse of that root."""
    node = graph.by_name.get(name)
    if node is None or len(node.inputs) != 1:
        return None
    below = node.inputs[0]
    if node.op == "mul" and node.static(1) == 1:
        # PyTorch writes 1 / x as its reciprocal times 1.
        return _root(graph, below, inverse=inverse)
    if node.op == "pow":
        return below if node.static(1) == (-0.5 if inverse else 0.5) else None
    if node.op == ("rsqrt" if inverse else "sqrt"):
        return below
    if inverse and (node.op == "reciprocal" or (node.op == "div" and node.static(0) == 1)):
        return _root(graph, below, inverse=False)
    return None


def _centred(graph: Graph, name: str) -> tuple[str, tuple[int, ...]] | None:
    """Tell of a value less its mean: that value, and the axes of the mean, which it keeps."""
    node = graph.by_name.get(name)
    if node is None or not takes_mean_away(graph, node):
        return None
    mean = graph.by_name[node.inputs[1]]
    axes = _axes(mean, node.rank) if mean.op == "mean" and mean.static(2) is True else None
    return None if axes is None else (node.inputs[0], axes)


def _axes(node: Node, rank: int) -> tuple[int, ...] | None:
    axes = node.static(1)
    return tuple(sorted(axis % rank for axis in axes)) if isinstance(axes, (list, tuple)) and axes else None


def _variance(graph: Graph, name: str, centred: tuple[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """Axes over which a node takes the variance of a value, around its mean and divided by n; None for all else."""
    node = graph.by_name.get(name)
    if node is None:
        return None
    options = {"correction": node.static(2), "keepdim": node.static(3), **node.kwargs}
    if node.op == "var":
        same = node.inputs[0] == centred[0] or _centred(graph, node.inputs[0]) == centred
        plain = options["correction"] in (0, False) and options["keepdim"] is True
        return _axes(node, node.rank) if same and plain else None
    square = graph.by_name.get(node.inputs[0]) if node.op == "mean" and node.inputs else None
    if square is None or node.static(2) is not True or {_centred(graph, one) for one in square.inputs} != {centred}:
        return None
    squares = square.op in ("mul", "square") or (square.op == "pow" and square.static(1) == 2)
    return _axes(node, node.rank) if squares and len(set(square.inputs)) == 1 else None


def _with_weights(graph: Graph, node: Node, found: _Found) -> tuple[Node, set[str]]:
    """Return the one node, and the names of those that it stands for, the last of which it is named after."""
    taken, weights, last = {node.name}, {}, node
    for operation, kind in (("mul", "scale"), ("add", "shift")):
        readers = graph.consumers[last.name]
        if len(readers) != 1 or last.name == graph.output or readers[0].kind != kind or readers[0].op != operation:
            break
        constant = [arg for arg in readers[0].args if isinstance(arg, Ref) and arg.name != last.name]
        if len(constant) != 1 or readers[0].kwargs or readers[0].rank != node.rank:
            break
        last, weights[operation] = readers[0], constant[0]
        taken.add(last.name)
    made = replace(
        last,
        op="standardise",
        kind="layer_norm",
        target=standardise,
        args=(Ref(found.source), found.axes, weights.get("mul"), weights.get("add"), found.eps),
        kwargs={},
        inputs=(found.source,),
    )
    return made, taken


def _without_unread(graph: Graph, before: Graph) -> Graph:
    """Take away what only a written norm has read."""
    while True:
        unread = {
            node.name
            for node in graph
            if node.inputs
            and node.name != graph.output
            and not graph.consumers[node.name]
            and before.consumers[node.name]
        }
        if not unread:
            return graph
        graph = graph.with_nodes(tuple(node for node in graph if node.name not in unread))

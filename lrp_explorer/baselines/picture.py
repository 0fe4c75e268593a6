"""Where the picture's axes are, layer by layer, and the last map that still has them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from lrp_explorer.engine.windows import pooled_axes
from lrp_explorer.graph import INPUT, Graph, Node

Axes = tuple[int, ...]
NONE: Axes = ()
_TURNS = frozenset("permute transpose t movedim moveaxis swapaxes swapdims".split())
_CUTS = frozenset("view reshape _unsafe_view flatten unflatten squeeze unsqueeze view_as reshape_as".split())
_OVER_AXES = frozenset("mean sum amax".split())
_MIXED = frozenset("matmul attention".split())


def last_map(graph: Graph) -> str | None:
    """Name the last layer whose output is a map that everything flows through; None where there is none.

    A map is a value ``(batch, channels, ...)`` whose further axes are the picture's, with more than one place, computed
    by a convolution or after one. The picture's axes are followed from the input: convolutions and pooling keep them,
    transposes take them along, and they are gone where only one place is left of them, where they are averaged over,
    or where they are flattened; what a convolution or pooling reads has them in any case. Everything flows through a
    layer when no branch leads past it. After a block of several branches that is the sum or concatenation that joins
    them, or the activation that follows.
    """
    axes, rank = picture_axes(graph), len(graph.sizes[INPUT]) + 1
    space = tuple(range(2, rank))
    found, convolved = None, False
    for node in _passed_by_all(graph):
        convolved = convolved or node.kind == "convolution" or _after_convolution(graph, node)
        if convolved and axes[node.name] == space and len(graph.sizes[node.name]) == rank - 1:
            found = node.name
    return found


def picture_axes(graph: Graph) -> Mapping[str, Axes]:
    """Layer → which axes of its output are the picture's, in their order; none where they are gone."""
    space = tuple(range(2, len(graph.sizes[INPUT]) + 1))
    axes: dict[str, Axes] = {INPUT: space}
    for node in graph:
        if not node.inputs:
            continue
        source = node.inputs[0]
        if _slides(node) and len(graph.sizes[source]) == len(space) + 1:
            seen = _places(graph, source, space) > 1
            axes[source] = space if seen else NONE
            axes[node.name] = space if seen and _places(graph, node.name, space) > 1 else NONE
            continue
        kept = (_taken_along(graph, node, name, axes[name]) for name in node.inputs if axes[name])
        axes[node.name] = next((found for found in kept if found and _places(graph, node.name, found) > 1), NONE)
    return axes


def _slides(node: Node) -> bool:
    return node.kind in ("convolution", "interpolation") or "_pool" in node.op


def _places(graph: Graph, name: str, axes: Axes) -> int:
    return math.prod(graph.sizes[name][axis - 1] for axis in axes)


def _taken_along(graph: Graph, node: Node, source: str, axes: Axes) -> Axes:
    """Where the axes of a value are after a layer that is neither convolution nor pooling."""
    before, after = graph.sizes[source], graph.sizes[node.name]
    if node.op in _CUTS:
        # An axis is still there where as many values of its own size follow one another as before.
        there = {(n, math.prod(after[i + 1 :])): i + 1 for i, n in reversed(list(enumerate(after)))}
        moved = [there.get((before[axis - 1], math.prod(before[axis:]))) for axis in axes]
        return tuple(axis for axis in moved if axis is not None) if None not in moved else NONE
    # A stand-in without values, of other sizes along every axis.
    like = torch.empty([*range(2, 3 + len(before))], device="meta")
    if node.op in _TURNS:
        turned = tuple(node.target(like, *node.args[1:], **node.kwargs).shape)
        return tuple(turned.index(axis + 2) for axis in axes)
    if node.op in _OVER_AXES:
        gone = pooled_axes(node, like)
        kept = len(after) == len(before)
        left = tuple(axis if kept else axis - sum(g < axis for g in gone) for axis in axes)
        return NONE if set(gone) & set(axes) else left
    joined = node.kwargs.get("dim", node.static(1, 0)) % like.dim() if node.op == "cat" else None
    mixed = node.kind in _MIXED or (node.kind == "linear" and len(before) in axes)
    return NONE if len(after) != len(before) or mixed or joined in axes else axes


def _passed_by_all(graph: Graph) -> list[Node]:
    """Layers that every way from the input to the output leads through, input side first."""
    alive = {graph.output}
    for node in reversed(graph.nodes):
        alive |= set(node.inputs) if node.name in alive else set()
    nodes = [node for node in graph if node.inputs and node.name in alive]
    last = {name: place for place, node in enumerate(nodes) for name in node.inputs}
    found, furthest = [], last.get(INPUT, -1)
    for place, node in enumerate(nodes):
        if furthest <= place:
            found.append(node)
        furthest = max(furthest, last.get(node.name, place))
    return found


def _after_convolution(graph: Graph, node: Node) -> bool:
    """Whether a convolution is among what a layer that all flows through is computed from."""
    for other in graph:
        if other.name == node.name:
            return False
        if other.kind == "convolution" and other.inputs:
            return True
    return False

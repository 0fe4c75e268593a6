"""Thresholds by the sizes of layers: the kernel, and the width of what it slides over."""

from __future__ import annotations

import math

from lrp_explorer.graph import INPUT, Graph, Node

# What stands between a map and the dense layer that reads all of it, and leaves its values in their order.
_BETWEEN = ("reshape", "activation", "identity", "batch_norm", "scale", "shift", "response_norm")


def by_size(graph: Graph) -> dict[str, float]:
    """θ of every layer with weights, by the formula of `lrp_explorer.semirings.Size`."""
    weighted = [
        node for node in graph if node.kind in ("convolution", "linear") and node.inputs and len(node.weight) > 1
    ]
    sizes = [_as_convolution(graph, node) for node in weighted]
    following = [kernel for kernel, _ in sizes[1:]] + [kernel for kernel, _ in sizes[-1:]]
    return {
        node.name: 0.005 * (kernel**2 + 3.0 * math.log(width)) + 0.0066 + 0.0002 * n
        for n, (node, (_, width), kernel) in enumerate(zip(weighted, sizes, following, strict=True))
    }


def _as_convolution(graph: Graph, node: Node) -> tuple[float, int]:
    """Edge of a layer's kernel and width of its input, of a dense layer those of the convolution that it stands for."""
    read = graph.sizes.get(node.inputs[0], ())
    if node.kind == "convolution":
        return _edge(node.weight[2:]), max(1, read[-1]) if read else 1
    if len(read) > 1:
        # The same layer at every place.
        return 1.0, max(1, read[-2])
    seen = _map(graph, node.inputs[0])
    if len(seen) > 1 and math.prod(seen) == math.prod(read):
        return _edge(seen[1:]), max(1, seen[-1])
    return 1.0, 1


def _map(graph: Graph, name: str) -> tuple[int, ...]:
    """Sizes of the value that a row of features is made of, as far up as its values are all there."""
    while len(graph.sizes.get(name, ())) < 2 and name != INPUT:
        node = graph.by_name[name]
        if node.kind not in _BETWEEN or len(node.inputs) != 1:
            break
        name = node.inputs[0]
    return graph.sizes.get(name, ())


def _edge(kernel: tuple[int, ...]) -> float:
    return math.prod(kernel) ** (1.0 / len(kernel)) if kernel else 1.0

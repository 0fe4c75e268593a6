"""What can be told of a norm over features from the graph alone."""

from __future__ import annotations

from lrp_explorer.graph.nodes import Graph, Node


def is_centred(node: Node) -> bool:
    """Whether a norm takes the mean away before it divides; one that only divides has one input for every output."""
    return node.op != "rms_norm"


def takes_mean_away(graph: Graph, node: Node) -> bool:
    """Whether a difference is a value less its own mean: one linear map of that value, however it is written."""
    if node.op != "sub" or len(node.inputs) != 2 or node.kwargs:
        return False
    value, name = node.inputs
    while (taken := graph.by_name.get(name)) is not None and taken.kind == "reshape" and len(taken.inputs) == 1:
        name = taken.inputs[0]
    return taken is not None and taken.op == "mean" and taken.inputs == (value,)

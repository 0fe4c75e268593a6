"""Whether a layer's weights hold one number for each pair of an input and an output."""

from __future__ import annotations

from lrp_explorer.graph.nodes import Node


def tells_pairs(node: Node) -> bool:
    """Whether pairs can be read from the weights of a dense layer or convolution, one by one.

    They cannot from those of a transposed convolution, of a product with a constant matrix from the left, or of one
    matrix for each of several groups.
    """
    if node.kind == "linear":
        return len(node.weight) == 2
    return node.kind == "convolution" and not node.op.startswith("conv_transpose")

"""Whether a layer's weights hold one number for each pair of an input and an output."""

from __future__ import annotations

from typing import Any

from lrp_explorer.graph.nodes import Node


def tells_pairs(node: Node) -> bool:
    """Whether pairs can be read from the weights of a dense layer or convolution, one by one.

    They cannot from those of a transposed convolution, of one padded by more on one side than on the other, of a
    product with a constant matrix from the left, or of one matrix for each of several groups.
    """
    if node.kind == "linear":
        return len(node.weight) == 2
    return node.kind == "convolution" and not node.op.startswith("conv_transpose") and not _padded_unevenly(node)


def _padded_unevenly(node: Node) -> bool:
    if node.kwargs.get("padding", node.static(4, 0)) != "same":
        return False
    dilation: Any = node.kwargs.get("dilation", node.static(5, 1))
    kernel = node.weight[2:]
    each = [dilation] * len(kernel) if isinstance(dilation, int) else [*dilation] * (len(kernel) // len(dilation))
    return any(d * (k - 1) % 2 for d, k in zip(each, kernel, strict=True))

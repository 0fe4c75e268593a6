"""Averages in the place of maxima: the linear map by which a maximum is shared among all that it was taken of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from lrp_explorer.engine.record import Record
from lrp_explorer.engine.windows import each, pooled_axes
from lrp_explorer.graph import Node

_ADAPTIVE: dict[int, Any] = {
    1: functional.adaptive_avg_pool1d,
    2: functional.adaptive_avg_pool2d,
    3: functional.adaptive_avg_pool3d,
}
_SLIDING: dict[int, Any] = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
_CONVOLUTION: dict[int, Any] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def averaging(node: Node, record: Record) -> Callable[[Tensor], Tensor]:
    """Give the average over the windows of a max pooling, as a function of a value in the place of its input.

    Zeros that pad the input count, as they do in PyTorch's average pooling by default.
    """
    args = record.arguments(node)[0]
    if node.op == "amax":
        axes = pooled_axes(node, record.value(node.inputs[0]))
        keep = bool(node.kwargs.get("keepdim", node.static(2, False)))
        return lambda value: value.mean(axes, keepdim=keep)
    # Without the axis of channels, or that of the batch, a value has as many axes to pool all the same.
    rank = int(node.op.partition("pool")[2][0])
    if node.op.startswith("adaptive"):
        return lambda value: _ADAPTIVE[rank](value, args[1])
    _, kernel, *rest = args
    stride, padding, dilation, ceil = (*rest, *([], 0, 1, False)[len(rest) :])
    stride = stride or kernel
    if all(step == 1 for step in each(dilation, rank)):
        return lambda value: _SLIDING[rank](value, kernel, stride, padding, ceil)
    sizes = tuple(record.value(node.name).shape[-rank:])
    numbers = [each(number, rank) for number in (kernel, stride, padding, dilation)]

    def spread(value: Tensor) -> Tensor:
        whole = value if value.dim() == rank + 2 else value.unsqueeze(0)
        return _spread(whole, sizes, *numbers).reshape(*value.shape[:-rank], *sizes)

    return spread


def _spread(
    value: Tensor, sizes: tuple[int, ...], kernel: list[int], stride: list[int], padding: list[int], dilation: list[int]
) -> Tensor:
    """Average over windows with gaps, which average pooling does not know, as a convolution of every channel."""
    rank = len(kernel)
    # The last window may end beyond the padded input, where nothing counts.
    ends = [(out - 1) * s + d * (k - 1) + 1 for out, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
    over = [max(0, end - n - 2 * p) for end, n, p in zip(ends, value.shape[2:], padding, strict=True)]
    beyond = [side for more in reversed(over) for side in (0, more)]
    within = [side for p in reversed(padding) for side in (p, p)]

    def total(x: Tensor) -> Tensor:
        weight = x.new_ones((x.shape[1], 1, *kernel))
        x = functional.pad(x, beyond)
        return _CONVOLUTION[rank](x, weight, None, stride, 0, dilation, groups=x.shape[1])

    padded = functional.pad(value, within)
    if not any(over):
        return total(padded) / math.prod(kernel)
    return total(padded) / total(padded.new_ones((1, 1, *padded.shape[2:])))

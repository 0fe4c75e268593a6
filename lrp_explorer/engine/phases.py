"""A strided convolution of few channels taken back without strides: every offset within a stride is a channel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

# Where input channels times offsets are more, the general transposed convolution is the faster one.
_FEW = 48


def pays(weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int) -> bool:
    """Whether `by_phases` covers a convolution and is faster than its general transpose."""
    if weight.dim() != 4 or weight.is_cuda or groups != 1 or any(step != 1 for step in dilation):
        return False
    return stride[0] * stride[1] > 1 and weight.shape[1] * stride[0] * stride[1] <= _FEW


def by_phases(s: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], size: Sequence[int]) -> Tensor:
    """Apply the transpose of a two-dimensional convolution.

    An input at i = stride · q + phase − padding is reached by the taps t = stride · m + phase from the outputs q − m:
    for each phase a dense convolution over q (Shi et al. 2016, arXiv:1609.07009).

    Parameters
    ----------
    s : Tensor
        ``(batch, outputs, height, width)``.
    weight : Tensor
        ``(outputs, inputs, rows, columns)``.
    stride, padding : two ints
        Of the convolution.
    size : two ints
        Height and width of its input.
    """
    outputs, inputs, rows, columns = weight.shape
    down, across = stride
    m, n = -(-rows // down), -(-columns // across)
    taps = functional.pad(weight, [0, n * across - columns, 0, m * down - rows])
    taps = taps.reshape(outputs, inputs, m, down, n, across).permute(1, 3, 5, 0, 2, 4).flip(4, 5)
    dense = functional.conv2d(s, taps.reshape(-1, outputs, m, n), None, 1, (m - 1, n - 1))
    batch, _, high, wide = dense.shape
    dense = dense.reshape(batch, inputs, down, across, high, wide).permute(0, 1, 4, 2, 5, 3)
    placed = dense.reshape(batch, inputs, high * down, wide * across)
    # What lies beyond the last window has no output; what lies in the padding is no input.
    short = [max(0, padding[axis] + size[axis] - placed.shape[2 + axis]) for axis in (0, 1)]
    if any(short):
        placed = functional.pad(placed, [0, short[1], 0, short[0]])
    return placed[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]].contiguous()

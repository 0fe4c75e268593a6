"""Weights of convolutions in the order in which oneDNN reads them: put in order once, not at every call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional


def packed(
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
    outputs: Sequence[int],
) -> Tensor:
    """Return the weight of a convolution ordered for its transpose.

    Parameters
    ----------
    weight : Tensor
        ``(outputs, inputs, rows, columns)``, of a kind that is `available`.
    stride, padding, dilation : two ints
        Of the convolution.
    size, outputs : sequence of int
        Shape of its input and of its output.
    """
    more = _more(weight, stride, padding, dilation, size, outputs)
    return torch.ops.mkldnn._reorder_convolution_transpose_weight(
        weight, list(padding), more, list(stride), list(dilation), 1, list(outputs)
    )


def transpose(
    s: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    """Apply the transpose of a convolution by its `packed` weight."""
    more = _more(weight, stride, padding, dilation, size, s.shape)
    result = torch.ops.mkldnn._convolution_transpose_pointwise(
        s, weight, None, list(padding), more, list(stride), list(dilation), 1, "none", [], ""
    )
    # It comes with its channels last, and would be read against the grain with everything else.
    return result.contiguous()


def _more(
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
    outputs: Sequence[int],
) -> list[int]:
    """Rows and columns that lie beyond the last window."""
    return [
        size[i + 2] - ((outputs[i + 2] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.shape[i + 2] - 1) + 1)
        for i in range(2)
    ]


def available(weight: Tensor) -> bool:
    """Whether there is an order for a weight: for images, in single precision, on the CPU."""
    return weight.dim() == 4 and weight.dtype == torch.float32 and weight.device.type == "cpu" and _built()


@cache
def _built() -> bool:
    """Whether this build of torch has these operations, which are not promised to stay, and they do what is meant."""
    weight, s = torch.arange(72.0).reshape(4, 2, 3, 3), torch.arange(64.0).reshape(1, 4, 4, 4)
    shape = ((2, 2), (1, 1), (1, 1), (1, 2, 8, 8))
    try:
        ordered = torch.ops.mkldnn._reorder_convolution_transpose_weight(
            weight, [1, 1], [1, 1], [2, 2], [1, 1], 1, [1, 4, 4, 4]
        )
        found = transpose(s, ordered, *shape)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(found, functional.conv_transpose2d(s, weight, None, 2, 1, 1))

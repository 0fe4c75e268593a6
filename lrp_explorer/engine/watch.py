"""Writes to weights are noticed: by their versions, and by a sample of their values where these do not tell."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

# Values of one weight that are looked at: all of a small one, so many of a large one, evenly spread.
_SAMPLE = 256
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Watch:
    """Tells whether any of these tensors was written to.

    Writes through ``tensor.data`` do not count as a version. What an optimiser, a max-norm or a mask does to a weight
    shows in the sample; a few single values of a large weight can escape it.

    Parameters
    ----------
    tensors : iterable of Tensor
        Weights, buffers, constants.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = list(tensors)
        views = [_spread(tensor) for tensor in self._tensors if tensor.numel()]
        self._views = [[view for view in views if view.dtype == bits] for bits in _BITS.values()]

    def state(self) -> State:
        """Take down how the tensors are now."""
        samples = [torch.cat(views) for views in self._views if views]
        # Tensors made in inference mode count no writes.
        return State([0 if tensor.is_inference() else tensor._version for tensor in self._tensors], samples)


class State:
    """How tensors were at one time; equal to another state if they were the same then."""

    def __init__(self, versions: list[int], samples: list[Tensor]) -> None:
        self._versions, self._samples = versions, samples

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State) or self._versions != other._versions:
            return False
        return all(map(torch.equal, self._samples, other._samples))

    __hash__ = None  # type: ignore[assignment]


def _spread(tensor: Tensor) -> Tensor:
    """View some of a tensor's values, in the order of the memory and as bits: NaN is equal to itself."""
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    bits = real.detach().view(_BITS[real.element_size()]) if real.dtype != torch.bool else real.view(torch.int8)
    span = 1 + sum((n - 1) * stride for n, stride in zip(bits.shape, bits.stride(), strict=True))
    # An odd step, so that all columns of a matrix have their turn.
    step = 1 if span <= _SAMPLE else span // _SAMPLE | 1
    return bits.as_strided((-(-span // step),), (step,), bits.storage_offset())

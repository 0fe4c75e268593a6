"""Rules for the first layer, where the input is not a sum of features: bounds, squares, or nothing but the view."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lrp_explorer.errors import InputError
from lrp_explorer.rules.base import Bias, Rule, check_choice, check_number

FIRST_KINDS = frozenset({"convolution", "linear"})


class Bound:
    """A bound of the input space: a number, one number per channel, or a value for every input; equal by value.

    Parameters
    ----------
    value : float, sequence of float or Tensor
        ``()``, ``(channels,)``, or the shape of one example, with or without a leading 1.
    """

    def __init__(self, value: float | Sequence[float] | Tensor) -> None:
        try:
            # From what was given, not from its single precision.
            tensor = torch.as_tensor(value, dtype=torch.float64).detach().cpu()
            # A plain number, as sliders move it, is looked at once.
            given = tensor if type(value) is float else torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            given = tensor = torch.empty(0)
        if not tensor.numel() or given.dtype == torch.bool or given.is_complex():
            raise InputError(
                f"a bound of the input space is {value!r}, but a number, one for each channel or a tensor is expected"
            )
        if tensor.numel() == 1:
            tensor = tensor.reshape(())
        if tensor.dim() >= 3 and tensor.shape[0] == 1:
            tensor = tensor[0]
        if tensor.dim() >= 2 and tensor[0].numel() == 1:
            tensor = tensor.flatten()
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"a bound of the input space is {value!r}, but finite numbers are expected")
        self.tensor = tensor
        self._digest = hashlib.sha256(repr(tuple(tensor.shape)).encode() + tensor.numpy().tobytes()).hexdigest()

    def like(self, x: Tensor) -> Tensor:
        """Expand to the shape of ``x`` ``(batch, channels, ...)``; `InputError` if it does not fit."""
        bound = self.tensor.to(device=x.device, dtype=x.dtype)
        if bound.dim() == 1 and bound.numel() > 1:
            bound = bound.reshape(-1, *[1] * (x.dim() - 2))
        try:
            return bound.expand(1, *x.shape[1:])
        except RuntimeError:
            raise InputError(
                f"a bound of shape {tuple(self.tensor.shape)} does not fit inputs of shape {tuple(x.shape[1:])}; "
                "give one number, one per channel, or one per input"
            ) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        if self.tensor.numel() > 8:
            return f"<bound of shape {tuple(self.tensor.shape)}>"
        return repr(self.tensor.tolist())


@dataclass(frozen=True)
class ZBox(Rule):
    """The zᴮ rule: for inputs between two bounds, such as pixels.

    Montavon et al. 2017 (doi:10.1016/j.patcog.2016.11.008), eq. 17. The bias takes no part.

    Parameters
    ----------
    low, high : float, sequence of float or Tensor
        Smallest and largest value that an input can take, in the model's own (normalised) units: one number, one per
        channel, or one per input. Pixels 0 and 1 under ``(x − mean) / std`` are −mean/std and (1 − mean)/std.
    stabilizer : float
        Added to denominators with their own sign.
    """

    low: float | Sequence[float] | Tensor | Bound
    high: float | Sequence[float] | Tensor | Bound
    stabilizer: float = 1e-6
    kinds: ClassVar[frozenset[str]] = FIRST_KINDS
    formula: ClassVar[str] = "R_j = Σ_k (a_j w_jk − l_j w⁺_jk − h_j w⁻_jk) / Σ_j (…) · R_k"

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)
        low, high = (bound if isinstance(bound, Bound) else Bound(bound) for bound in (self.low, self.high))
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        if low.tensor.shape == high.tensor.shape and bool((low.tensor >= high.tensor).any()):
            raise InputError(f"ZBox: low {low!r} must be below high {high!r} everywhere")


@dataclass(frozen=True)
class WSquare(Rule):
    """The w² rule: relevance by squared weight, whatever the input. For inputs without bounds.

    Montavon et al. 2017 (doi:10.1016/j.patcog.2016.11.008), eq. 9.
    """

    stabilizer: float = 1e-6
    bias: Bias = "absorb"
    kinds: ClassVar[frozenset[str]] = FIRST_KINDS
    formula: ClassVar[str] = "R_j = Σ_k w²_jk / Σ_j w²_jk · R_k"

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)
        check_choice(self, "bias", ("absorb", "ignore"))


@dataclass(frozen=True)
class Flat(Rule):
    """The flat rule: equal shares over everything that an output sees.

    Bach et al. 2016 (arXiv:1611.08191); a receptive-field view, smooth where the first layer's weights are noisy.
    """

    stabilizer: float = 1e-6
    kinds: ClassVar[frozenset[str]] = FIRST_KINDS
    formula: ClassVar[str] = "R_j = Σ_k 1 / Σ_j 1 · R_k"

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)

"""Relevance in a semiring, as the floors hand it to each other."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lrp_explorer.errors import InputError
from lrp_explorer.results import Relevance

if TYPE_CHECKING:
    from torch import Tensor


class _Compared(Mapping[str, "Tensor"]):
    """Maps that are compared with a threshold when they are looked at."""

    def __init__(self, maps: Mapping[str, Tensor], theta: float) -> None:
        self._maps, self._theta = maps, theta

    def __getitem__(self, name: str) -> Tensor:
        return self._maps[name] >= self._theta

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)


@dataclass(frozen=True, repr=False)
class PathRelevance(Relevance):
    """Relevance in a semiring: elements of every layer, which are not conserved and add up to nothing.

    Boolean relevance is of type bool, Counting in double precision, the others in the network's own.
    """

    every_threshold: bool = field(default=False, kw_only=True)

    def at(self, theta: float) -> PathRelevance:
        """Boolean relevance at threshold θ (or at θ·τ for a profile τ), by comparison, without propagation.

        Parameters
        ----------
        theta : float
            θ > 0.

        Raises
        ------
        InputError
            When this is not Bottleneck relevance, or θ is not positive, or 0 in the precision of the relevance.
        """
        self._need_every_threshold()
        theta = _threshold(theta, "theta", self.maps)
        return replace(
            self, maps=_Compared(self.maps, theta), semiring=f"{self.semiring} at {theta!r}", every_threshold=False
        )

    def influence(self, thetas: Sequence[float]) -> dict[str, Tensor]:
        """Share of each layer's neurons that are relevant at each threshold ``(len(thetas),)``, over the whole batch.

        The distribution function of the one map: no propagation.

        Raises
        ------
        InputError
            When this is not Bottleneck relevance, there is no threshold, or one is not positive, or 0 in the precision
            of the relevance.
        """
        self._need_every_threshold()
        if isinstance(thetas, (str, bytes)) or not hasattr(thetas, "__iter__"):
            raise InputError(f"thetas is {thetas!r}, but a sequence of positive numbers is expected")
        listed = [_threshold(theta, f"thetas[{i}]", self.maps) for i, theta in enumerate(thetas)]
        if not listed:
            raise InputError("thetas is empty, but at least one positive number is expected")
        return {name: _shares(value, listed) for name, value in self.maps.items()}

    def log10(self, layer: str) -> Tensor:
        """Decadic logarithm of a layer's elements, in double precision; −∞ for none.

        Raises
        ------
        InputError
            When the elements are truth values.
        """
        if not self[layer].is_floating_point():
            raise InputError(f"{self.semiring} relevance has no logarithm: numbers are expected, not truth values")
        return self[layer].double().log10()

    def __repr__(self) -> str:
        # Thresholds by layer would fill lines; `semiring` has them all.
        settings, _, at = self.semiring.partition(" at ")
        shown = settings.partition("(")[0] + (f" at {at}" if at else "")
        return f"PathRelevance({len(self.maps)} layers, input {tuple(self.input.shape)}, {shown}, {self.composite})"

    def _need_every_threshold(self) -> None:
        if not self.every_threshold:
            raise InputError(
                f"{self.semiring} relevance has no further threshold; compute semiring='bottleneck', which has them all"
            )


def _threshold(theta: object, what: str, maps: Mapping[str, Tensor]) -> float:
    """Check one θ > 0 that values of these types can be compared with."""
    import torch

    # A number of NumPy's or a tensor of one.
    number = getattr(theta, "item")() if getattr(theta, "ndim", None) == 0 else theta  # noqa: B009
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= sys.float_info.max:
        raise InputError(f"{what} is {theta!r}, but a positive number is expected")
    for dtype in {value.dtype for value in maps.values()}:
        if float(torch.tensor(float(number), dtype=dtype)) == 0.0:
            raise InputError(
                f"{what} is {number!r}, which {str(dtype).removeprefix('torch.')} rounds to 0, and every neuron would "
                "be relevant; take a larger threshold, or the model in float64"
            )
    return float(number)


def _shares(value: Tensor, thetas: Sequence[float]) -> Tensor:
    import torch

    # Most are 0, and reach no threshold.
    ordered = value[value > 0].sort().values
    missed = torch.searchsorted(ordered, ordered.new_tensor(list(thetas)))
    return (len(ordered) - missed).double() / max(1, value.numel())

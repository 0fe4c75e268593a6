"""When a neuron counts as relevant in one example: what AND, OR, count and vote ask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from lrp_explorer.errors import InputError


@dataclass(frozen=True)
class Criterion:
    """Relevance is compared with a threshold; truth values are taken as they are.

    Attributes
    ----------
    theta : float or None
        Relevant when R ≥ θ; None: when R > 0.
    cost : bool
        Relevance is a cost (`Tropical`): relevant when R ≤ θ; None: when there is a path at all, R < ∞.
    """

    theta: float | None = None
    cost: bool = False

    def __call__(self, values: Any) -> Any:
        """Compare relevance, a tensor or an array of any shape."""
        if values.dtype == (torch.bool if isinstance(values, torch.Tensor) else np.bool_):
            return values
        if self.theta is None:
            return values < math.inf if self.cost else values > 0
        if isinstance(values, torch.Tensor) and values.dtype == torch.bfloat16:
            # NumPy, which rounds θ below, has no bfloat16; float32 holds its values exactly.
            values = values.float()
        kind = np.dtype(str(values.dtype).removeprefix("torch."))
        return values <= -_rounded_up(-self.theta, kind) if self.cost else values >= _rounded_up(self.theta, kind)

    def level(self, values: np.ndarray, rank: int) -> np.ndarray:
        """Give the value that decides whether a neuron is relevant in at least `rank` of the examples (first axis).

        The `rank`-th largest relevance: it reaches θ exactly when at least `rank` examples do. Of costs the smallest.
        """
        place = rank - 1 if self.cost else len(values) - rank
        return np.partition(values, place, axis=0)[place]

    def describe(self) -> str:
        """Say it in a formula."""
        if self.theta is None:
            return "R < ∞" if self.cost else "R > 0"
        return f"R {'≤' if self.cost else '≥'} {self.theta:g}"


@lru_cache
def _rounded_up(theta: float, kind: np.dtype[Any]) -> float:
    """Give the least number of a type that is not below θ: the values of that type reach both or neither.

    Compared as it is, θ would be rounded to the nearest one: to 0 if it is small enough.
    """
    if kind.kind != "f":
        return theta
    with np.errstate(over="ignore", under="ignore"):
        near = kind.type(theta)
        # As Python's numbers: NumPy would round θ again.
        return float(np.nextafter(near, kind.type(math.inf)) if float(near) < theta else near)


def checked_theta(theta: object) -> float | None:
    """Return θ, or raise `InputError` if it is no finite number."""
    if theta is None:
        return None
    try:
        if isinstance(theta, (int, float, np.integer, np.floating)) and not isinstance(theta, bool):
            number = float(theta)
            if math.isfinite(number):
                return number
    except OverflowError as error:
        raise InputError(f"theta is beyond the range of numbers ({error}); expected a finite number") from error
    raise InputError(f"theta is {theta!r}; expected a finite number, or None for R > 0")

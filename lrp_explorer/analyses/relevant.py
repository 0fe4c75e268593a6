"""When a neuron counts as relevant in one example: what AND, OR, count and vote ask."""

from __future__ import annotations

import math
from dataclasses import dataclass
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
        return values <= self.theta if self.cost else values >= self.theta

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


def checked_theta(theta: object) -> float | None:
    """Return θ, or raise `InputError` if it is no finite number."""
    if theta is None:
        return None
    if isinstance(theta, bool) or not isinstance(theta, (int, float)) or not math.isfinite(theta):
        raise InputError(f"theta is {theta!r}; expected a finite number, or None for R > 0")
    return float(theta)

"""Relevance is divided by stabilised sums, and an account is kept of what no input receives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from lrp_explorer.errors import NumericsError
from lrp_explorer.rules import LinearRule


@dataclass
class Account:
    """Where relevance went that no input received, per example ``(batch,)``."""

    to_bias: Tensor | float = 0.0
    to_epsilon: Tensor | float = 0.0
    other: Tensor | float = 0.0

    def book(self, relevance: Tensor, s: Tensor, z: Tensor, epsilon: float | Tensor, sign: int = 0) -> None:
        """Book what a division took: s = R / S(z), times what S added to z; and R itself where S(z) is 0."""
        self.to_epsilon = self.to_epsilon + per_example(s * (stabilize(z, epsilon, sign) - z))
        vanishing = _vanishing(z, epsilon)
        if vanishing is not None:
            self.other = self.other + per_example(torch.where(vanishing.expand_as(s), relevance, 0.0))


def per_example(tensor: Tensor) -> Tensor:
    """Sum over everything but the batch, in double precision; one number of the whole batch is left as it is."""
    if tensor.dim() == 0:
        return tensor.double()
    return tensor.reshape(tensor.shape[0], -1).sum(1, dtype=torch.float64)


def unaccounted(relevance: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """Relevance that arrived and was not handed down, in one number: the first axis need not be that of the examples.

    It is not where windows are cut, or where a value is one of the whole batch.
    """
    return relevance.sum(dtype=torch.float64) - sum(part.sum(dtype=torch.float64) for part in parts)


def scaled_epsilon(rule: LinearRule, z: Tensor) -> Tensor:
    """ε of a rule that takes it relative to z ``(batch, ...)``: one number per example, shaped to broadcast."""
    # Squares of half precision leave its range where z itself is far from that.
    flat = (z.float() if z.itemsize < 4 else z).flatten(1)
    scale = flat.std(1, correction=0) if rule.relative == "std" else flat.square().mean(1).sqrt()
    return (rule.stabilizer * scale).to(z.dtype).reshape(-1, *[1] * (z.dim() - 1))


@lru_cache
def rounded(epsilon: float, dtype: torch.dtype) -> float:
    """Return ε as numbers of a type have it: 0 where it is below the smallest of them (float16: 3e-8).

    Raises
    ------
    NumericsError
        When it is above the largest.
    """
    value = float(torch.tensor(epsilon, dtype=dtype))
    if value == float("inf"):
        largest = torch.finfo(dtype).max
        raise NumericsError(
            f"epsilon is {epsilon:g}, but the layer computes in {dtype}, which ends at {largest:g}; take a smaller "
            "epsilon, or model.float()"
        )
    return value


def stabilize(z: Tensor, epsilon: float | Tensor, sign: int = 0, *, fresh: bool = False) -> Tensor:
    """Return S(z) = z + ε·sign(z) with sign(0) = +1; `sign` tells a sign that z is known to have.

    A new tensor, or z itself, overwritten, where z is `fresh`: nobody else's, so that no memory has to be found.
    """
    if sign:
        epsilon = epsilon if sign > 0 else -epsilon
        return z.add_(epsilon) if fresh else z + epsilon
    if isinstance(epsilon, Tensor):
        return torch.where(z < 0, z - epsilon, z + epsilon)
    return torch.copysign(torch.full((), epsilon, dtype=z.dtype, device=z.device), z).add_(z)


def divide(relevance: Tensor, z: Tensor, epsilon: float | Tensor, sign: int = 0, *, fresh: bool = False) -> Tensor:
    """Return R / S(z), which nobody else holds; where S(z) is 0, 0. That is where z and ε are 0."""
    vanishing = _vanishing(z, epsilon)
    stabilized = stabilize(z, epsilon, sign, fresh=fresh)
    if relevance.shape == stabilized.shape:
        quotient = torch.div(relevance, stabilized, out=stabilized)
    else:
        quotient = torch.div(relevance, stabilized)
    if vanishing is not None:
        quotient.masked_fill_(vanishing.expand_as(quotient), 0.0)
    return quotient


def _vanishing(z: Tensor, epsilon: float | Tensor) -> Tensor | None:
    """Where S(z) is 0; None where that cannot be. Relative to a layer that says nothing, ε is 0, too."""
    if isinstance(epsilon, Tensor):
        return (z == 0) & (epsilon == 0)
    return z == 0 if rounded(epsilon, z.dtype) == 0 else None

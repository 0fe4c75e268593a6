"""The linear map at a node: its weight and bias, how to apply it, and how to apply its transpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.cache import Memo
from lrp_explorer.semirings.edges import Geometry

Weight = Tensor | float


@dataclass(frozen=True)
class LinearMap:
    """z = A_w(x) + b, linear in x and in the weight w, which can be replaced for a modified one.

    Attributes
    ----------
    weight : Tensor or float
        w; the number 1 for maps without weights (averages, interpolation), whose coefficients are never negative.
    bias : Tensor or None
        b, shaped to broadcast against z.
    apply : callable
        ``apply(x, w, b)`` is A_w(x) + b; b may be None.
    transpose : callable
        ``transpose(s, w, x)`` is A_wᵀ(s), of the shape of ``x``.
    pack : callable or None
        ``pack(w, s, x)`` is a form of w that `transpose` takes too, and is faster with from the second time on.
    dense : bool
        Whether every output channel sees every input channel, with one ordinary weight for each pair.
    groups : int
        Groups of a convolution.
    geometry : Geometry or None
        Which inputs an output sees, where the weight holds one number for each pair; None where it does not.
    memo : callable or None
        Keeps what is made of the weight from one recorded forward to the next, where that is known to be true.
    """

    weight: Weight
    bias: Tensor | None
    apply: Callable[[Tensor, Any, Tensor | None], Tensor]
    transpose: Callable[[Tensor, Any, Tensor], Tensor]
    pack: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    dense: bool = False
    groups: int = 1
    geometry: Geometry | None = None
    memo: Memo | None = None

    def combine(self, plain: float, positive: float, negative: float) -> Weight:
        """Return plain·w + positive·w⁺ + negative·w⁻."""
        if isinstance(self.weight, (int, float)):
            return (plain + positive) * self.weight
        if positive == negative:
            return self.weight if plain + positive == 1.0 else self.weight * (plain + positive)
        if plain == negative == 0.0:
            part = self.weight.clamp(min=0)
            return part if positive == 1.0 else part.mul_(positive)
        if plain == positive == 0.0:
            part = self.weight.clamp(max=0)
            return part if negative == 1.0 else part.mul_(negative)
        combined = self.weight.clamp(min=0).mul_(positive - negative)
        return combined.add_(self.weight, alpha=plain + negative)

    def bias_part(self, plain: float, positive: float, negative: float) -> Tensor | None:
        """Return plain·b + positive·b⁺ + negative·b⁻, or None where there is no bias."""
        if self.bias is None:
            return None
        return plain * self.bias + positive * self.bias.clamp(min=0) + negative * self.bias.clamp(max=0)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute z itself."""
        return self.apply(x, self.weight, self.bias)


def vjp(function: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """Apply the transposed Jacobian of `function` at `x` to `s`."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf, s)[0]

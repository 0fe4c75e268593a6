"""One step down through a linear layer: rules for contributions, and the rules of the first layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from lrp_explorer.engine.maps import LinearMap
from lrp_explorer.rules import Flat, LinearRule, Share, WSquare, ZBox

Memo = Callable[[Hashable, Callable[[], Tensor]], Tensor]


@dataclass
class Account:
    """Where relevance went that no input received, per example ``(batch,)``."""

    to_bias: Tensor | float = 0.0
    to_epsilon: Tensor | float = 0.0
    other: Tensor | float = 0.0


def per_example(tensor: Tensor) -> Tensor:
    """Sum over everything but the batch, in double precision."""
    return tensor.reshape(tensor.shape[0], -1).sum(1, dtype=torch.float64)


def scaled_epsilon(rule: LinearRule, z: Tensor) -> Tensor:
    """ε of a rule that takes it relative to z ``(batch, ...)``: one number per example, shaped to broadcast."""
    flat = z.flatten(1)
    scale = flat.std(1, correction=0) if rule.relative == "std" else flat.square().mean(1).sqrt()
    return (rule.stabilizer * scale).reshape(-1, *[1] * (z.dim() - 1))


def stabilize(z: Tensor, epsilon: float | Tensor, sign: int = 0) -> Tensor:
    """Return S(z) = z + ε·sign(z) with sign(0) = +1, as a new tensor; `sign` tells a sign that z is known to have."""
    if sign:
        return z + epsilon if sign > 0 else z - epsilon
    if isinstance(epsilon, Tensor):
        return torch.where(z < 0, z - epsilon, z + epsilon)
    return torch.copysign(torch.full((), epsilon, dtype=z.dtype, device=z.device), z).add_(z)


def divide(relevance: Tensor, z: Tensor, epsilon: float | Tensor, sign: int = 0) -> Tensor:
    """Return R / S(z), as a new tensor; where S(z) is 0 (possible with ε = 0 only), 0."""
    stabilized = stabilize(z, epsilon, sign)
    if relevance.shape == stabilized.shape:
        quotient = torch.div(relevance, stabilized, out=stabilized)
    else:
        quotient = torch.div(relevance, stabilized)
    if isinstance(epsilon, float) and epsilon == 0.0:
        quotient.masked_fill_((z == 0).expand_as(quotient), 0.0)
    return quotient


@dataclass
class LinearStep:
    """Everything about one linear layer that a rule needs.

    Attributes
    ----------
    layer : LinearMap
        The layer's map.
    x : Tensor
        Its recorded input.
    output : callable
        Gives z, its output, bias included.
    nonnegative : bool
        x is known not to be negative: terms in x⁻ vanish.
    rectified : Tensor or None
        max(0, z), given when relevance is known to be zero wherever z ≤ 0: such outputs need no z and no share.
    memo : callable
        Keeps what depends on the recorded forward, but not on relevance.
    account : Account or None
        Filled when given.
    """

    layer: LinearMap
    x: Tensor
    output: Callable[[], Tensor]
    nonnegative: bool = False
    rectified: Tensor | None = None
    memo: Memo = field(default=lambda _key, compute: compute())
    account: Account | None = None

    @cached_property
    def z(self) -> Tensor:
        """The layer's output, bias included."""
        return self.output()

    def by_contribution(self, rule: LinearRule, relevance: Tensor) -> Tensor:
        """Execute a rule of `lrp_explorer.rules.linear`."""
        result: Tensor | None = None
        for share in rule.shares():
            if self.rectified is not None and share.where == "negative":
                continue
            message = self._share(rule, share, relevance)
            result = message if result is None else result.add_(message)
        assert result is not None
        if self.account is not None and any(share.where != "all" for share in rule.shares()):
            unserved = torch.where(self.z == 0, relevance, 0.0)
            self.account.other = self.account.other + per_example(unserved)
        return result

    def _plain(self, rule: LinearRule) -> Tensor:
        """Σ_j c_jk, with the bias if it absorbs."""
        if rule.bias == "absorb" or self.layer.bias is None:
            return self.z
        return self.z - self.layer.bias

    def _share(self, rule: LinearRule, share: Share, relevance: Tensor) -> Tensor:
        denominator, sign = self._denominator(rule, share)
        epsilon = self._epsilon(rule)
        s = divide(relevance, denominator, epsilon, sign)
        # The sign of the output as the network has it decides, bias included in any case.
        if share.where == "positive" and self.rectified is None:
            s.masked_fill_(self.z <= 0, 0.0)
        elif share.where == "negative":
            s.masked_fill_(self.z >= 0, 0.0)
        if share.factor != 1.0:
            s.mul_(share.factor)
        self._book(rule, share, s, denominator, epsilon, sign)
        return self._hand_down(s, share)

    def _hand_down(self, s: Tensor, share: Share) -> Tensor:
        p, q, r = share.plain, share.positive, share.negative
        if self.nonnegative or q == r:
            return self._transposed(s, p, q, r).mul_(self.x)
        upper = self._transposed(s, p, q, r).mul_(self.x.clamp(min=0))
        # A negative input turns the sign: its positive contributions come from negative weights.
        return upper.addcmul_(self._transposed(s, p, r, q), self.x.clamp(max=0))

    def _transposed(self, s: Tensor, p: float, q: float, r: float) -> Tensor:
        layer = self.layer
        if (p, q, r) == (1.0, 0.0, 0.0) or not isinstance(layer.weight, Tensor):
            return layer.transpose(s, layer.combine(p, q, r), self.x)
        weight = self.memo(("weight", p, q, r), lambda: torch.as_tensor(layer.combine(p, q, r)))
        return layer.transpose(s, weight, self.x)

    def _epsilon(self, rule: LinearRule) -> float | Tensor:
        return float(rule.stabilizer) if rule.relative is None else scaled_epsilon(rule, self._plain(rule))

    def _denominator(self, rule: LinearRule, share: Share) -> tuple[Tensor, int]:
        """Return Σ_j (p·c + q·c⁺ + r·c⁻) + bias part, and its sign where it is known (0 where not)."""
        p, q, r = share.plain, share.positive, share.negative
        absorbs = rule.bias == "absorb"
        if p == 0.0 and r == 0.0:
            return _times(self._signed(1, absorbs), q), 1
        if p == 0.0 and q == 0.0:
            return _times(self._signed(-1, absorbs), r), -1
        # Where relevance is zero the ReLU's output serves as well as z, and is there already.
        rectified = self.rectified is not None and absorbs and rule.relative is None
        total = _times(self.rectified if self.rectified is not None and rectified else self._plain(rule), p)
        if q:
            total = torch.add(total, self._signed(1, absorbs), alpha=q)
        if r:
            # Where z is negative, z − z⁺ is as exact as z⁻ itself; elsewhere it might cancel.
            safe = share.where == "negative" and p > 0.0 and absorbs
            negative = self._plain(rule) - self._signed(1, absorbs) if safe else self._signed(-1, absorbs)
            total = torch.add(total, negative, alpha=r)
        return total, 1 if rectified and r == 0.0 else 0

    def _signed(self, sign: int, absorbs: bool) -> Tensor:
        """z⁺ = Σ_j c⁺_jk (or z⁻), with b⁺ (b⁻) if the bias absorbs."""
        return self.memo(("signed", sign, absorbs), lambda: self._signed_sum(sign, absorbs))

    def _signed_sum(self, sign: int, absorbs: bool) -> Tensor:
        layer, (q, r) = self.layer, (1.0, 0.0) if sign > 0 else (0.0, 1.0)
        bias = layer.bias_part(0.0, q, r) if absorbs else None
        if self.nonnegative:
            return layer.apply(self.x, layer.combine(0.0, q, r), bias)
        upper = layer.apply(self.x.clamp(min=0), layer.combine(0.0, q, r), bias)
        return upper.add_(layer.apply(self.x.clamp(max=0), layer.combine(0.0, r, q), None))

    def _book(
        self, rule: LinearRule, share: Share, s: Tensor, denominator: Tensor, epsilon: float | Tensor, sign: int
    ) -> None:
        if self.account is None:
            return
        self._book_epsilon(s, denominator, epsilon, sign)
        bias = self.layer.bias_part(share.plain, share.positive, share.negative) if rule.bias == "absorb" else None
        if bias is not None:
            self.account.to_bias = self.account.to_bias + per_example(s * bias)

    def by_box(self, rule: ZBox, relevance: Tensor) -> Tensor:
        """Execute the zᴮ rule."""
        layer = self.layer
        low, high = rule.low.like(self.x), rule.high.like(self.x)  # type: ignore[union-attr]
        positive, negative = layer.combine(0.0, 1.0, 0.0), layer.combine(0.0, 0.0, 1.0)
        corner = self.memo(
            ("corner", rule), lambda: layer.apply(low, positive, None) + layer.apply(high, negative, None)
        )
        plain = self.z if layer.bias is None else self.z - layer.bias
        denominator = plain - corner
        s = divide(relevance, denominator, rule.stabilizer)
        self._book_epsilon(s, denominator, rule.stabilizer)
        down, upper = layer.transpose(s, layer.weight, self.x), layer.transpose(s, positive, self.x)
        # x·wᵀs − l·w⁺ᵀs − h·w⁻ᵀs, with w⁻ = w − w⁺.
        return (self.x - high).mul_(down).addcmul_(high - low, upper)

    def by_square(self, rule: WSquare, relevance: Tensor) -> Tensor:
        """Execute the w² rule."""
        weight = torch.as_tensor(self.layer.weight).square()
        denominator = self.layer.apply(torch.ones_like(self.x[:1]), weight, None)
        if rule.bias == "absorb" and self.layer.bias is not None:
            denominator = denominator + self.layer.bias.square()
        s = divide(relevance, denominator, rule.stabilizer)
        self._book_epsilon(s, denominator, rule.stabilizer)
        if self.account is not None and rule.bias == "absorb" and self.layer.bias is not None:
            self.account.to_bias = self.account.to_bias + per_example(s * self.layer.bias.square())
        return self.layer.transpose(s, weight, self.x)

    def by_view(self, rule: Flat, relevance: Tensor) -> Tensor:
        """Execute the flat rule."""
        weight = torch.ones_like(torch.as_tensor(self.layer.weight))
        denominator = self.memo("view", lambda: self.layer.apply(torch.ones_like(self.x[:1]), weight, None))
        s = divide(relevance, denominator, rule.stabilizer)
        self._book_epsilon(s, denominator, rule.stabilizer)
        if not self.layer.dense:
            return self.layer.transpose(s, weight, self.x)
        # All weights are equal: one channel of outputs and one of inputs stand for all.
        axis = 1 if weight.dim() > 2 else -1
        one = weight[:1, :1]
        shared = self.layer.transpose(s.sum(axis, keepdim=True), one, self.x.narrow(axis, 0, 1))
        return shared.expand_as(self.x).contiguous()

    def _book_epsilon(self, s: Tensor, denominator: Tensor, epsilon: float | Tensor, sign: int = 0) -> None:
        if self.account is not None:
            absorbed = s * (stabilize(denominator, epsilon, sign) - denominator)
            self.account.to_epsilon = self.account.to_epsilon + per_example(absorbed)


def _times(z: Tensor, factor: float) -> Tensor:
    return z if factor == 1.0 else z * factor

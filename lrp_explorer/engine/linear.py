"""One step down through a linear layer: rules for contributions, and the rules of the first layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from lrp_explorer.engine.account import Account, divide, per_example, scaled_epsilon, stabilize
from lrp_explorer.engine.maps import LinearMap, Weight
from lrp_explorer.rules import Flat, LinearRule, Share, WSquare, ZBox, Zero

Memo = Callable[[Hashable, Callable[[], Tensor]], Tensor]


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
    _parts: dict[int, Tensor] = field(default_factory=dict, init=False)

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

    def factors(self, rule: LinearRule) -> tuple[Tensor, Tensor]:
        """Tell what multiplies positive and what multiplies negative contributions: d_jk = A_k c⁺_jk + B_k c⁻_jk.

        Two tensors of the output's shape; the same one where the rule makes no difference.
        """
        positive = negative = None
        for share in rule.shares():
            if self.rectified is not None and share.where == "negative":
                continue
            s = self._inverse(rule, share)
            up, down = share.plain + share.positive, share.plain + share.negative
            together = up == down and positive is negative
            upper = _plus(positive, s, up)
            negative = upper if together else _plus(negative, s, down)
            positive = upper
        assert positive is not None
        assert negative is not None
        return positive, negative

    def _inverse(self, rule: LinearRule, share: Share) -> Tensor:
        """Factor / S(denominator) of a share, at the outputs that it serves."""
        denominator, sign, fresh = self._denominator(rule, share)
        epsilon = self._epsilon(rule)
        if isinstance(epsilon, Tensor) or epsilon > 0.0:
            s = stabilize(denominator, epsilon, sign, fresh=fresh).reciprocal_()
        else:
            s = divide(torch.ones_like(denominator), denominator, epsilon, sign)
        self._serve(s, share)
        return s

    def _serve(self, s: Tensor, share: Share) -> None:
        # The sign of the output as the network has it decides, bias included in any case.
        if share.where == "positive" and self.rectified is None:
            s.masked_fill_(self.z <= 0, 0.0)
        elif share.where == "negative":
            s.masked_fill_(self.z >= 0, 0.0)
        if share.factor != 1.0:
            s.mul_(share.factor)

    def _plain(self, rule: LinearRule) -> Tensor:
        """Σ_j c_jk, with the bias if it absorbs."""
        return self.z if rule.bias == "absorb" or self.layer.bias is None else self.z - self.layer.bias

    def _share(self, rule: LinearRule, share: Share, relevance: Tensor) -> Tensor:
        return self._hand_down(self._quotient(rule, share, relevance), share)

    def _quotient(self, rule: LinearRule, share: Share, relevance: Tensor) -> Tensor:
        denominator, sign, fresh = self._denominator(rule, share)
        epsilon = self._epsilon(rule)
        # The books still want the denominator as it is.
        s = divide(relevance, denominator, epsilon, sign, fresh=fresh and self.account is None)
        self._serve(s, share)
        self._book(rule, share, relevance, s, denominator, epsilon, sign)
        return s

    def _hand_down(self, s: Tensor, share: Share) -> Tensor:
        p, q, r = share.plain, share.positive, share.negative
        if self.nonnegative or q == r:
            return self._transposed(s, p, q, r).mul_(self.x)
        upper = self._transposed(s, p, q, r).mul_(self.x.clamp(min=0))
        # A negative input turns the sign: its positive contributions come from negative weights.
        return upper.addcmul_(self._transposed(s, p, r, q), self.x.clamp(max=0))

    def _transposed(self, s: Tensor, p: float, q: float, r: float) -> Tensor:
        return self.layer.transpose(s, self._weight(p, q, r), self.x)

    def _weight(self, p: float, q: float, r: float) -> Weight:
        """p·w + q·w⁺ + r·w⁻; w⁺ and w⁻ are made once, so that a moved γ takes one pass over the weights."""
        weight = self.layer.weight
        if not isinstance(weight, Tensor) or q == r:
            return self.layer.combine(p, q, r)
        if p == 0.0 and 0.0 in (q, r):
            return _times(self._part(1 if q else -1), q or r)
        if p and r == 0.0:
            return torch.add(_times(weight, p), self._part(1), alpha=q)
        if p and q == 0.0:
            return torch.add(_times(weight, p), self._part(-1), alpha=r)
        return self.layer.combine(p, q, r)

    def _part(self, sign: int) -> Tensor:
        if sign not in self._parts:
            share = (1.0, 0.0) if sign > 0 else (0.0, 1.0)
            made = self.memo(("weight", sign), lambda: torch.as_tensor(self.layer.combine(0.0, *share)))
            self._parts[sign] = made
        return self._parts[sign]

    def _epsilon(self, rule: LinearRule) -> float | Tensor:
        return float(rule.stabilizer) if rule.relative is None else scaled_epsilon(rule, self._plain(rule))

    def _denominator(self, rule: LinearRule, share: Share) -> tuple[Tensor, int, bool]:
        """Return Σ_j (p·c + q·c⁺ + r·c⁻) + bias part, its sign where it is known (else 0), and whether it is fresh."""
        p, q, r = share.plain, share.positive, share.negative
        absorbs = rule.bias == "absorb"
        if p == 0.0 and r == 0.0:
            return _times(self._signed(1, absorbs), q), 1, q != 1.0
        if p == 0.0 and q == 0.0:
            return _times(self._signed(-1, absorbs), r), -1, r != 1.0
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
        return total, 1 if rectified and r == 0.0 else 0, bool(q or r)

    def _signed(self, sign: int, absorbs: bool) -> Tensor:
        """z⁺ = Σ_j c⁺_jk (or z⁻), with b⁺ (b⁻) if the bias absorbs."""
        return self.memo(("signed", sign, absorbs), lambda: self._signed_sum(sign, absorbs))

    def _signed_sum(self, sign: int, absorbs: bool) -> Tensor:
        layer, (q, r) = self.layer, (1.0, 0.0) if sign > 0 else (0.0, 1.0)
        bias = layer.bias_part(0.0, q, r) if absorbs else None
        if self.nonnegative:
            return layer.apply(self.x, self._weight(0.0, q, r), bias)
        upper = layer.apply(self.x.clamp(min=0), self._weight(0.0, q, r), bias)
        return upper.add_(layer.apply(self.x.clamp(max=0), self._weight(0.0, r, q), None))

    def _book(
        self,
        rule: LinearRule,
        share: Share,
        relevance: Tensor,
        s: Tensor,
        denominator: Tensor,
        epsilon: float | Tensor,
        sign: int,
    ) -> None:
        if self.account is None:
            return
        # Outputs with z = 0 are booked by the caller where they belong to no share.
        served = relevance * share.factor if share.where == "all" else torch.zeros_like(relevance)
        self.account.book(served, s, denominator, epsilon, sign)
        bias = self.layer.bias_part(share.plain, share.positive, share.negative) if rule.bias == "absorb" else None
        if bias is not None:
            self.account.to_bias = self.account.to_bias + per_example(s * bias)

    def by_box(self, rule: ZBox, relevance: Tensor) -> Tensor:
        """Execute the zᴮ rule."""
        low, high = rule.low.like(self.x), rule.high.like(self.x)  # type: ignore[union-attr]
        denominator = self.in_box(rule)
        s = divide(relevance, denominator, float(rule.stabilizer))
        if self.account is not None:
            self.account.book(relevance, s, denominator, float(rule.stabilizer))
        down, upper = self._transposed(s, 1.0, 0.0, 0.0), self._transposed(s, 0.0, 1.0, 0.0)
        # x·wᵀs − l·w⁺ᵀs − h·w⁻ᵀs, with w⁻ = w − w⁺.
        return (self.x - high).mul_(down).addcmul_(high - low, upper)

    def in_box(self, rule: ZBox) -> Tensor:
        """Σ_j (a w − l w⁺ − h w⁻), which no ε, γ or target moves."""
        return self.memo(("box", rule.low, rule.high), lambda: self._in_box(rule))

    def _in_box(self, rule: ZBox) -> Tensor:
        layer = self.layer
        low, high = rule.low.like(self.x), rule.high.like(self.x)  # type: ignore[union-attr]
        corner = layer.apply(low, self._weight(0.0, 1.0, 0.0), None).add_(
            layer.apply(high, self._weight(0.0, 0.0, 1.0), None)
        )
        return self._plain(Zero(bias="ignore")) - corner

    def by_square(self, rule: WSquare, relevance: Tensor) -> Tensor:
        """Execute the w² rule."""
        weight, denominator = self.squares(rule)
        s = divide(relevance, denominator, float(rule.stabilizer))
        if self.account is not None:
            self.account.book(relevance, s, denominator, float(rule.stabilizer))
        if self.account is not None and rule.bias == "absorb" and self.layer.bias is not None:
            self.account.to_bias = self.account.to_bias + per_example(s * self.layer.bias.square())
        return self.layer.transpose(s, weight, self.x)

    def squares(self, rule: WSquare) -> tuple[Tensor, Tensor]:
        """w², and Σ_j w²_jk."""
        weight = torch.as_tensor(self.layer.weight).square()
        denominator = self.layer.apply(torch.ones_like(self.x[:1]), weight, None)
        if rule.bias == "absorb" and self.layer.bias is not None:
            denominator = denominator + self.layer.bias.square()
        return weight, denominator

    def view(self) -> tuple[Tensor, Tensor]:
        """Ones in place of the weights, and how many inputs an output sees."""
        weight = torch.ones_like(torch.as_tensor(self.layer.weight))
        return weight, self.memo("view", lambda: self.layer.apply(torch.ones_like(self.x[:1]), weight, None))

    def by_view(self, rule: Flat, relevance: Tensor) -> Tensor:
        """Execute the flat rule."""
        weight, denominator = self.view()
        s = divide(relevance, denominator, float(rule.stabilizer))
        if self.account is not None:
            self.account.book(relevance, s, denominator, float(rule.stabilizer))
        if not self.layer.dense:
            return self.layer.transpose(s, weight, self.x)
        # All weights are equal: one channel of outputs and one of inputs stand for all.
        axis = 1 if weight.dim() > 2 else -1
        one = weight[:1, :1]
        shared = self.layer.transpose(s.sum(axis, keepdim=True), one, self.x.narrow(axis, 0, 1))
        return shared.expand_as(self.x).contiguous()


def _plus(total: Tensor | None, s: Tensor, factor: float) -> Tensor:
    """Total + factor · s, where there is a total."""
    if total is not None:
        return torch.add(total, s, alpha=factor)
    return s if factor == 1.0 else s * factor


def _times(z: Tensor, factor: float) -> Tensor:
    return z if factor == 1.0 else z * factor

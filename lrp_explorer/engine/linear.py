"""One step down through a linear layer: rules for contributions, and the rules of the first layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from lrp_explorer.engine.account import Account, divide, per_example, rounded, scaled_epsilon, stabilize
from lrp_explorer.engine.cache import Memo, forgetful
from lrp_explorer.engine.maps import LinearMap
from lrp_explorer.engine.weights import Weights
from lrp_explorer.rules import LinearRule, Share

# What a step keeps of every example, by the first part of its key; all else is of the layer.
BY_EXAMPLE = frozenset({"signed", "own", "stable", "lean", "box"})


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
    memo: Memo = forgetful
    account: Account | None = None

    @cached_property
    def weights(self) -> Weights:
        """Modified weights."""
        return Weights(self.layer, self.layer.memo or self.memo)

    @cached_property
    def z(self) -> Tensor:
        """The layer's output, bias included."""
        return self.output()

    def by_contribution(self, rule: LinearRule, relevance: Tensor) -> Tensor:
        """Execute a rule of `lrp_explorer.rules.linear`."""
        shares = rule.shares()
        if self.rectified is not None:
            shares = tuple(share for share in shares if share.where != "negative")
        elif self.account is None and self.nonnegative and _by_sign(rule, shares):
            return self._by_sign(rule, shares[0], relevance)
        result = self._share(rule, shares[0], relevance)
        for share in shares[1:]:
            result.add_(self._share(rule, share, relevance))
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
        """Return factor / S(denominator) of a share, at the outputs that it serves."""
        denominator, sign, fresh = self._denominator(rule, share)
        epsilon = self._epsilon(rule)
        if not isinstance(epsilon, Tensor) and rounded(epsilon, denominator.dtype) > 0.0:
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

    def plain(self, rule: LinearRule) -> Tensor:
        """Σ_j c_jk, with the bias if it absorbs."""
        return self.z if rule.bias == "absorb" or self.layer.bias is None else self.z - self.layer.bias

    def _by_sign(self, rule: LinearRule, above: Share, relevance: Tensor) -> Tensor:
        """Execute p·c + q·c⁺ where z > 0 and p·c + q·c⁻ where z < 0 in one go; inputs are not negative.

        With w± = (w ± |w|) / 2 and s = R / S(…):
        R_j = x_j · ((p + q/2) wᵀ s + (q/2) |w|ᵀ (s · sign z)).
        """
        p, q = above.plain * above.factor, above.positive * above.factor
        half = p + q / 2
        s = torch.add(self._stable(above.plain, float(rule.stabilizer)), self._own(), alpha=above.positive)
        lean = self.memo(("lean", q / 2 / half), lambda: self._lean(q / 2 / half), "lean")
        if not self.weights.stackable:
            torch.div(relevance, s, out=s)
            result = self.transposed(s, 1.0, 0.0, 0.0)
            result.add_(self.transposed(s.mul_(lean), 0.0, 1.0, -1.0))
        else:
            both, (plain, leaning) = self.weights.room(s)
            torch.div(relevance, s, out=plain)
            torch.mul(plain, lean, out=leaning)
            result = self.weights.transpose_stacked(both, self.x)
        return result.mul_(self.x).mul_(half)

    def _lean(self, ratio: float) -> Tensor:
        """The ratio with the sign of z."""
        return torch.copysign(torch.full((), ratio, dtype=self.z.dtype, device=self.z.device), self.z)

    def _own(self) -> Tensor:
        """z⁺ where z is not negative, and z⁻ where it is; z⁻ = z − z⁺ is exact enough there."""

        def made() -> Tensor:
            positive = self._signed(1, absorbs=True)
            return torch.where(self.z < 0, self.z - positive, positive)

        return self.memo(("own",), made)

    def _stable(self, p: float, epsilon: float) -> Tensor:
        """p·z + ε·sign(z), and ∞ where z is zero: there no share serves."""

        def made() -> Tensor:
            return stabilize(_times(self.z, p), epsilon).masked_fill_(self.z == 0, torch.inf)

        return self.memo(("stable", p, epsilon), made, "stable")

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
            return self.transposed(s, p, q, r).mul_(self.x)
        upper = self.transposed(s, p, q, r).mul_(self.x.clamp(min=0))
        # A negative input turns the sign: its positive contributions come from negative weights.
        return upper.addcmul_(self.transposed(s, p, r, q), self.x.clamp(max=0))

    def transposed(self, s: Tensor, p: float, q: float, r: float) -> Tensor:
        """Apply the transpose of the layer, its weights being p·w + q·w⁺ + r·w⁻."""
        return self.weights.transpose(s, (p, q, r), self.x)

    def _epsilon(self, rule: LinearRule) -> float | Tensor:
        return float(rule.stabilizer) if rule.relative is None else scaled_epsilon(rule, self.plain(rule))

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
        total = _times(self.rectified if self.rectified is not None and rectified else self.plain(rule), p)
        if q:
            total = torch.add(total, self._signed(1, absorbs), alpha=q)
        if r:
            # Where z is negative, z − z⁺ is as exact as z⁻ itself; elsewhere it might cancel.
            safe = share.where == "negative" and p > 0.0 and absorbs
            negative = self.plain(rule) - self._signed(1, absorbs) if safe else self._signed(-1, absorbs)
            total = torch.add(total, negative, alpha=r)
        return total, 1 if rectified and r == 0.0 else 0, bool(q or r)

    def _signed(self, sign: int, absorbs: bool) -> Tensor:
        """z⁺ = Σ_j c⁺_jk (or z⁻), with b⁺ (b⁻) if the bias absorbs."""
        return self.memo(("signed", sign, absorbs), lambda: self._signed_sum(sign, absorbs))

    def _signed_sum(self, sign: int, absorbs: bool) -> Tensor:
        layer, (q, r) = self.layer, (1.0, 0.0) if sign > 0 else (0.0, 1.0)
        bias = layer.bias_part(0.0, q, r) if absorbs else None
        if self.nonnegative:
            return layer.apply(self.x, self.weights.combined(0.0, q, r), bias)
        upper = layer.apply(self.x.clamp(min=0), self.weights.combined(0.0, q, r), bias)
        return upper.add_(layer.apply(self.x.clamp(max=0), self.weights.combined(0.0, r, q), None))

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


def _by_sign(rule: LinearRule, shares: tuple[Share, ...]) -> bool:
    """Whether one share serves outputs above zero, with c and c⁺, and another those below, with c and c⁻ as much."""
    if len(shares) != 2 or rule.bias != "absorb" or rule.relative is not None:
        return False
    above, below = shares
    mirrored = replace(above, where="negative", negative=above.positive, positive=0.0)
    return above.where == "positive" and below == mirrored


def _plus(total: Tensor | None, s: Tensor, factor: float) -> Tensor:
    """Return total + factor · s, where there is a total."""
    if total is not None:
        return torch.add(total, s, alpha=factor)
    return s if factor == 1.0 else s * factor


def _times(z: Tensor, factor: float) -> Tensor:
    return z if factor == 1.0 else z * factor

"""Rules of linear layers, told by how much each contribution a_j w_jk counts.

A layer's pre-activation is z_k = Σ_j c_jk + b_k with contributions c_jk = a_j w_jk. Every rule here hands R_k down in
proportion to p·c + q·c⁺ + r·c⁻ over its own sum (x⁺ = max(0, x), x⁻ = min(0, x)); a `Share` names p, q, r. Inputs of
either sign are covered: c⁺ = a⁺w⁺ + a⁻w⁻ and c⁻ = a⁺w⁻ + a⁻w⁺.

Every denominator is stabilised with its own sign, S(z) = z + ε·sign(z) with sign(0) = +1; with ε = 0, outputs whose
denominator is 0 hand nothing down. ``bias="absorb"`` counts the bias in the denominator, so that it takes its share of
relevance; ``bias="ignore"`` leaves it out, so that none is lost.

Layer, group and instance norm, y = (x − mean) / std ⊙ w + b, are linear once std counts as a constant of the example
(AttnLRP, Achtibat et al. 2024, arXiv:2402.05602, sec. 3.3): `Zero` and `Epsilon` share R_j = x_j Σ_k J_kj R_k / S(y_k)
with J the Jacobian at constant std. RMS norm takes no mean away, and relevance of y_k is that of x_k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from lrp_explorer.errors import InputError
from lrp_explorer.rules.base import Bias, Rule, check_choice, check_number

LINEAR_KINDS = frozenset({"convolution", "linear", "batch_norm", "average_pool", "interpolation"})
# Linear too, but without a weight for every pair: LRP-0 and ε alone serve them.
_SHARED_KINDS = frozenset({"sum", "shift", "layer_norm"})


@dataclass(frozen=True)
class Share:
    """One share of relevance: R_j += factor · Σ_k (p·c + q·c⁺ + r·c⁻)_jk / S(Σ_j …) · R_k, for the chosen k.

    Attributes
    ----------
    plain, positive, negative : float
        p, q and r; the bias counts in the same way (p·b + q·b⁺ + r·b⁻).
    factor : float
        Weight of this share among the rule's shares (α, −β).
    where : {"all", "positive", "negative"}
        Outputs served: all, those with z_k > 0, or those with z_k < 0.
    """

    plain: float = 0.0
    positive: float = 0.0
    negative: float = 0.0
    factor: float = 1.0
    where: Literal["all", "positive", "negative"] = "all"


class LinearRule(Rule):
    """Abstract: shares relevance by contribution; a final rule has the fields below and says its `shares`.

    Attributes
    ----------
    stabilizer : float
        ε of S(z), in units of z.
    bias : {"absorb", "ignore"}
        See the module's docstring.
    relative : {None, "std", "rms"}
        Statistic of z, over one example and the whole layer, that ε is a multiple of; None for an absolute ε.
    """

    kinds: ClassVar[frozenset[str]] = LINEAR_KINDS
    proportional: ClassVar[bool] = True
    stabilizer: float
    bias: Bias
    relative: Literal["std", "rms"] | None = None

    def shares(self) -> tuple[Share, ...]:
        """Tell the shares that make up the rule."""
        raise TypeError(f"{type(self).__name__} says no shares")

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)
        check_choice(self, "bias", ("absorb", "ignore"))


@dataclass(frozen=True)
class Zero(LinearRule):
    """LRP-0: relevance in proportion to each contribution; gradient × input for piecewise linear networks.

    Upper layers. Bach et al. 2015 (doi:10.1371/journal.pone.0130140), eq. 56; Montavon et al. 2019
    (doi:10.1007/978-3-030-28954-6_10), table 1.
    """

    stabilizer: float = 1e-9
    bias: Bias = "absorb"
    kinds: ClassVar[frozenset[str]] = LINEAR_KINDS | _SHARED_KINDS
    formula: ClassVar[str] = "R_j = Σ_k a_j w_jk / z_k · R_k"

    def shares(self) -> tuple[Share, ...]:
        """Every contribution counts as it is."""
        return (Share(plain=1.0),)


@dataclass(frozen=True)
class Epsilon(LinearRule):
    """LRP-ε: LRP-0 with a larger ε, which absorbs weak or contradictory evidence.

    Middle and upper layers. Bach et al. 2015 (doi:10.1371/journal.pone.0130140), eq. 58.

    Parameters
    ----------
    epsilon : float
        ε ≥ 0, in units of z, or as a multiple of the statistic that `relative` names.
    relative : {None, "std", "rms"}
        Standard deviation (around the mean, divided by n) or root mean square of z over one example's whole layer.
    """

    epsilon: float = 1e-6
    relative: Literal["std", "rms"] | None = None
    bias: Bias = "absorb"
    kinds: ClassVar[frozenset[str]] = LINEAR_KINDS | _SHARED_KINDS
    formula: ClassVar[str] = "R_j = Σ_k a_j w_jk / (z_k + ε·sign z_k) · R_k"

    def __post_init__(self) -> None:
        check_number(self, "epsilon", 0.0)
        check_choice(self, "relative", (None, "std", "rms"))
        check_choice(self, "bias", ("absorb", "ignore"))

    @property
    def stabilizer(self) -> float:  # type: ignore[override]
        """ε itself."""
        return self.epsilon

    def shares(self) -> tuple[Share, ...]:
        """Every contribution counts as it is."""
        return (Share(plain=1.0),)


@dataclass(frozen=True)
class Gamma(LinearRule):
    """LRP-γ: positive contributions count 1 + γ times where z_k > 0, negative ones where z_k < 0.

    Lower layers. For inputs ≥ 0 and z_k > 0 this is the rule of Montavon et al. 2019
    (doi:10.1007/978-3-030-28954-6_10), table 1; the general form follows Andéol et al. 2021 (arXiv:2106.10992).

    Parameters
    ----------
    gamma : float
        γ ≥ 0; 0 is LRP-0, and γ → ∞ approaches `ZPlus`.
    """

    gamma: float = 0.25
    stabilizer: float = 1e-6
    bias: Bias = "absorb"
    formula: ClassVar[str] = "R_j = Σ_k a_j (w_jk + γ w⁺_jk) / Σ_j a_j (w_jk + γ w⁺_jk) · R_k"

    def __post_init__(self) -> None:
        check_number(self, "gamma", 0.0)
        LinearRule.__post_init__(self)

    def shares(self) -> tuple[Share, ...]:
        """Contributions of the output's own sign count more."""
        return (
            Share(plain=1.0, positive=self.gamma, where="positive"),
            Share(plain=1.0, negative=self.gamma, where="negative"),
        )


@dataclass(frozen=True)
class AlphaBeta(LinearRule):
    """LRP-αβ: α times the share of positive contributions, minus β times the share of negative ones.

    Bach et al. 2015 (doi:10.1371/journal.pone.0130140), eq. 60.

    Parameters
    ----------
    alpha, beta : float
        α ≥ 1 and β ≥ 0 with α − β = 1.
    """

    alpha: float = 2.0
    beta: float = 1.0
    stabilizer: float = 1e-6
    bias: Bias = "absorb"
    formula: ClassVar[str] = "R_j = Σ_k (α (a_j w_jk)⁺ / z⁺_k − β (a_j w_jk)⁻ / z⁻_k) · R_k,  α − β = 1"

    def __post_init__(self) -> None:
        check_number(self, "alpha", 1.0)
        check_number(self, "beta", 0.0)
        if abs(self.alpha - self.beta - 1.0) > 1e-9:
            raise InputError(
                f"AlphaBeta: alpha − beta is {self.alpha!r} − {self.beta!r}, but it must be 1; "
                f"take beta={self.alpha - 1.0:g} or alpha={self.beta + 1.0:g}"
            )
        LinearRule.__post_init__(self)

    def shares(self) -> tuple[Share, ...]:
        """Two shares, each over its own sum."""
        return (Share(positive=1.0, factor=self.alpha), Share(negative=1.0, factor=-self.beta))


@dataclass(frozen=True)
class ZPlus(LinearRule):
    """The z⁺ rule (α1β0): positive contributions alone.

    Montavon et al. 2017 (doi:10.1016/j.patcog.2016.11.008), eq. 13.
    """

    stabilizer: float = 1e-6
    bias: Bias = "absorb"
    formula: ClassVar[str] = "R_j = Σ_k (a_j w_jk)⁺ / Σ_j (a_j w_jk)⁺ · R_k"

    def shares(self) -> tuple[Share, ...]:
        """Positive contributions alone."""
        return (Share(positive=1.0),)

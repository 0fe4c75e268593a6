"""The semirings of the house: each a few lines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lrp_explorer.errors import InputError
from lrp_explorer.rules.base import check_choice
from lrp_explorer.semirings.algebra import Semiring
from lrp_explorer.semirings.thresholds import Theta, as_theta


@dataclass(frozen=True)
class PathSemiring(Semiring):
    """Abstract: what all semirings over paths let the user choose.

    Parameters
    ----------
    edge : {"contribution", "separate"}
        What an edge is: the coefficient d_jk of the layer's own rule, or activation and weight, each by itself:
        Θ(a_j) ⊗ Θ(w_jk). Layers without weights then annotate their activations.
    absolute : bool
        Take |d_jk| instead of d_jk, so that edges that speak against the class count too.
    pooling : {"average", "winner", "activation"}
        Max pooling: treated as average pooling (shares of each window), all to the largest input, or by the input
        itself, Θ(a_j).
    """

    edge: Literal["contribution", "separate"] = field(default="contribution", kw_only=True)
    absolute: bool = field(default=False, kw_only=True)
    pooling: Literal["average", "winner", "activation"] = field(default="average", kw_only=True)

    def __post_init__(self) -> None:
        check_choice(self, "edge", ("contribution", "separate"))
        check_choice(self, "absolute", (False, True))
        check_choice(self, "pooling", ("average", "winner", "activation"))


@dataclass(frozen=True)
class Thresholded(PathSemiring):
    """Abstract: edges count when they reach a threshold.

    Parameters
    ----------
    theta : float, {layer: float}, Profile or str
        θ, in shares of relevance handed down (d_jk has no unit): one number, one for each layer, or a profile of
        `lrp_explorer.semirings.thresholds` by object or name (``"auto"``, ``"size"``, ``"vgg16"``). With
        ``edge="separate"`` also three of them, ``(activation, weight, relevance)`` or a mapping with some of these
        names, see `lrp_explorer.semirings.Apart`; one alone serves activations and weights.
    strict : bool
        d_jk > θ instead of d_jk ≥ θ. With θ = 0 this asks for the sign alone.
    """

    theta: Theta = 1e-9
    strict: bool = False

    def __post_init__(self) -> None:
        PathSemiring.__post_init__(self)
        check_choice(self, "strict", (False, True))
        separate = self.edge == "separate"
        theta = as_theta(type(self).__name__, self.theta, zero=self.strict, separate=separate)
        object.__setattr__(self, "theta", theta)

    @property
    def level(self) -> float:
        """What edges are compared with: θ, or 1 where each layer's edges are divided by its own threshold."""
        return self.theta if isinstance(self.theta, float) else 1.0

    def reaches(self, d: Tensor) -> Tensor:
        """Whether edges count."""
        return d > self.level if self.strict else d >= self.level


@dataclass(frozen=True)
class Real(Semiring):
    """Classical LRP: contributions multiply along a path and add up over all paths."""

    theta: None = None
    name: ClassVar[str] = "real"
    formula: ClassVar[str] = "ℝ, ⊕ = +, ⊗ = ×"

    def __post_init__(self) -> None:
        if self.theta is not None:
            raise InputError(
                f"Real: theta is {self.theta!r}, but classical LRP compares no edge with a threshold; take "
                "Boolean(theta=…), Counting(theta=…), or Bottleneck() for every threshold at once"
            )

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """A + b."""
        return a + b

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """A × b."""
        return a * b

    def encode(self, d: Tensor) -> Tensor:
        """The coefficient itself."""
        return d

    def sum(self, values: Tensor, axis: int) -> Tensor:
        """Σ."""
        return values.sum(axis)


@dataclass(frozen=True)
class Boolean(Thresholded):
    """Is there a path of relevant edges? An edge is relevant when d_jk ≥ θ."""

    name: ClassVar[str] = "boolean"
    formula: ClassVar[str] = "{⊥, ⊤}, ⊕ = ∨, ⊗ = ∧, edge d ≥ θ"

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """A ∨ b."""
        return a | b

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """A ∧ b."""
        return a & b

    def encode(self, d: Tensor) -> Tensor:
        """⊤ where the edge reaches the threshold."""
        return self.reaches(d)

    def dtype(self, real: torch.dtype) -> torch.dtype:
        """Truth values."""
        return torch.bool

    def sum(self, values: Tensor, axis: int) -> Tensor:
        """∃."""
        return values.any(axis)


@dataclass(frozen=True)
class Counting(Thresholded):
    """How many paths of relevant edges are there? In double precision: exact up to 2⁵³, never beyond 1.8e308."""

    name: ClassVar[str] = "counting"
    formula: ClassVar[str] = "ℕ, ⊕ = +, ⊗ = ×, edge 1 if d ≥ θ"
    add = Real.add
    mul = Real.mul
    sum = Real.sum

    def encode(self, d: Tensor) -> Tensor:
        """1 where the edge reaches the threshold."""
        return self.reaches(d).double()

    def dtype(self, real: torch.dtype) -> torch.dtype:
        """Double precision, whatever the network's."""
        return torch.float64


@dataclass(frozen=True)
class Viterbi(PathSemiring):
    """How strong is the best path? Edges are |a_j w_jk| as a share of the strongest edge into k.

    Parameters
    ----------
    normalise : {"max", "sum"}
        Divide by max_j |a_j w_jk|, so that strengths stay in [0, 1]; or take |d_jk| of the layer's own rule,
        which divides by the sum and can exceed 1.
    """

    normalise: Literal["max", "sum"] = "max"
    name: ClassVar[str] = "viterbi"
    formula: ClassVar[str] = "[0, 1], ⊕ = max, ⊗ = ×, edge |a w| / max |a w|"
    mul = Real.mul

    def __post_init__(self) -> None:
        PathSemiring.__post_init__(self)
        check_choice(self, "normalise", ("max", "sum"))

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """max(a, b)."""
        return torch.maximum(a, b)

    def encode(self, d: Tensor) -> Tensor:
        """The edge's strength."""
        return d.abs()

    def sum(self, values: Tensor, axis: int) -> Tensor:
        """Max."""
        return values.amax(axis)


@dataclass(frozen=True)
class Bottleneck(PathSemiring):
    """How weak is the weakest edge of the best path? Compared with θ it is Boolean relevance, for every θ at once.

    [x ≥ θ] takes max to ∨, min to ∧ and 0 to ⊥ for any θ > 0, so it may be taken after propagation as well as before.

    Parameters
    ----------
    theta : {layer: float}, Profile, str or None
        A profile τ of thresholds by layer: edges are divided by it, and Boolean relevance at λ·τ is this at λ. With
        ``edge="separate"`` also three of them, numbers among them, as for `Boolean`.
    """

    theta: Theta | None = None
    name: ClassVar[str] = "bottleneck"
    formula: ClassVar[str] = "[0, ∞], ⊕ = max, ⊗ = min, edge d"
    zero: ClassVar[float] = 0.0
    one: ClassVar[float] = math.inf
    add = Viterbi.add
    sum = Viterbi.sum

    def __post_init__(self) -> None:
        PathSemiring.__post_init__(self)
        if self.theta is not None:
            theta = as_theta("Bottleneck", self.theta, zero=False, separate=self.edge == "separate")
            if isinstance(theta, float):
                raise InputError(
                    f"Bottleneck: theta is {self.theta!r}, but it covers every threshold at once: take Bottleneck() "
                    f"and compare by rel.at({self.theta!r}); a profile such as {{'layer': 0.05}} is accepted"
                )
            object.__setattr__(self, "theta", theta)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """min(a, b)."""
        return torch.minimum(a, b)

    def encode(self, d: Tensor) -> Tensor:
        """The coefficient; what speaks against the class is no edge."""
        return d.clamp(min=0)


@dataclass(frozen=True)
class Tropical(PathSemiring):
    """What does the cheapest path cost? −log of `Viterbi`, for networks so deep that products would vanish."""

    normalise: Literal["max", "sum"] = "max"
    name: ClassVar[str] = "tropical"
    formula: ClassVar[str] = "[0, ∞], ⊕ = min, ⊗ = +, edge −log(|a w| / max |a w|)"
    zero: ClassVar[float] = math.inf
    one: ClassVar[float] = 0.0
    mul = Real.add
    __post_init__ = Viterbi.__post_init__

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """min(a, b)."""
        return torch.minimum(a, b)

    def encode(self, d: Tensor) -> Tensor:
        """The edge's cost."""
        return -d.abs().log()

    def decode(self, r: Tensor) -> Tensor:
        """Costs; where no edge is stronger than the strongest, none is below 0 but by rounding."""
        return r.clamp(min=0) if self.normalise == "max" else r

    def sum(self, values: Tensor, axis: int) -> Tensor:
        """Min."""
        return values.amin(axis)

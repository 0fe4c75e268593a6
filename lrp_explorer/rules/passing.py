"""Rules of layers without weights: relevance is passed on, moved, or given to a winner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrp_explorer.graph.ops import KINDS
from lrp_explorer.rules.base import Rule, check_number

EVERY_KIND = frozenset(KINDS) | {"unknown"}


@dataclass(frozen=True)
class Pass(Rule):
    """Relevance stays with its value: R_j = R_k. Elementwise non-linearities; moved values take theirs along.

    On request also a softmax, which is passed over: relevance of a probability starts at its logit.
    Bach et al. 2015 (doi:10.1371/journal.pone.0130140), sec. "Multilayer networks".
    """

    kinds: ClassVar[frozenset[str]] = frozenset(
        {"activation", "concatenation", "reshape", "identity", "scale", "shift", "batch_norm", "softmax"}
    )
    formula: ClassVar[str] = "R_j = R_k"
    proportional: ClassVar[bool] = True


@dataclass(frozen=True)
class Winner(Rule):
    """Max pooling, and other maxima: all relevance to the largest input of each window.

    Where several are equal, the first of them in row-major order is the largest; of two arguments, the left one.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"max_pool"})
    formula: ClassVar[str] = "R_j = Σ_k [j = argmax] · R_k"
    proportional: ClassVar[bool] = True


@dataclass(frozen=True)
class SoftmaxShare(Rule):
    """Logarithms of sums of exponentials, which are soft maxima: each input receives its softmax's share of R_k.

    Where one input is far larger than the others, this is `Winner`. The shares are the gradient of log Σ exp, and add
    up to 1.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"log_sum_exp"})
    formula: ClassVar[str] = "R_j = Σ_k softmax(a)_j · R_k"


@dataclass(frozen=True)
class Average(Rule):
    """Max pooling treated as average pooling: relevance in proportion to the inputs of each window.

    Montavon et al. 2019 (doi:10.1007/978-3-030-28954-6_10), sec. 10.4.

    Parameters
    ----------
    stabilizer : float
        Added to denominators with their own sign.
    """

    stabilizer: float = 1e-6
    kinds: ClassVar[frozenset[str]] = frozenset({"max_pool"})
    formula: ClassVar[str] = "R_j = Σ_k a_j / Σ_j a_j · R_k"
    proportional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)


@dataclass(frozen=True)
class Signal(Rule):
    """Products with a gate: all relevance to the signal, none to the gate.

    The gate is the factor that a sigmoid, hard sigmoid, softmax or norm computes, however it is written, moved or
    scaled; where neither or both factors are such, each receives half of R_k. Arras et al. 2017
    (arXiv:1706.07206), sec. 3.1.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"gate"})
    formula: ClassVar[str] = "R_signal = R_k, R_gate = 0"
    proportional: ClassVar[bool] = True


@dataclass(frozen=True)
class Magnitude(Rule):
    """Sums shared by magnitude: R_i = |a_i| / Σ_i |a_i| · R_k. Never larger than what arrived, whatever cancels.

    The signed split (`Epsilon`) multiplies relevance without bound where summands of opposite sign nearly cancel, as
    residual branches do. Ratio-based relevance splitting, Otsuki et al. 2024 (arXiv:2407.09115), sec. 3.

    Parameters
    ----------
    stabilizer : float
        Added to the denominator, which is never negative.
    """

    stabilizer: float = 1e-6
    kinds: ClassVar[frozenset[str]] = frozenset({"sum"})
    formula: ClassVar[str] = "R_i = |a_i| / Σ_i |a_i| · R_k"
    proportional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)


@dataclass(frozen=True)
class Gradient(Rule):
    """Fallback for operations without a rule: relevance takes the way of the gradient. On request only.

    R = Jᵀ R is neither conservative nor proportional to the input; the coverage report names every layer it serves.
    """

    kinds: ClassVar[frozenset[str]] = EVERY_KIND
    formula: ClassVar[str] = "R_j = Σ_k ∂y_k/∂x_j · R_k"

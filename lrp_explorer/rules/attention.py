"""Rules of transformers: AttnLRP, Achtibat et al. 2024 (arXiv:2402.05602)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrp_explorer.rules.base import Rule, check_choice, check_number


@dataclass(frozen=True)
class NormIdentity(Rule):
    """Layer, group, instance and RMS norm passed over whole: relevance stays where it is, R_j = R_k.

    On request, in place of the default, which lets the mean and the bias take their part (`Epsilon`): nothing is lost
    here and nothing can grow, but the mean's contributions are left out.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"layer_norm"})
    formula: ClassVar[str] = "R_j = R_k"


@dataclass(frozen=True)
class SoftmaxTaylor(Rule):
    """Softmax by its first-order Taylor expansion at the input.

    AttnLRP, prop. 3.1: R_j = x_j (R_j − s_j Σ_k R_k) for s = softmax(x). The expansion's constant takes what is
    missing to conservation.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"softmax"})
    formula: ClassVar[str] = "R_j = x_j (R_j − s_j Σ_k R_k)"


@dataclass(frozen=True)
class EqualSplit(Rule):
    """Products of two matrices: each receives half, shared within it by contribution.

    AttnLRP, prop. 3.3: R(A_ji) = Σ_p A_ji V_ip R_jp / (2 O_jp + ε), and likewise R(V_ip). Where there is one factor
    (interpolation with weights of either sign), it receives all; a vector's norm, standard deviation or variance is
    such a product of the vector with itself, R_j = x_j² / Σ x² · R for the norm.

    Parameters
    ----------
    stabilizer : float
        ε, added to n·O with its own sign for n factors.
    """

    stabilizer: float = 1e-6
    kinds: ClassVar[frozenset[str]] = frozenset({"matmul"})
    formula: ClassVar[str] = "R(A) = Σ A·V / (2 A·V summed + ε) · R,  R(V) likewise"

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)


@dataclass(frozen=True)
class Attention(Rule):
    """Scaled dot-product attention in one operation: `EqualSplit`, `SoftmaxTaylor`, `EqualSplit` one after the other.

    Parameters
    ----------
    stabilizer : float
        ε of both products.
    through_softmax : bool
        False treats the attention weights as constants and gives everything to the values (CP-LRP, Ali et al. 2022,
        arXiv:2202.07304).
    """

    stabilizer: float = 1e-6
    through_softmax: bool = True
    kinds: ClassVar[frozenset[str]] = frozenset({"attention"})
    formula: ClassVar[str] = "O = softmax(Q·Kᵀ/√d)·V: products shared equally, softmax by Taylor"

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)
        check_choice(self, "through_softmax", (False, True))

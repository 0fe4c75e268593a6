"""Rules of local response normalisation, y_k = x_k / (k0 + α/n Σ_i x_i²)^β over a window of n channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrp_explorer.rules.base import Rule, check_number


@dataclass(frozen=True)
class LRNIdentity(Rule):
    """The normalisation counts as constant: R_j = R_k."""

    kinds: ClassVar[frozenset[str]] = frozenset({"response_norm"})
    formula: ClassVar[str] = "R_j = R_k"
    proportional: ClassVar[bool] = True


@dataclass(frozen=True)
class LRNTaylor(Rule):
    """First-order Taylor expansion at the root point where all neighbours are zero.

    Binder et al. 2016 (arXiv:1604.00825), eq. 9, for PyTorch's parameters. Messages to output k, with
    D_k = k0 + α/n Σ_i x_i²: its own input sends x_k / (k0 + α/n x_k²)^β, each neighbour j sends
    −2β α/n x_k x_j² / D_k^(β+1). Relevance is shared in proportion to the messages, over their stabilised sum.

    Parameters
    ----------
    stabilizer : float
        ε, added to the sum of messages with its own sign.
    """

    stabilizer: float = 1e-6
    kinds: ClassVar[frozenset[str]] = frozenset({"response_norm"})
    formula: ClassVar[str] = "y_k ≈ x_k / (k0 + a x_k²)^β − 2βa Σ_{j≠k} x_k x_j² / D_k^(β+1),  a = α/n"
    proportional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number(self, "stabilizer", 0.0)

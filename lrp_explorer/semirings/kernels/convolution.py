"""Where an edge is a matter of signs alone, paths are joined by ordinary convolutions of zeros and ones.

d_jk = x_j · (w_jk · F_k) > 0 exactly when x_j > 0 and w_jk and F_k have one sign, so Σ_k [d_jk > 0] R_k is
[x_j > 0] · (Σ_k [w_jk > 0] [F_k > 0] R_k + Σ_k [w_jk < 0] [F_k < 0] R_k).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_explorer.semirings.algebra import Semiring
from lrp_explorer.semirings.edges import Edges
from lrp_explorer.semirings.library import Boolean, Counting


def covers(semiring: Semiring, edges: Edges) -> bool:
    """Whether these edges are a matter of signs."""
    return (
        isinstance(semiring, (Boolean, Counting))
        and type(semiring) in (Boolean, Counting)
        and semiring.strict
        and semiring.level == 0.0
        and edges.geometry.rank <= 3
        and (edges.geometry.rank > 0 or edges.geometry.groups == 1)
    )


def contract(semiring: Semiring, edges: Edges, relevance: Tensor) -> Tensor:
    """Compute what `reference.contract` does; the same up to edges that vanish by underflow, which count here."""
    # Counts are exact in double precision; whether there is any survives single precision's rounding.
    real = torch.float64 if isinstance(semiring, Counting) else torch.float32
    r, x = relevance.to(real), edges.x
    up, down = (edges.positive > 0, edges.negative < 0)
    if edges.absolute:
        up, down = edges.positive != 0, edges.negative != 0
    total = torch.zeros(x.shape, dtype=real, device=x.device)
    for chosen, weight in ((up, edges.weight > 0), (down, edges.weight < 0)):
        if bool(chosen.any()):
            total += _transposed(edges, r * chosen, weight.to(real))
    if isinstance(semiring, Boolean):
        return (total > 0.5) & (x > 0)
    return torch.where(x > 0, total.round(), 0.0)


def _transposed(edges: Edges, s: Tensor, weight: Tensor) -> Tensor:
    geometry = edges.geometry
    if geometry.rank == 0:
        return s @ weight
    like = torch.empty(edges.x.shape, dtype=s.dtype, device=s.device)
    return torch.ops.aten.convolution_backward(
        s, like, weight, None, list(geometry.stride), list(geometry.padding), list(geometry.dilation), False,
        [0] * geometry.rank, geometry.groups, [True, False, False],
    )[0]  # fmt: skip

"""Kernels: who contracts edges with relevance. The one table of (operation, semiring, device).

=============  ==========================================  ======  ==========================================
kernel         semirings                                   device  layers
=============  ==========================================  ======  ==========================================
convolution    Boolean, Counting by sign alone (d > 0)     any     dense, convolution (PyTorch's own)
numba          Boolean, Counting, Viterbi, Bottleneck,     CPU     dense, convolution of rank 1 and 2
               Tropical
triton         the same                                    CUDA    the same
reference      every semiring, your own included           any     dense, convolution of any rank
=============  ==========================================  ======  ==========================================

The first that covers a layer serves it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from lrp_explorer.semirings.algebra import Semiring
from lrp_explorer.semirings.edges import Edges, Geometry
from lrp_explorer.semirings.kernels import convolution, cpu, gpu, reference
from lrp_explorer.semirings.library import Viterbi

Contract = Callable[[Semiring, Edges, Tensor], Tensor]
_FUSED: dict[str, tuple[str, ModuleType]] = {"cpu": ("numba", cpu), "cuda": ("triton", gpu)}


def pick(semiring: Semiring, edges: Edges) -> tuple[str, Contract]:
    """Choose the kernel for a layer: its name, and what computes ``contract(semiring, edges, relevance)``."""
    if convolution.covers(semiring, edges):
        return "convolution", convolution.contract
    name, fused = _FUSED.get(edges.x.device.type, ("", None))
    if fused is not None and fused.covers(semiring, edges):
        return name, fused.contract
    return "reference", reference.contract


def contract(semiring: Semiring, edges: Edges, relevance: Tensor) -> Tensor:
    """Compute R_j = ⊕_k encode(d_jk) ⊗ R_k by the best kernel; see `reference.contract`."""
    return pick(semiring, edges)[1](semiring, edges, relevance)


def largest(edges: Edges) -> Tensor:
    """Compute max_j x_j · abs(w_jk) for every output by the best kernel; see `reference.largest`."""
    fused = _FUSED.get(edges.x.device.type, ("", None))[1]
    if fused is not None and fused.covers(Viterbi(), edges):
        return fused.largest(edges)
    return reference.largest(edges)


def name_for(semiring: Semiring, rank: int, device: torch.device, dtype: torch.dtype) -> str:
    """Name the kernel that will serve a layer with `rank` spatial axes, before there are any values."""
    one = torch.empty((1, 1, *[1] * rank), dtype=dtype, device=device)
    each = (1,) * rank
    return pick(semiring, Edges(one, one, one, one, Geometry(each, (0,) * rank, each)))[0]

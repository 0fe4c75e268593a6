"""The edges of one layer, as factors: what a semiring's kernel contracts with relevance."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """Which inputs an output sees: a convolution's numbers, one for each spatial axis; no axes for a dense layer.

    Attributes
    ----------
    before : tuple of int
        Zeros that are put around the input before, where the sides are uneven, in the order of
        `torch.nn.functional.pad`. Edges that a kernel is given have none: their inputs are padded.
    """

    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    before: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.stride)


@dataclass(frozen=True)
class Edges:
    """All edges d_jk between inputs j and outputs k of one layer, as factors.

    d_jk = x_j · (w_jk · F_k), multiplied in this order, where F_k is `positive` for w_jk > 0 and `negative` for
    w_jk < 0. Inputs are never negative: a layer with inputs of both signs is two of these (x⁺ with w; −x⁻ with −w),
    whose results are added, since no pair (j, k) has an edge in both. Every linear rule of
    `lrp_explorer.rules` has this form: p·c + q·c⁺ + r·c⁻ over its sum S_k is F = (p + q) / S_k and (p + r) / S_k.

    Attributes
    ----------
    x : Tensor
        ``(batch, inputs, ...)``, never negative.
    weight : Tensor
        ``(outputs, inputs / groups, *kernel)``.
    positive, negative : Tensor
        F_k ``(batch, outputs, ...)``: factor of edges with positive and with negative weights.
    geometry : Geometry
        Which inputs an output sees.
    absolute : bool
        Edges are |d_jk| instead.
    """

    x: Tensor
    weight: Tensor
    positive: Tensor
    negative: Tensor
    geometry: Geometry = Geometry()
    absolute: bool = False

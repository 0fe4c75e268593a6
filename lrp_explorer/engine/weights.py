"""Modified weights p·w + q·w⁺ + r·w⁻ of one layer, made as seldom as possible."""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_explorer.engine.cache import Memo, forgetful
from lrp_explorer.engine.maps import LinearMap, Weight

Share = tuple[float, float, float]
# How many times as many numbers a weight has to have as go in and out, for its order to matter.
_OUTWEIGHS = 4
_PLAIN, _POSITIVE, _NEGATIVE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


class Weights:
    """The weights that one step down through a layer asks for.

    Parameters
    ----------
    layer : LinearMap
        The layer's map.
    memo : callable
        Keeps w⁺ and w⁻, the latest combination, and what transposes go faster with.
    """

    def __init__(self, layer: LinearMap, memo: Memo = forgetful) -> None:
        self._layer, self._memo = layer, memo
        self._parts: dict[Share, Tensor] = {}

    def combined(self, p: float, q: float, r: float) -> Weight:
        """Return p·w + q·w⁺ + r·w⁻; from w⁺ and w⁻, so that a moved γ takes one pass over the weights."""
        weight = self._layer.weight
        if not isinstance(weight, Tensor) or q == r:
            return self._layer.combine(p, q, r)
        if p == 0.0 and 0.0 in (q, r):
            return _times(self._part(_POSITIVE if q else _NEGATIVE), q or r)
        if p and r == 0.0:
            return torch.add(_times(weight, p), self._part(_POSITIVE), alpha=q)
        if p and q == 0.0:
            return torch.add(_times(weight, p), self._part(_NEGATIVE), alpha=r)
        return self._layer.combine(p, q, r)

    def transpose(self, s: Tensor, share: Share, x: Tensor) -> Tensor:
        """Apply the transpose of the layer with weights p·w + q·w⁺ + r·w⁻ to s; see `LinearMap.transpose`."""
        if not isinstance(self._layer.weight, Tensor):
            return self._layer.transpose(s, self.combined(*share), x)
        if share in (_PLAIN, _POSITIVE, _NEGATIVE):
            made = self._packed(share, s, x) if self._pays(s, x) else self.combined(*share)
        else:
            # Only the latest: a γ that was dragged away will not come back to all of its combinations.
            made = self._memo(("weight", *share), lambda: torch.as_tensor(self.combined(*share)), "combined")
        return self._layer.transpose(s, made, x)

    @property
    def stackable(self) -> bool:
        """Whether `transpose_stacked` serves the layer: every output sees every input, by one weight."""
        return self._layer.dense and isinstance(self._layer.weight, Tensor)

    def room(self, s: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Make room for two tensors like s, one after the other along the channels; all of it, and its halves."""
        axis = 1 if torch.as_tensor(self._layer.weight).dim() > 2 else s.dim() - 1
        shape = list(s.shape)
        shape[axis] *= 2
        both = s.new_empty(shape)
        return both, both.chunk(2, axis)

    def transpose_stacked(self, both: Tensor, x: Tensor) -> Tensor:
        """Apply wᵀ to the first and abs(w)ᵀ to the second half of a tensor, and add up, all in one go."""

        def stacked() -> Tensor:
            weight = torch.as_tensor(self._layer.weight)
            return torch.cat([weight, weight.abs()])

        pack = self._layer.pack
        if pack is not None and self._pays(both, x, 2):
            made = self._memo(("packed", "stacked"), lambda: pack(stacked(), both, x))
        else:
            made = self._memo(("weight", "stacked"), stacked)
        return self._layer.transpose(both, made, x)

    def _packed(self, share: Share, s: Tensor, x: Tensor) -> Tensor:
        pack = self._layer.pack
        assert pack is not None
        return self._memo(("packed", *share), lambda: pack(torch.as_tensor(self.combined(*share)), s, x))

    def _pays(self, s: Tensor, x: Tensor, times: int = 1) -> bool:
        """Whether to keep weights in another order: where that lasts, and they outweigh what they are multiplied by."""
        weight = self._layer.weight
        if self._layer.memo is None or self._layer.pack is None or not isinstance(weight, Tensor):
            return False
        return times * weight.numel() > _OUTWEIGHS * (s.numel() + x.numel())

    def _part(self, share: Share) -> Tensor:
        if share not in self._parts:
            made = self._memo(("weight", *share), lambda: torch.as_tensor(self._layer.combine(*share)))
            self._parts[share] = made
        return self._parts[share]


def _times(weight: Tensor, factor: float) -> Tensor:
    return weight if factor == 1.0 else weight * factor

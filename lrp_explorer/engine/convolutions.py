"""The linear map of a convolution, transposed or not, of any rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lrp_explorer.engine import packing
from lrp_explorer.engine.maps import LinearMap, vjp
from lrp_explorer.engine.phases import by_phases, pays
from lrp_explorer.graph import Node
from lrp_explorer.semirings.edges import Geometry


@dataclass(frozen=True)
class _Convolution:
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    transposed: bool
    # Beyond the last window of a transposed convolution, and before and after its input for any other.
    more: list[int]
    before: list[int]
    few: bool

    def apply(self, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        x = functional.pad(x, self.before) if self.before else x
        flat = None if b is None else b.flatten()
        return torch.convolution(
            x, w, flat, self.stride, self.padding, self.dilation, self.transposed, self.more, self.groups
        )

    def transpose(self, s: Tensor, w: Tensor, x: Tensor) -> Tensor:
        if self.before:
            return vjp(lambda leaf: self.apply(leaf, w, None), x, s)
        if w.is_mkldnn:
            return packing.transpose(s, w, self.stride, self.padding, self.dilation, x.shape)
        if self.few:
            return by_phases(s, w, self.stride, self.padding, x.shape[2:])
        settings = (self.stride, self.padding, self.dilation, self.transposed, self.more, self.groups)
        return torch.ops.aten.convolution_backward(s, x, w, None, *settings, [True, False, False])[0]

    def pack(self, w: Tensor, s: Tensor, x: Tensor) -> Tensor:
        return packing.packed(w, self.stride, self.padding, self.dilation, x.shape, s.shape)


def convolution(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], example: Tensor) -> LinearMap:
    """Build the map of a convolution, see `lrp_explorer.engine.node_maps.linear_map`."""
    weight: Tensor = args[1]
    rank = weight.dim() - 2
    transposed = node.op.startswith("conv_transpose")
    given = dict(zip(("bias", "stride", "padding"), args[2:5], strict=False))
    rest = ("output_padding", "groups", "dilation") if transposed else ("dilation", "groups")
    given |= dict(zip(rest, args[5:], strict=False)) | {k: v for k, v in kwargs.items() if k not in ("norms", "before")}
    stride, dilation = _each(given.get("stride", 1), rank), _each(given.get("dilation", 1), rank)
    groups = given.get("groups", 1)
    padding, before = _padding(given.get("padding", 0), weight, dilation)
    few = not transposed and pays(weight, stride, dilation, groups)
    more = _each(given.get("output_padding", 0), rank)
    made = _Convolution(stride, padding, dilation, groups, transposed, more, before, few)
    regular = not transposed and not before
    bias = given.get("bias")
    return LinearMap(
        weight,
        None if bias is None else bias.reshape(-1, *[1] * rank),
        made.apply,
        made.transpose,
        pack=made.pack if regular and groups == 1 and not few and packing.available(weight) else None,
        dense=groups == 1 and not transposed,
        groups=groups,
        geometry=None
        if transposed
        else Geometry(tuple(stride), tuple(padding), tuple(dilation), groups, tuple(before)),
    )


def _each(value: int | Sequence[int], rank: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def _padding(padding: Any, weight: Tensor, dilation: list[int]) -> tuple[list[int], list[int]]:
    """Padding for both sides, and, where "same" wants uneven sides, explicit padding to do before."""
    rank = weight.dim() - 2
    if padding == "valid":
        return [0] * rank, []
    if padding != "same":
        return _each(padding, rank), []
    totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if all(total % 2 == 0 for total in totals):
        return [total // 2 for total in totals], []
    return [0] * rank, [side for total in reversed(totals) for side in (total // 2, total - total // 2)]

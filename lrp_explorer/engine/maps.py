"""The linear map at a node: its weight and bias, how to apply it, and how to apply its transpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lrp_explorer.graph import Node
from lrp_explorer.semirings.edges import Geometry

Weight = Tensor | float


@dataclass(frozen=True)
class LinearMap:
    """z = A_w(x) + b, linear in x and in the weight w, which can be replaced for a modified one.

    Attributes
    ----------
    weight : Tensor or float
        w; the number 1 for maps without weights (averages, interpolation), whose coefficients are never negative.
    bias : Tensor or None
        b, shaped to broadcast against z.
    apply : callable
        ``apply(x, w, b)`` is A_w(x) + b; b may be None.
    transpose : callable
        ``transpose(s, w, x)`` is A_wᵀ(s), of the shape of ``x``.
    dense : bool
        Whether every output channel sees every input channel, with one ordinary weight for each pair.
    groups : int
        Groups of a convolution.
    geometry : Geometry or None
        Which inputs an output sees, where the weight holds one number for each pair; None where it does not.
    """

    weight: Weight
    bias: Tensor | None
    apply: Callable[[Tensor, Any, Tensor | None], Tensor]
    transpose: Callable[[Tensor, Any, Tensor], Tensor]
    dense: bool = False
    groups: int = 1
    geometry: Geometry | None = None

    def combine(self, plain: float, positive: float, negative: float) -> Weight:
        """Return plain·w + positive·w⁺ + negative·w⁻."""
        if isinstance(self.weight, (int, float)):
            return (plain + positive) * self.weight
        if positive == negative:
            return self.weight if plain + positive == 1.0 else self.weight * (plain + positive)
        if plain == negative == 0.0:
            part = self.weight.clamp(min=0)
            return part if positive == 1.0 else part.mul_(positive)
        if plain == positive == 0.0:
            part = self.weight.clamp(max=0)
            return part if negative == 1.0 else part.mul_(negative)
        combined = self.weight.clamp(min=0).mul_(positive - negative)
        return combined.add_(self.weight, alpha=plain + negative)

    def bias_part(self, plain: float, positive: float, negative: float) -> Tensor | None:
        """Return plain·b + positive·b⁺ + negative·b⁻, or None where there is no bias."""
        if self.bias is None:
            return None
        return plain * self.bias + positive * self.bias.clamp(min=0) + negative * self.bias.clamp(max=0)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute z itself."""
        return self.apply(x, self.weight, self.bias)


def _plus(z: Tensor, b: Tensor | None) -> Tensor:
    return z if b is None else z + b


def vjp(function: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """Apply the transposed Jacobian of `function` at `x` to `s`."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf, s)[0]


def linear_map(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], example: Tensor) -> LinearMap:
    """Build the map of a node whose constant arguments are resolved; `example` is its input, for the number of axes."""
    build = _BUILDERS.get(node.op, _weightless)
    made = build(node, args, kwargs, example)
    for norm_args in kwargs.get("before", ()):
        made = _folded_before(made, norm_args)
    for norm_args in kwargs.get("norms", ()):
        made = _folded(made, norm_args, channel_axis=1 if node.op.startswith("conv_transpose") else 0)
    return made


def batch_norm_factors(args: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Factor and bias per channel of a batch norm at evaluation, from the arguments of its operation."""
    _, weight, bias, mean, var = args[:5]
    eps = args[-1] if not isinstance(args[-1], bool) else args[-2]
    factor = torch.rsqrt(var + eps) if weight is None else weight * torch.rsqrt(var + eps)
    shift = -mean * factor if bias is None else bias - mean * factor
    return factor, shift


def _folded_before(layer: LinearMap, norm_args: Sequence[Any]) -> LinearMap:
    """Fold a batch norm of the layer's inputs into its weights, channel by channel."""
    factor, shift = batch_norm_factors(norm_args)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    grouped = weight.unflatten(0, (layer.groups, -1))
    # One row for each group: the channels that the group reads.
    column = (layer.groups, 1, -1, *[1] * (weight.dim() - 2))
    moved = (grouped * shift.reshape(column)).flatten(2).sum(2).flatten()
    bias = moved.reshape(-1, *[1] * (weight.dim() - 2))
    bias = bias if layer.bias is None else layer.bias + bias
    return replace(layer, weight=(grouped * factor.reshape(column)).flatten(0, 1), bias=bias)


def _folded(layer: LinearMap, norm_args: Sequence[Any], channel_axis: int) -> LinearMap:
    factor, shift = batch_norm_factors(norm_args)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    shape = [1] * weight.dim()
    shape[channel_axis] = -1
    axes = [1] * (layer.bias.dim() - 1 if layer.bias is not None else weight.dim() - 2)
    column = (-1, *axes)
    bias = shift.reshape(column) if layer.bias is None else layer.bias * factor.reshape(column) + shift.reshape(column)
    return replace(layer, weight=weight * factor.reshape(shape), bias=bias)


def _convolution(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], example: Tensor) -> LinearMap:
    weight: Tensor = args[1]
    rank = weight.dim() - 2
    transposed = node.op.startswith("conv_transpose")
    given = dict(zip(("bias", "stride", "padding"), args[2:5], strict=False))
    rest = ("output_padding", "groups", "dilation") if transposed else ("dilation", "groups")
    given |= dict(zip(rest, args[5:], strict=False)) | {k: v for k, v in kwargs.items() if k not in ("norms", "before")}
    stride, dilation = _each(given.get("stride", 1), rank), _each(given.get("dilation", 1), rank)
    groups = given.get("groups", 1)
    extra = _each(given.get("output_padding", 0), rank)
    padding, before = _padding(given.get("padding", 0), weight, dilation)

    def apply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        x = functional.pad(x, before) if before else x
        flat = None if b is None else b.flatten()
        return torch.convolution(x, w, flat, stride, padding, dilation, transposed, extra, groups)

    def transpose(s: Tensor, w: Tensor, x: Tensor) -> Tensor:
        if before:
            return vjp(lambda leaf: apply(leaf, w, None), x, s)
        return torch.ops.aten.convolution_backward(
            s, x, w, None, stride, padding, dilation, transposed, extra, groups, [True, False, False]
        )[0]

    bias = given.get("bias")
    column = None if bias is None else bias.reshape(-1, *[1] * rank)
    regular = not transposed and not before
    geometry = Geometry(tuple(stride), tuple(padding), tuple(dilation), groups) if regular else None
    return LinearMap(weight, column, apply, transpose, groups == 1 and not transposed, groups, geometry)


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


def _linear(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], example: Tensor) -> LinearMap:
    bias = None
    if node.op == "addmm":
        bias, _, weight = args[:3]
        weight = weight.t()
    elif node.op == "linear":
        weight, bias = args[1], args[2] if len(args) > 2 else kwargs.get("bias")
    elif isinstance(args[0], Tensor) and args[1] is None:
        return _product_from_left(args[0])
    else:
        weight = args[1].transpose(-1, -2) if args[1].dim() > 1 else args[1].unsqueeze(0)

    def apply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        if w.dim() == 2:
            return functional.linear(x, w, b)
        return _plus(torch.matmul(x, w.transpose(-1, -2)), b)

    def transpose(s: Tensor, w: Tensor, x: Tensor) -> Tensor:
        return torch.matmul(s, w)

    plain = weight.dim() == 2
    return LinearMap(weight, bias, apply, transpose, dense=plain, geometry=Geometry() if plain else None)


def _product_from_left(weight: Tensor) -> LinearMap:
    return LinearMap(
        weight,
        None,
        lambda x, w, b: _plus(torch.matmul(w, x), b),
        lambda s, w, x: torch.matmul(w.transpose(-1, -2), s),
    )


def _batch_norm(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], example: Tensor) -> LinearMap:
    factor, shift = batch_norm_factors(args)
    column = (-1, *[1] * (example.dim() - 2))
    return LinearMap(
        factor.reshape(column), shift.reshape(column), lambda x, w, b: _plus(x * w, b), lambda s, w, x: s * w
    )


def _weightless(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], example: Tensor) -> LinearMap:
    def value(x: Tensor) -> Tensor:
        return node.target(*(x if arg is None and i == 0 else arg for i, arg in enumerate(args)), **kwargs)

    def apply(x: Tensor, w: float, b: Tensor | None) -> Tensor:
        return _plus(value(x) if w == 1.0 else value(x) * w, b)

    def transpose(s: Tensor, w: float, x: Tensor) -> Tensor:
        moved = vjp(value, x, s if w == 1.0 else s * w)
        # Never an expanded or shared tensor: the caller multiplies in place.
        return moved.clone() if moved.data_ptr() == s.data_ptr() else moved.contiguous()

    return LinearMap(1.0, None, apply, transpose)


_BUILDERS: dict[str, Callable[[Node, tuple[Any, ...], dict[str, Any], Tensor], LinearMap]] = {
    **dict.fromkeys(
        ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _convolution
    ),
    **dict.fromkeys(("linear", "addmm", "mm", "matmul", "bmm"), _linear),
    **dict.fromkeys(("_native_batch_norm_legit_no_training", "batch_norm", "native_batch_norm"), _batch_norm),
}

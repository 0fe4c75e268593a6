"""Which linear map a node of the graph stands for, batch norms folded in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lrp_explorer.engine.cache import Memo
from lrp_explorer.engine.convolutions import convolution
from lrp_explorer.engine.maps import LinearMap, vjp
from lrp_explorer.graph import Node
from lrp_explorer.semirings.edges import Geometry


def _plus(z: Tensor, b: Tensor | None) -> Tensor:
    return z if b is None else z + b


def linear_map(
    node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], example: Tensor, memo: Memo | None = None
) -> LinearMap:
    """Build the map of a node.

    Parameters
    ----------
    node : Node
        A linear layer.
    args, kwargs
        Its arguments, the constants resolved; ``kwargs["before"]`` and ``kwargs["norms"]`` hold those of folded norms.
    example : Tensor
        Its input, for the number of axes.
    memo : callable, optional
        Keeps folded weights and what is made of them.
    """
    build = _BUILDERS.get(node.op, _weightless)
    made = build(node, args, kwargs, example)
    if memo is None:
        return made

    @cache
    def folded() -> LinearMap:
        whole = made
        for norm_args in kwargs.get("before", ()):
            whole = _folded_before(whole, norm_args)
        for norm_args in kwargs.get("norms", ()):
            whole = _folded(whole, norm_args, transposed=node.op.startswith("conv_transpose"))
        return whole

    # A layer of low precision takes its weights in that, whatever that of a batch norm is.
    dtype = _tensor(made.weight).dtype
    weight = memo("folded", lambda: _tensor(folded().weight).to(dtype))
    bias = memo("bias", lambda: _tensor(folded().bias).to(dtype))
    return replace(made, weight=weight, bias=bias, memo=memo)


def _tensor(value: Tensor | float | None) -> Tensor:
    assert isinstance(value, Tensor)
    return value


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


def _folded(layer: LinearMap, norm_args: Sequence[Any], *, transposed: bool) -> LinearMap:
    factor, shift = batch_norm_factors(norm_args)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    # One row for each group: the channels that the group writes, which are second in a transposed convolution.
    rows = layer.groups if transposed else 1
    channels = (rows, 1, -1) if transposed else (1, -1, 1)
    grouped = weight.unflatten(0, (rows, -1)) * factor.reshape(*channels, *[1] * (weight.dim() - 2))
    axes = [1] * (layer.bias.dim() - 1 if layer.bias is not None else weight.dim() - 2)
    column = (-1, *axes)
    bias = shift.reshape(column) if layer.bias is None else layer.bias * factor.reshape(column) + shift.reshape(column)
    return replace(layer, weight=grouped.flatten(0, 1), bias=bias)


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

    if weight.dim() == 1:
        return _product_with_vector(weight, bias)

    def apply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        if w.dim() == 2:
            return functional.linear(x, w, b)
        return _plus(torch.matmul(x, w.transpose(-1, -2)), b)

    def transpose(s: Tensor, w: Tensor, x: Tensor) -> Tensor:
        # Where x has fewer axes than a product of many matrices, or one row for all of them, it is read many times.
        return torch.matmul(s, w).sum_to_size(x.shape)

    plain = weight.dim() == 2
    return LinearMap(weight, bias, apply, transpose, dense=plain, geometry=Geometry() if plain else None)


def _product_with_vector(weight: Tensor, bias: Tensor | None) -> LinearMap:
    return LinearMap(
        weight, bias, lambda x, w, b: _plus(torch.matmul(x, w), b), lambda s, w, x: torch.mul(s.unsqueeze(-1), w)
    )


def _product_from_left(weight: Tensor) -> LinearMap:
    return LinearMap(
        weight,
        None,
        lambda x, w, b: _plus(torch.matmul(w, x), b),
        lambda s, w, x: torch.matmul(w.transpose(-1, -2), s).sum_to_size(x.shape),
    )


def _batch_norm(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], example: Tensor) -> LinearMap:
    factor, shift = batch_norm_factors(args)
    column = (-1, *[1] * (example.dim() - 2))
    # Of a low precision, x is multiplied and moved in that of the statistics, and what comes of it rounded once.
    return LinearMap(
        factor.reshape(column),
        shift.reshape(column),
        lambda x, w, b: _plus(x * w, b).to(x.dtype),
        lambda s, w, x: (s * w).to(x.dtype),
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
        ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), convolution
    ),
    **dict.fromkeys(("linear", "addmm", "mm", "matmul", "bmm"), _linear),
    **dict.fromkeys(
        ("_native_batch_norm_legit_no_training", "batch_norm", "native_batch_norm", "instance_norm"), _batch_norm
    ),
}

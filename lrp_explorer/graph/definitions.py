"""Operations that are replaced by their definition in terms of others, which have rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

aten: Any = torch.ops.aten

# PyTorch's own definitions serve these.
_BY_PYTORCH = frozenset(
    "einsum tensordot inner outer cosine_similarity glu addcmul addcdiv broadcast_tensors diff linalg_norm".split()
)


def _lerp(start: Tensor, end: Tensor, weight: Any) -> Tensor:
    return start * (1 - weight) + end * weight


def _maximum(left: Tensor, right: Tensor) -> Tensor:
    shape = torch.broadcast_shapes(left.shape, right.shape)
    return torch.stack([left.expand(shape), right.expand(shape)], -1).amax(-1)


def _minimum(left: Tensor, right: Tensor) -> Tensor:
    return -_maximum(-left, -right)


def _max_along(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return x.amax(dim, keepdim), x.argmax(dim, keepdim)


def _min_along(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return -(-x).amax(dim, keepdim), x.argmin(dim, keepdim)


def _amin(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    return -(-x).amax(dim, keepdim)


def _var_mean(x: Tensor, *given: Any, **named: Any) -> tuple[Tensor, Tensor]:
    return torch.var(x, *given, **named), _mean_of_same(x, *given, **named)


def _std_mean(x: Tensor, *given: Any, **named: Any) -> tuple[Tensor, Tensor]:
    return torch.std(x, *given, **named), _mean_of_same(x, *given, **named)


def _mean_of_same(
    x: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    return x.mean(list(range(x.dim())) if dim is None else dim, keepdim)


def _with_product(added: Tensor, left: Tensor, right: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    product = torch.matmul(left, right)
    return (added if beta == 1 else added * beta) + (product if alpha == 1 else product * alpha)


def _copied(written: Tensor, value: Tensor, non_blocking: bool = False) -> Tensor:
    return value.to(written.dtype).expand_as(written)


def _filled(written: Tensor, value: Any) -> Tensor:
    return torch.full_like(written, value)


_OWN: dict[Any, Callable[..., Any]] = {
    aten.lerp.Scalar: _lerp,
    aten.lerp.Tensor: _lerp,
    aten.maximum.default: _maximum,
    aten.minimum.default: _minimum,
    aten.max.dim: _max_along,
    aten.min.dim: _min_along,
    aten.max.other: _maximum,
    aten.min.other: _minimum,
    aten.amin.default: _amin,
    **dict.fromkeys((aten.var_mean.correction, aten.var_mean.dim), _var_mean),
    **dict.fromkeys((aten.std_mean.correction, aten.std_mean.dim), _std_mean),
    aten.baddbmm.default: _with_product,
}
# What writing in place turns into once nothing is written in place any more.
_WRITTEN: dict[Any, Callable[..., Any]] = {aten.copy.default: _copied, aten.fill.Scalar: _filled}
_ADDMM: dict[Any, Callable[..., Any]] = {aten.addmm.default: _with_product}


def definitions(calls: Iterable[fx.Node]) -> Mapping[Any, Callable[..., Any]]:
    """Definitions of those operations among `calls` that are to be replaced; none where nothing is."""
    calls = list(calls)
    found = {node.target: _OWN[node.target] for node in calls if node.target in _OWN}
    scaled = any(node.target is aten.addmm.default and set(node.kwargs.values()) - {1} for node in calls)
    found |= _ADDMM if scaled else {}
    known = {node.target for node in calls if _plain_name(node.target) in _BY_PYTORCH}
    if known:
        by_pytorch = torch.export.default_decompositions()
        found |= {target: by_pytorch[target] for target in known if target in by_pytorch}  # type: ignore[index]
    return found


def with_writing(found: Mapping[Any, Callable[..., Any]]) -> dict[Any, Callable[..., Any]]:
    """Definitions for a program whose in-place operations PyTorch takes away."""
    return {**found, **_WRITTEN}


def _plain_name(target: Any) -> str:
    schema = getattr(target, "_schema", None)
    return schema.name.split("::")[-1].removesuffix("_") if schema is not None else ""

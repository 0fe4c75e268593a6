"""Operations that are replaced by their definition in terms of others, which have rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

Definition = Callable[..., Any]

# PyTorch's own definitions serve these.
_BY_PYTORCH = frozenset(
    "einsum tensordot inner outer cosine_similarity glu addcmul addcdiv broadcast_tensors diff linalg_norm "
    # Second names.
    "concat concatenate negative absolute arctan clip fliplr flipud".split()
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


def _max_of_all(x: Tensor) -> Tensor:
    return x.amax(list(range(x.dim())))


def _min_of_all(x: Tensor) -> Tensor:
    return -(-x).amax(list(range(x.dim())))


def _amin(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    return -(-x).amax(dim, keepdim)


def _aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    axes = list(range(x.dim())) if dim is None else dim
    return _amin(x, axes, keepdim), x.amax(axes, keepdim)


def _clamp(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    x = x if low is None else _maximum(x, low)
    return x if high is None else _minimum(x, high)


def _clamp_max(x: Tensor, high: Tensor) -> Tensor:
    return _minimum(x, high)


def _logaddexp(left: Tensor, right: Tensor) -> Tensor:
    shape = torch.broadcast_shapes(left.shape, right.shape)
    return torch.stack([left.expand(shape), right.expand(shape)], -1).logsumexp(-1)


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


def _hstack(parts: list[Tensor]) -> Tensor:
    parts = [part.reshape(1) if part.dim() == 0 else part for part in parts]
    return torch.cat(parts, min(1, parts[0].dim() - 1))


def _vstack(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.reshape(1, -1) if part.dim() < 2 else part for part in parts], 0)


def _column_stack(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1, 1) if part.dim() < 2 else part for part in parts], 1)


def _dstack(parts: list[Tensor]) -> Tensor:
    parts = [part.reshape(1, -1) if part.dim() < 2 else part for part in parts]
    return torch.cat([part.unsqueeze(-1) if part.dim() == 2 else part for part in parts], 2)


# Name of an operation → its definitions, each with names of arguments that only an overload that it serves has.
# Overloads have other names from one release of PyTorch to the next; what they take stays.
_OWN: dict[str, tuple[tuple[set[str], Definition], ...]] = {
    "lerp": ((set(), _lerp),),
    "maximum": ((set(), _maximum),),
    "minimum": ((set(), _minimum),),
    "max": (({"other"}, _maximum), ({"dim"}, _max_along), (set(), _max_of_all)),
    "min": (({"other"}, _minimum), ({"dim"}, _min_along), (set(), _min_of_all)),
    "amin": ((set(), _amin),),
    "aminmax": ((set(), _aminmax),),
    "logaddexp": ((set(), _logaddexp),),
    "var_mean": ((set(), _var_mean),),
    "std_mean": ((set(), _std_mean),),
    "baddbmm": ((set(), _with_product),),
    "hstack": ((set(), _hstack),),
    "vstack": ((set(), _vstack),),
    "row_stack": ((set(), _vstack),),
    "column_stack": ((set(), _column_stack),),
    "dstack": ((set(), _dstack),),
}
# The same, where a bound is a tensor: a value that is clamped, or its bound, takes part as in a maximum.
_BY_TENSORS: dict[str, Definition] = {"clamp": _clamp, "clamp_min": _maximum, "clamp_max": _clamp_max}


def definition(node: fx.Node) -> Definition | None:
    """Definition of the operation that a node calls, whichever of its overloads; None where it is left as it is."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.name.startswith("aten::"):
        return None
    name = schema.name.removeprefix("aten::").removesuffix("_")
    if name in _BY_TENSORS:
        by_tensors = any("Tensor" in str(argument.type) for argument in schema.arguments[1:])
        return _BY_TENSORS[name] if by_tensors else None
    if name == "addmm":
        return _with_product if set(node.kwargs.values()) - {1} else None
    taken = {argument.name for argument in schema.arguments}
    if "out_dtype" in taken:
        # A product in another precision than its factors' is another operation.
        return None
    return next((found for needed, found in _OWN.get(name, ()) if needed <= taken), None)


def definitions(calls: Iterable[fx.Node]) -> Mapping[Any, Definition]:
    """Definitions of those operations among `calls` that are to be replaced; none where nothing is."""
    calls = list(calls)
    found = {_functional(node.target): made for node in calls if (made := definition(node)) is not None}
    known = {_functional(node.target) for node in calls if _plain_name(node.target) in _BY_PYTORCH}
    if known:
        by_pytorch = torch.export.default_decompositions()
        found |= {target: by_pytorch[target] for target in known if target in by_pytorch}  # type: ignore[index]
    return found


def _functional(target: Any) -> Any:
    """Return the operation that PyTorch turns an in-place one into; others as they are."""
    schema = target._schema
    if not schema.is_mutable:
        return target
    packet = getattr(torch.ops.aten, _plain_name(target), None)
    return getattr(packet, target._overloadname, target)


def _plain_name(target: Any) -> str:
    schema = getattr(target, "_schema", None)
    return schema.name.split("::")[-1].removesuffix("_") if schema is not None else ""

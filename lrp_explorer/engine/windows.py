"""Pooling for semirings: each window's inputs, one position of the window at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.record import Record
from lrp_explorer.errors import CoverageError
from lrp_explorer.graph import Node
from lrp_explorer.semirings import Semiring

Slices = tuple[slice, ...]
# What the inputs at one position of the window receive from the windows that see them.
Message = Callable[[Slices, Slices], Tensor]


def windows(node: Node, record: Record, out: tuple[int, ...]) -> Iterator[tuple[Slices, Slices]]:
    """Pairs of (spatial slices of the inputs, of the outputs that see them), each pair an input of a window once.

    Parameters
    ----------
    node : Node
        A pooling layer.
    record : Record
        The recorded forward pass.
    out : tuple of int
        Spatial size of the output.
    """
    shape = tuple(record.value(node.inputs[0]).shape)
    size = shape[2:]
    if len(size) != int(node.op.partition("pool")[2][0]):
        raise CoverageError(
            f"layer {node.name!r}: {node.op} of a value {shape} has no axis of channels, but (batch, channels, ...) is "
            "expected for relevance in semirings; put one in by x.unsqueeze(1), or take semiring='real'"
        )
    args, _ = record.arguments(node)
    if node.op.startswith("adaptive"):
        if all(n % m == 0 for n, m in zip(size, out, strict=True)):
            # Equal windows that do not overlap: far fewer positions than windows.
            whole = [list(_along(n // m, n // m, 0, 1, n, m)) for n, m in zip(size, out, strict=True)]
            yield from _pairs(whole)
        else:
            yield from _cells(size, out)
    else:
        yield from _sliding(node, size, out, args)


def _sliding(node: Node, size: tuple[int, ...], out: tuple[int, ...], args: Any) -> Iterator[tuple[Slices, Slices]]:
    _, kernel, *rest = args
    stride = rest[0] if rest and rest[0] else kernel
    padding = rest[1] if len(rest) > 1 else 0
    dilation = rest[2] if len(rest) > 2 and node.op.startswith("max") else 1
    numbers = zip(*(each(value, len(size)) for value in (kernel, stride, padding, dilation)), size, out, strict=True)
    axes = [list(_along(*axis)) for axis in numbers]
    yield from _pairs(axes)


def _pairs(axes: Sequence[Sequence[tuple[slice, slice]]]) -> Iterator[tuple[Slices, Slices]]:
    for pairs in itertools.product(*axes):
        yield tuple(read for read, _ in pairs), tuple(seen for _, seen in pairs)


def _along(k: int, stride: int, padding: int, dilation: int, n: int, out: int) -> Iterator[tuple[slice, slice]]:
    """For each position of a window along one axis: the inputs there, and the windows that have one there."""
    for tap in range(k):
        offset = tap * dilation - padding
        first = max(0, math.ceil(-offset / stride))
        last = min(out - 1, (n - 1 - offset) // stride)
        if last >= first:
            yield (
                slice(first * stride + offset, last * stride + offset + 1, stride),
                slice(first, last + 1),
            )


def _cells(size: tuple[int, ...], out: tuple[int, ...]) -> Iterator[tuple[Slices, Slices]]:
    """Windows of adaptive pooling: from ⌊i n / m⌋ up to ⌈(i + 1) n / m⌉."""
    for cell in itertools.product(*map(range, out)):
        bounds = [(i * n // m, -(-(i + 1) * n // m)) for i, n, m in zip(cell, size, out, strict=True)]
        yield tuple(slice(*bound) for bound in bounds), tuple(slice(i, i + 1) for i in cell)


def each(value: Any, rank: int) -> list[int]:
    """One number for each axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def fold(
    semiring: Semiring, node: Node, record: Record, relevance: Tensor, out: tuple[int, ...], message: Message
) -> Tensor:
    """R_j = ⊕ over the windows that see j of their messages; `relevance` is ``(batch, channels, *out, *element)``."""
    result = semiring.full(record.value(node.inputs[0]).shape, relevance)
    for read, seen in windows(node, record, out):
        at, of = (slice(None), slice(None), *read), (slice(None), slice(None), *seen)
        # The best path asks for derivatives, which must not find what was there written over.
        so_far = result[at].clone() if relevance.requires_grad else result[at]
        result[at] = semiring.add(so_far, message(at, of))
    return result


def summed(node: Node, record: Record, value: Tensor, out: tuple[int, ...], join: Callable[..., Tensor]) -> Tensor:
    """Join the values of every window ``(batch, channels, *out)``, from 0: their sum, or their maximum."""
    total = torch.zeros((*value.shape[:2], *out), dtype=value.dtype, device=value.device)
    for read, seen in windows(node, record, out):
        part = value[(slice(None), slice(None), *read)]
        of = (slice(None), slice(None), *seen)
        if math.prod(total[of].shape) == math.prod(part.shape):
            total[of] = join(total[of], part)
        else:
            axes = tuple(range(2, value.dim()))
            whole = part.sum(axes, keepdim=True) if join is torch.add else part.amax(axes, keepdim=True)
            total[of] = join(total[of], whole)
    return total


def pooled_axes(node: Node, x: Tensor) -> tuple[int, ...]:
    """Axes that a mean, a sum or a maximum takes away; all of them where the call names none."""
    axes = node.kwargs.get("dim", node.static(1))
    if axes is None or axes in ([], ()):
        return tuple(range(x.dim()))
    return tuple(axis % x.dim() for axis in ([axes] if isinstance(axes, int) else axes))


def kept_axes(relevance: Tensor, x: Tensor, axes: Sequence[int], element: Sequence[int] = ()) -> Tensor:
    """Relevance with an axis of size 1 in the place of every one that was taken away."""
    kept = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
    return relevance.reshape((*kept, *element))


def first_largest(x: Tensor, axes: Sequence[int], largest: Tensor | None = None) -> Tensor:
    """Tell which value is the largest over `axes`: of several, the first in row-major order.

    Parameters
    ----------
    x : Tensor
        Values.
    axes : sequence of int
        Axes that are compared over.
    largest : Tensor, optional
        What counts as the largest, where it is known already.
    """
    equal = x == (x.amax(tuple(axes), keepdim=True) if largest is None else largest)
    rest = [axis for axis in range(x.dim()) if axis not in axes]
    order = [*rest, *sorted(axes)]
    moved = equal.permute(order)
    flat = moved.flatten(len(rest))
    first = flat & (flat.cumsum(-1) == 1)
    back = [order.index(axis) for axis in range(x.dim())]
    return first.reshape(moved.shape).permute(back)

"""One layer for the compiled loops: dense or convolution, laid out, in turns that fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrp_explorer.semirings.edges import Edges
from lrp_explorer.semirings.kernels.cpu_loops import planes
from lrp_explorer.semirings.kernels.cpu_planes import Layout, layout, plan
from lrp_explorer.semirings.kernels.cpu_rows import largest_rows, rows
from lrp_explorer.semirings.kernels.cpu_threads import shared

# Bytes of planes, and of logarithms of weights, at a time; more than that goes in turns.
BYTES = 1 << 26
LOGS = 1 << 24

# write(part, factor, relevance, sign) fills `part` with what edges have for a factor, never negative, where their
# weights have the sign: P for positive weights and N for negative ones.
Write = Callable[[Tensor, Tensor, Tensor, int], None]


def strongest(edges: Edges, relevance: Tensor, write: Write) -> Tensor:
    """max_k |w_jk| · F_k, for x_j that are not zero; 0 for others."""
    return _backward(edges, torch.zeros(edges.x.shape, dtype=edges.x.dtype), relevance, write)


def cheapest(edges: Edges, relevance: Tensor, write: Write) -> Tensor:
    """max_k (log |w_jk| + F_k), for x_j that are not zero; −∞ for others."""
    return _backward(
        edges, torch.full(edges.x.shape, -math.inf, dtype=edges.x.dtype), relevance, write, blank=-math.inf
    )


def joined(edges: Edges, relevance: Tensor, write: Write, level: Any) -> Tensor:
    """max_k min(x_j · (|w_jk| · F_k), R_k); with a level, Σ_k [x_j · (|w_jk| · F_k) ≥ level] · R_k."""
    result = torch.zeros(edges.x.shape, dtype=relevance.dtype)
    return _backward(edges, result, relevance, write, carried=True, level=level)


def largest(edges: Edges) -> Tensor:
    """max_j x_j · |w_jk| for every output."""
    x, weight = edges.x.detach(), edges.weight.detach().contiguous()
    result = torch.zeros((len(x), *edges.positive.shape[1:]), dtype=x.dtype)
    if not result.numel() or not x.numel():
        return result
    if not edges.geometry.rank:
        shared(largest_rows, result.numpy(), _array(x), weight.numpy())
        return result
    out, x = _image(result), _image(x)
    there = layout(edges, out.shape[2:], backward=False)
    size = x.element_size()
    work = plan(edges, there, out.shape, 0, size, torch.get_num_threads())
    turn = _turn(there, x.shape[1] * size)
    for start in range(0, len(x), turn):
        b = slice(start, start + turn)
        view, flat = there.blank(x[b].shape[:2], x.dtype, 0.0)
        there.fill(view, Tensor.copy_, x[b])
        nothing = np.zeros((0, 0, 0, 0), flat.numpy().dtype)
        shared(
            planes,
            work,
            out[b].numpy(),
            nothing,
            weight.flatten().numpy(),
            None,
            flat.numpy(),
            None,
            None,
            flat.numpy().dtype.type(0),
        )
    return result


def _backward(
    edges: Edges,
    result: Tensor,
    relevance: Tensor,
    write: Write,
    blank: float = 0.0,
    carried: bool = False,
    level: Any = None,
) -> Tensor:
    """From outputs to inputs; relevance is `carried` along where edges do not simply multiply it."""
    relevance = relevance.detach()
    if not result.numel() or not relevance.numel():
        return result
    sources = [(edges.positive.detach(), 1)]
    equal = edges.absolute and torch.equal(edges.positive, edges.negative)
    if not equal:
        sources.append((edges.negative.detach(), -1))
    (_convolution if edges.geometry.rank else _dense)(edges, result, relevance, sources, write, blank, carried, level)
    return result


def _dense(
    edges: Edges,
    result: Tensor,
    relevance: Tensor,
    sources: list[tuple[Tensor, int]],
    write: Write,
    blank: float,
    carried: bool,
    level: Any,
) -> None:
    """Dense layers read their weights where they are; logarithms of them are taken some rows at a time."""
    x, weight = _array(edges.x), edges.weight.detach().contiguous()
    inputs = weight.shape[1]
    block = min(max(inputs // (4 * torch.get_num_threads()), 512), 8192)
    parts = [torch.empty_like(factor, memory_format=torch.contiguous_format) for factor, _ in sources]
    for part, (factor, sign) in zip(parts, sources, strict=True):
        write(part, factor, relevance, sign)
    if not blank:
        along = _array(relevance) if carried else None
        shared(rows, result.numpy(), x, weight.numpy(), None, _array(parts[0]), _array(parts[-1]), along, level, block)
        return
    alive = torch.cat(parts).ne(blank).any(0).nonzero()[:, 0]
    turn = max(LOGS // (inputs * weight.element_size()), 4)
    some, logs = weight.new_empty((2, min(turn, len(alive)), inputs))  # fresh memory costs more than the logarithms
    for k in alive.split(turn):
        part, cost = some[: len(k)], logs[: len(k)]
        torch.index_select(weight, 0, k, out=part)
        torch.abs(part, out=cost).log_()
        factors = _array(parts[0][:, k]), _array(parts[-1][:, k])
        shared(rows, result.numpy(), x, part.numpy(), cost.numpy(), *factors, None, None, block)


def _convolution(
    edges: Edges,
    result: Tensor,
    relevance: Tensor,
    sources: list[tuple[Tensor, int]],
    write: Write,
    blank: float,
    carried: bool,
    level: Any,
) -> None:
    """Lay out factors (and relevance), some examples at a time, and sweep them."""
    x, out, relevance = _image(edges.x.detach()), _image(result), _image(relevance)
    there = layout(edges, out.shape[2:], backward=True)
    weight = edges.weight.detach().contiguous().flatten()
    logs = weight.abs().log_().numpy() if blank else None
    channels, size = relevance.shape[1], edges.x.element_size() + carried * relevance.element_size()
    turn = _turn(there, 2 * channels * size)
    floor = np.nextafter(level, level.dtype.type(0)) if level is not None else edges.x.new_tensor(blank).numpy()[()]
    for start in range(0, len(x), turn):
        b = slice(start, start + turn)
        dead = len(sources) > 1 and _nothing(edges, sources[1][0][b])
        signs = sources[:1] if dead else sources
        shape = (len(x[b]), len(signs), channels)
        view, flat = there.blank(shape, edges.x.dtype, blank)
        for i, (factor, sign) in enumerate(signs):
            there.fill(
                view[:, i], lambda part, f, r, sign=sign: write(part, f, r, sign), _image(factor)[b], relevance[b]
            )
        along = None
        if carried:
            view, along = there.blank(shape, relevance.dtype, 0.0)
            for i in range(len(signs)):
                there.fill(view[:, i], Tensor.copy_, relevance[b])
        negative = -1 if dead else (len(signs) - 1) * channels * there.phases * there.plane
        work = plan(edges, there, out[b].shape, negative, size * len(signs), torch.get_num_threads())
        shared(planes, work, out[b].numpy(), _array(x[b]), weight.numpy(), logs, flat.numpy(),
               None if along is None else along.numpy(), level, floor)  # fmt: skip


def _nothing(edges: Edges, factor: Tensor) -> bool:
    """Whether edges with negative weights are none."""
    return not bool(factor.any()) if edges.absolute else bool(factor.amin() >= 0)


def _turn(there: Layout, size: int) -> int:
    """How many examples at a time, of so many bytes at each neuron of a plane."""
    return max(BYTES // (size * there.phases * there.plane), 1)


def _image(values: Tensor) -> Tensor:
    """Two spatial axes, whatever the rank."""
    return values.unsqueeze(2) if values.dim() == 3 else values


def _array(values: Tensor) -> Any:
    return values.detach().contiguous().numpy()

"""Fused kernels for CUDA in Triton: the house's own semirings, dense layers and convolutions of rank 1 and 2.

Without a GPU they run in Triton's interpreter, when ``TRITON_INTERPRET=1`` is set before Triton is first imported.
"""

from __future__ import annotations

import importlib.util
import math
import os
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from lrp_explorer.errors import InputError
from lrp_explorer.semirings.algebra import Semiring
from lrp_explorer.semirings.edges import Edges
from lrp_explorer.semirings.library import Boolean, Bottleneck, Counting, Thresholded, Tropical, Viterbi

# Exact types: a subclass may say another algebra.
MODES: dict[type[Semiring], str] = {kind: kind.name for kind in (Boolean, Counting, Viterbi, Bottleneck, Tropical)}
# Largest tile of pairs in one program's registers: pixels, inputs, and pairs in all; powers of two.
PIXELS, INPUTS, PAIRS = 64, 64, 2048
# Products are rounded before anything is added to them, as in the reference.
OPTIONS = {"enable_fp_fusion": False}


@cache
def available() -> bool:
    """Tell whether Triton is installed, with a GPU to run on or as an interpreter."""
    return importlib.util.find_spec("triton") is not None and (torch.cuda.is_available() or _interpreted())


def covers(semiring: Semiring, edges: Edges) -> bool:
    """Tell whether `contract` can take these here: algebra, edges and device."""
    return type(semiring) in MODES and _fits(edges)


def contract(semiring: Semiring, edges: Edges, relevance: Tensor) -> Tensor:
    """Compute what `reference.contract` does; nothing waits for the device.

    Boolean, Counting and Bottleneck are equal to the reference bit for bit (Counting up to 2⁵³). Viterbi and Tropical
    take x_j, and Tropical the logarithms too, out of the reduction: equal but for rounding, and Tropical still tells
    the cost of edges that vanish in the network's precision, where the reference's is ∞.
    """
    if not covers(semiring, edges):
        raise _uncovered(f"{type(semiring).__name__} relevance", edges)
    mode = MODES[type(semiring)]
    x, weight = edges.x.contiguous(), _by_tap(edges.weight)
    positive, negative = _factors(mode, edges, relevance)
    result = torch.empty_like(x, dtype=relevance.dtype)
    if not result.numel():
        return result
    strict, theta = False, x
    if isinstance(semiring, Thresholded):
        # In a tensor, since numbers reach kernels in single precision; filled on the device.
        strict, theta = semiring.strict, torch.full((1,), semiring.level, dtype=x.dtype, device=x.device)
    sizes = _sizes(edges)
    pixels = _cdiv(sizes["height"], sizes["stride_y"]) * _cdiv(sizes["width"], sizes["stride_x"])
    p = min(PIXELS, _power_of_two(pixels))
    j = min(INPUTS, _power_of_two(sizes["ins"]), max(1, PAIRS // (2 * p)))
    k = min(_power_of_two(sizes["outs"]), max(1, PAIRS // (p * j)))
    programs = _cdiv(pixels, p) * sizes["stride_y"] * sizes["stride_x"] * _cdiv(sizes["ins"], j) * sizes["groups"]
    kernels = _kernels()
    with torch.cuda.device_of(x):
        kernels.gather[(programs * _planes(edges),)](
            x, weight, positive, negative, relevance.contiguous(), theta, _as_bytes(result),
            **sizes, MODE=mode, ZERO=math.inf if mode == "tropical" else 0.0, STRICT=strict, ABSOLUTE=edges.absolute,
            K=k, J=j, P=p, **OPTIONS,
        )  # fmt: skip
    return result


def largest(edges: Edges) -> Tensor:
    """Compute what `reference.largest` does, bit for bit."""
    if not _fits(edges):
        raise _uncovered("the largest", edges)
    x, weight = edges.x.contiguous(), _by_tap(edges.weight)
    result = torch.empty_like(edges.positive, memory_format=torch.contiguous_format)
    if not result.numel():
        return result
    sizes = _sizes(edges)
    pixels = sizes["out_height"] * sizes["out_width"]
    p = min(PIXELS, _power_of_two(pixels))
    k = min(INPUTS, _power_of_two(sizes["outs"]), max(1, PAIRS // (2 * p)))
    j = min(_power_of_two(sizes["ins"]), max(1, PAIRS // (p * k)))
    programs = _cdiv(pixels, p) * _cdiv(sizes["outs"], k) * sizes["groups"]
    kernels = _kernels()
    with torch.cuda.device_of(x):
        kernels.strongest[(programs * _planes(edges),)](x, weight, result, **sizes, K=k, J=j, P=p, **OPTIONS)
    return result


def _fits(edges: Edges) -> bool:
    tensors = (edges.x, edges.weight, edges.positive, edges.negative)
    return (
        edges.geometry.rank <= 2
        and edges.x.dim() == 2 + edges.geometry.rank
        and edges.x.dtype in (torch.float32, torch.float64)
        and all(tensor.dtype == edges.x.dtype and tensor.device == edges.x.device for tensor in tensors)
        and available()
        and (edges.x.is_cuda or _interpreted())
    )


def _uncovered(what: str, edges: Edges) -> InputError:
    return InputError(
        f"no GPU kernel can compute {what} of {edges.x.dtype} edges of rank {edges.geometry.rank} on {edges.x.device}: "
        "ask covers() first, and take the reference kernel where it says no"
    )


def _kernels() -> ModuleType:
    # Triton is absent on some platforms, and importing it takes long.
    from lrp_explorer.semirings.kernels import gpu_gather

    return gpu_gather


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def _factors(mode: str, edges: Edges, relevance: Tensor) -> tuple[Tensor, Tensor]:
    """What meets the weights, with what does not depend on the input taken into it."""
    both = edges.positive, edges.negative
    if mode == "boolean":
        both = tuple(torch.where(relevance, factor, 0.0) for factor in both)
    elif mode == "viterbi":
        both = tuple(factor.abs() * relevance for factor in both)
    elif mode == "tropical":
        both = tuple(relevance - factor.abs().log() for factor in both)
    return both[0].contiguous(), both[1].contiguous()


def _by_tap(weight: Tensor) -> Tensor:
    """Weights ``(taps, outputs, inputs / groups)``, so that neighbouring inputs are read together."""
    return weight.flatten(2).permute(2, 0, 1).contiguous() if weight.dim() > 2 else weight.contiguous()


def _planes(edges: Edges) -> int:
    return edges.x.shape[0] if edges.geometry.rank else 1


def _sizes(edges: Edges) -> dict[str, int]:
    """Everything about a layer as one of rank 2; a dense layer's examples are the pixels of one row."""
    geometry = edges.geometry
    (batch, inputs), (_, outputs) = edges.x.shape[:2], edges.positive.shape[:2]
    if geometry.rank:
        size, out = (1, *edges.x.shape[2:])[-2:], (1, *edges.positive.shape[2:])[-2:]
        pixels, out_pixels = size[0] * size[1], out[0] * out[1]
        strides = (inputs * pixels, pixels, size[1], 1, outputs * out_pixels, out_pixels, out[1], 1)
    else:
        size = out = (1, batch)
        strides = (0, 1, 0, inputs, 0, 1, 0, outputs)
    kernel = (1, 1, *edges.weight.shape[2:])[-2:]
    stride, dilation = ((1, 1, *given)[-2:] for given in (geometry.stride, geometry.dilation))
    padding = (0, 0, *geometry.padding)[-2:]
    counts = (inputs // geometry.groups, outputs // geometry.groups, geometry.groups)
    names = (
        "ins outs groups height width out_height out_width kernel_y kernel_x stride_y stride_x padding_y padding_x "
        "dilation_y dilation_x in_batch in_channel in_row in_column out_batch out_channel out_row out_column"
    )
    numbers = (*counts, *size, *out, *kernel, *stride, *padding, *dilation, *strides)
    return dict(zip(names.split(), numbers, strict=True))


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.view(torch.int8) if tensor.dtype == torch.bool else tensor


def _cdiv(a: int, b: int) -> int:
    return -(-a // b)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()

"""Triton kernels: one program joins, for a block of inputs, the messages of every output that reads them.

Nothing outside `gpu` imports this module: it needs Triton. Tiles have the axes (outputs, inputs, pixels); the outputs
are walked in blocks and joined in registers, so pairs never reach memory. Strides are taken apart into phases: inputs
of one phase are read by the same taps of the kernel, so no program asks for outputs that lie between two pixels.
Offsets are 64 bits wide, since all of them follow from the program's number.
"""

# pyright: reportInvalidTypeForm=false, reportArgumentType=false, reportIndexIssue=false, reportOptionalOperand=false
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _larger(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _smaller(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _sum(a, b):
    return a + b


@triton.jit
def _reaches(d, theta, STRICT: tl.constexpr):
    return d > theta if STRICT else d >= theta


@triton.jit
def _join(total, x, weight, factor, relevance, theta, MODE: tl.constexpr, STRICT: tl.constexpr, ABSOLUTE: tl.constexpr):
    """Join one tile of messages to `total`; `factor` is what belongs to each weight's sign."""
    if MODE == "viterbi":
        total = _larger(total, tl.abs(weight) * factor)
    elif MODE == "tropical":
        total = _smaller(total, factor - tl.log(tl.abs(weight)))
    else:
        # Rounded in this order everywhere, so that the comparisons of every kernel fall alike.
        edge = weight * factor
        if ABSOLUTE:
            edge = tl.abs(edge)
        if MODE == "boolean":
            # The largest edge reaches θ if any does; what is no number reaches nothing.
            total = tl.maximum(total, edge)
        elif MODE == "counting":
            total += tl.where(_reaches(x * edge, theta, STRICT), relevance, 0.0)
        else:
            total = _larger(total, _smaller(x * edge, relevance))
    return total


@triton.jit
def _finish(total, x, theta, MODE: tl.constexpr, STRICT: tl.constexpr):
    """⊕ over the outputs of the tile; what every edge of an input has in common comes last.

    Rounding is monotone and x is never negative, so max_k x · (w · F_k) = x · max_k (w · F_k), to the last bit.
    """
    if MODE == "tropical":
        result = tl.reduce(total, 0, _smaller) - tl.log(x)
    elif MODE == "viterbi":
        result = tl.reduce(total, 0, _larger) * x
    elif MODE == "counting":
        result = tl.reduce(total, 0, _sum)
    elif MODE == "bottleneck":
        result = tl.reduce(total, 0, _larger)
    else:
        result = _reaches(x * tl.max(total, 0), theta, STRICT).to(tl.int8)
    return result


@triton.jit
def _one_tap(
    total, x, weights, of_input, positives, negatives, relevances, of_output, theta,
    ins, outs, out_channel, ZERO: tl.constexpr,
    MODE: tl.constexpr, STRICT: tl.constexpr, ABSOLUTE: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """⊕ over the outputs, block by block, for edges through one tap of the kernel."""
    for start in range(0, outs, K):
        k = start + tl.arange(0, K).to(tl.int64)[:, None, None]
        weight = tl.load(weights + k * ins, mask=of_input & (k < outs), other=0.0)
        at = k * out_channel
        there = of_output & (k < outs)
        positive = tl.load(positives + at, mask=there, other=ZERO)
        negative = tl.load(negatives + at, mask=there, other=ZERO)
        relevance = 0.0
        if MODE == "counting" or MODE == "bottleneck":
            relevance = tl.load(relevances + at, mask=there, other=0.0)
        factor = tl.where(weight > 0, positive, negative)
        total = _join(total, x, weight, factor, relevance, theta, MODE, STRICT, ABSOLUTE)
    return total


@triton.jit
def gather(
    x_ptr, weight_ptr, positive_ptr, negative_ptr, relevance_ptr, theta_ptr, result_ptr,
    ins, outs, groups, height, width, out_height, out_width, kernel_y, kernel_x,
    stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x,
    in_batch, in_channel, in_row, in_column, out_batch, out_channel, out_row, out_column,
    MODE: tl.constexpr, ZERO: tl.constexpr, STRICT: tl.constexpr, ABSOLUTE: tl.constexpr,
    K: tl.constexpr, J: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Compute R_j = ⊕_k encode(d_jk) ⊗ R_k; weights are ``(taps, outputs, inputs / groups)``."""
    pid = tl.program_id(0).to(tl.int64)
    columns = tl.cdiv(width, stride_x)
    pixels = tl.cast(tl.cdiv(height, stride_y), tl.int64) * columns
    pid, pixel = pid // tl.cdiv(pixels, P), (pid % tl.cdiv(pixels, P)) * P + tl.arange(0, P)[None, :]
    pid, phase = pid // (stride_y * stride_x), pid % (stride_y * stride_x)
    pid, j = pid // tl.cdiv(ins, J), (pid % tl.cdiv(ins, J)) * J + tl.arange(0, J)[:, None]
    batch, group = pid // groups, pid % groups
    from_y, from_x = phase // stride_x, phase % stride_x
    q_y, q_x = pixel // columns, pixel % columns
    y, z = from_y + q_y * stride_y, from_x + q_x * stride_x
    inside = (j < ins) & (y < height) & (z < width)
    place = batch * in_batch + (group * ins + j) * in_channel + y * in_row + z * in_column
    x = tl.load(x_ptr + place, mask=inside, other=0.0)
    theta = tl.load(theta_ptr)
    total = tl.full((K, J, P), ZERO, tl.float64 if MODE == "counting" else x_ptr.dtype.element_ty)
    for tap_y in range(kernel_y):
        for tap_x in range(kernel_x):
            y_0, x_0 = from_y + padding_y - tap_y * dilation_y, from_x + padding_x - tap_x * dilation_x
            if (y_0 % stride_y == 0) & (x_0 % stride_x == 0):
                o_y, o_x = y_0 // stride_y + q_y, x_0 // stride_x + q_x
                read = (o_y >= 0) & (o_y < out_height) & (o_x >= 0) & (o_x < out_width)
                at = batch * out_batch + group * outs * out_channel + o_y * out_row + o_x * out_column
                row = ((tap_y * kernel_x + tap_x) * groups + group) * outs * ins
                total = _one_tap(
                    total, x[None, :, :], weight_ptr + row + j[None, :, :], (j < ins)[None, :, :],
                    positive_ptr + at[None, :, :], negative_ptr + at[None, :, :], relevance_ptr + at[None, :, :],
                    read[None, :, :], theta, ins, outs, out_channel, ZERO, MODE, STRICT, ABSOLUTE, K,
                )  # fmt: skip
    tl.store(result_ptr + place, _finish(total, x, theta, MODE, STRICT), mask=inside)


@triton.jit
def strongest(
    x_ptr, weight_ptr, result_ptr,
    ins, outs, groups, height, width, out_height, out_width, kernel_y, kernel_x,
    stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x,
    in_batch, in_channel, in_row, in_column, out_batch, out_channel, out_row, out_column,
    K: tl.constexpr, J: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Compute max_j x_j · abs(w_jk); weights are ``(taps, outputs, inputs / groups)``."""
    pid = tl.program_id(0).to(tl.int64)
    pixels = tl.cast(out_height, tl.int64) * out_width
    pid, pixel = pid // tl.cdiv(pixels, P), (pid % tl.cdiv(pixels, P)) * P + tl.arange(0, P)[None, None, :]
    pid, k = pid // tl.cdiv(outs, K), (pid % tl.cdiv(outs, K)) * K + tl.arange(0, K)[None, :, None]
    batch, group = pid // groups, pid % groups
    o_y, o_x = pixel // out_width, pixel % out_width
    total = tl.zeros((J, K, P), x_ptr.dtype.element_ty)
    for tap_y in range(kernel_y):
        for tap_x in range(kernel_x):
            y = o_y * stride_y - padding_y + tap_y * dilation_y
            z = o_x * stride_x - padding_x + tap_x * dilation_x
            read = (o_y < out_height) & (y >= 0) & (y < height) & (z >= 0) & (z < width)
            row = (((tap_y * kernel_x + tap_x) * groups + group) * outs + k) * ins
            at = batch * in_batch + group * ins * in_channel + y * in_row + z * in_column
            for start in range(0, ins, J):
                j = start + tl.arange(0, J).to(tl.int64)[:, None, None]
                weight = tl.load(weight_ptr + row + j, mask=(k < outs) & (j < ins), other=0.0)
                x = tl.load(x_ptr + at + j * in_channel, mask=read & (j < ins), other=0.0)
                total = _larger(total, x * tl.abs(weight))
    result = tl.reduce(total, 0, _larger)[None, :, :]
    place = batch * out_batch + (group * outs + k) * out_channel + o_y * out_row + o_x * out_column
    tl.store(result_ptr + place, result, mask=(k < outs) & (o_y < out_height))

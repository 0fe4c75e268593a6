"""Convolutions: tiles of neurons that stay in the cache, one after the other, on as many threads as call."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lrp_explorer.semirings.kernels.cpu_bundles import bundles, lowest, peaks, pick, sweep
from lrp_explorer.semirings.kernels.cpu_sweeps import BUNDLE, borrowing, compiled

# Tiles are swept in a multiple of this many neurons.
VECTOR = 16


def _claim(typing_context, counter):
    """Take the next task: an atomic counter, since threads run here without the GIL."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), generate


claim: Any = intrinsic(_claim)


@borrowing
def rounded(n):
    """Whole vectors, a little beyond the tile, so that none is left to do one by one."""
    return (n + VECTOR - 1) // VECTOR * VECTOR


@compiled
def planes(counter, plan, result, x, weight, logs, plane, relevance, level, floor):
    """Work on tasks (example, phase, tile, group, block of result channels) until none is left.

    `logs` of weights given: (max, +); `relevance` given: (max, min); `level` given too: counting; else (max, ×).
    Bundles that cannot exceed `floor` are left out; `result` comes filled with 𝟘.
    """
    batch, _, height, width = result.shape
    (rows, columns), (step_down, step_right) = plan.tile, plan.strides
    down = ((height + step_down - 1) // step_down + rows - 1) // rows
    right = ((width + step_right - 1) // step_right + columns - 1) // columns
    blocks = (plan.channels[0] + plan.block[0] - 1) // plan.block[0]
    shape = (plan.block[0], rounded((rows - 1) * plan.pitch + columns))
    best, inputs, highest = np.empty(shape, result.dtype), np.zeros(shape, plane.dtype), np.empty(shape[0], plane.dtype)
    room = plan.block[1] * plan.offsets.shape[0] + BUNDLE
    at, factor, gain = np.empty(room, np.int64), np.empty(room, plane.dtype), np.empty(room, plane.dtype)
    picked_at, picked_factor = np.empty(room, np.int64), np.empty(room, plane.dtype)
    peak_at, carried_at = np.empty((plan.block[1], 2), plane.dtype), np.empty(plan.block[1], plane.dtype)
    lists = (at, factor, gain, picked_at, picked_factor, peak_at, carried_at)
    while True:
        task = claim(counter)
        if task >= batch * plan.phases.shape[0] * down * right * plan.groups * blocks:
            break
        task, block = task // blocks, task % blocks
        task, group = task // plan.groups, task % plan.groups
        task, v = task // right, task % right * columns
        task, u = task // down, task % down * rows
        b, phase = task // plan.phases.shape[0], task % plan.phases.shape[0]
        top, left = plan.phases[phase, 0], plan.phases[phase, 1]
        size_u = min(rows, (height - top + step_down - 1) // step_down - u)
        size_v = min(columns, (width - left + step_right - 1) // step_right - v)
        if size_u <= 0 or size_v <= 0 or plan.phases[phase, 2] == plan.phases[phase, 3]:
            continue
        tile = (top + u * step_down, left + v * step_right, size_u, size_v)
        begin = block * plan.block[0]
        many = min(plan.block[0], plan.channels[0] - begin)
        channel = group * plan.channels[0] + begin
        read(plan, x, b, channel, many, tile, inputs, highest, best, result)
        where = (b, group, begin, many, phase, u * plan.pitch + v, rounded((size_u - 1) * plan.pitch + size_v))
        gather(plan, weight, logs, plane, relevance, level, floor, where, highest, best, inputs, lists)
        write(plan, x, b, channel, many, tile, best, result)


@borrowing
def read(plan, x, b, channel, many, tile, inputs, highest, best, result):
    """Copy a tile of inputs, find the highest of each channel, and get ready for results.

    Where there is nothing to find, at inputs of 0 and between rows, `best` is beyond reach: `lowest` is for the others.
    """
    top, left, size_u, size_v = tile
    for j in range(many):
        highest[j] = 1 if x.size == 0 else 0
        for i in range(best.shape[1]):
            best[j, i] = math.inf
        for p in range(size_u):
            for q in range(size_v):
                down, right, i = top + p * plan.strides[0], left + q * plan.strides[1], p * plan.pitch + q
                if x.size > 0:
                    inputs[j, i] = x[b, channel + j, down, right]
                    highest[j] = max(highest[j], inputs[j, i])
                if x.size == 0 or inputs[j, i] != 0:
                    best[j, i] = result[b, channel + j, down, right]


@borrowing
def write(plan, x, b, channel, many, tile, best, result):
    """Copy a tile of results to where they belong."""
    top, left, size_u, size_v = tile
    for j in range(many):
        for p in range(size_u):
            for q in range(size_v):
                down, right = top + p * plan.strides[0], left + q * plan.strides[1]
                if x.size == 0 or x[b, channel + j, down, right] != 0:
                    result[b, channel + j, down, right] = best[j, p * plan.pitch + q]


@borrowing
def gather(plan, weight, logs, plane, relevance, level, floor, where, highest, best, inputs, lists):
    """⊕ over all source channels, block by block, for one tile of a block of result channels."""
    b, group, begin, many, phase, base, n = where
    at, factor, gain, picked_at, picked_factor, peak_at, carried_at = lists
    blank = 0 if logs is None else -math.inf
    for source in range(0, plan.channels[1], plan.block[1]):
        size = min(plan.block[1], plan.channels[1] - source)
        corner = base + (group * plan.channels[1] + source) * plan.channel
        along = None if relevance is None else relevance[b]
        peaks(plan, plane[b], along, level, corner, n + plan.phases[phase, 4], blank, peak_at[:size], carried_at)
        for j in range(many):
            if highest[j] == 0:
                continue
            target, x = best[j, :n], inputs[j, :n]
            start = group * plan.weights[0] + (begin + j) * plan.weights[1] + source * plan.weights[2]
            bound = floor if level is not None else max(floor, lowest(target))
            edges = bundles(plan, weight, logs, along, level, start, phase, corner, peak_at[:size], carried_at,
                            1 if relevance is None else highest[j], bound, at, factor, gain)  # fmt: skip
            upto, least = math.inf, bound
            if level is None and edges > 2 * BUNDLE:
                bound = half(gain[:edges], logs)
            while True:
                some = pick(edges, bound, upto, at, factor, gain, picked_at, picked_factor, corner, blank)
                sweep(target, x, plane[b], logs, along, level, some, picked_at, picked_factor)
                if bound <= least:
                    break
                least = max(least, lowest(target))
                if bound <= least:
                    break
                bound, upto = least, bound


@borrowing
def half(gain, logs):
    """Half of the largest gain: bundles above come first, and may spare others."""
    top = gain[0]
    for i in range(gain.shape[0]):
        top = max(top, gain[i])
    return top / 2 if logs is None else top - 1

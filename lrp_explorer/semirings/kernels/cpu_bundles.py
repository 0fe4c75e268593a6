"""Edge bundles of a convolution: listed, bounded over a tile, and swept only where they can still matter.

A kernel tap is a constant offset between flattened, zero-padded planes, so an edge bundle (source channel, tap) is
(offset, |weight|), and any bundles at all can be swept together. Rounding is monotone: what the largest values of a
tile cannot reach together, no neuron of it does. So bundles that cannot exceed the lowest result of the tile so far (or
the threshold, in counting) are left out, and the result is the same to the last bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lrp_explorer.semirings.kernels.cpu_sweeps import BUNDLE, borrowing, cheapest, count, strongest, widest


class Plan(NamedTuple):
    """What to do, in numbers that compiled loops read; offsets are in elements of one example's planes."""

    phases: np.ndarray  # (phases, 5): first row and column of the results, first tap, end of taps, largest offset
    kernel: np.ndarray  # (taps,): index in the kernel, unsigned
    offsets: np.ndarray  # (taps,): offset in the planes
    strides: tuple[int, int]  # between results of one phase
    pitch: int  # length of a row of a plane
    channel: int  # from one source channel to the next
    negative: int  # from the plane for positive weights to that for negative ones; -1 where those are no edges
    groups: int
    channels: tuple[int, int]  # result and source channels of a group
    weights: tuple[int, int, int]  # from one group, result channel, source channel to the next in the weights
    tile: tuple[int, int]  # rows and columns
    block: tuple[int, int]  # result and source channels at a time


# Maximum and minimum are exact in any order, so that the compiler may take whole vectors.
def reduction(function: Any) -> Any:
    """Compile a maximum or minimum."""
    return borrowing(function, fastmath={"nnan", "nsz", "reassoc"})


@reduction
def peak(values, start, stop):
    """The largest value of a stretch."""
    stretch = values[start:stop]
    found = stretch[0]
    for i in range(stretch.shape[0]):
        found = stretch[i] if stretch[i] > found else found
    return found


@reduction
def lowest(values):
    """The smallest value."""
    found = values[0]
    for i in range(values.shape[0]):
        found = values[i] if values[i] < found else found
    return found


@borrowing
def peaks(plan, plane, relevance, level, corner, span, blank, peak_at, carried_at):
    """Largest value of each source of a block around a tile, by the sign of weights, and of its relevance."""
    for k in range(peak_at.shape[0]):
        start = corner + k * plan.channel
        peak_at[k, 0] = peak(plane, start, start + span)
        peak_at[k, 1] = peak_at[k, 0]
        if plan.negative < 0:
            peak_at[k, 1] = blank
        elif plan.negative > 0:
            peak_at[k, 1] = peak(plane, start + plan.negative, start + plan.negative + span)
        if relevance is not None and level is None:
            carried_at[k] = peak(relevance, start, start + span)


@borrowing
def bundles(
    plan, weight, logs, relevance, level, start, phase, corner, peak_at, carried_at, x, floor, at, factor, gain
):
    """List the edge bundles of one result channel with a block of sources that can gain more than `floor`."""
    offsets = plan.offsets[plan.phases[phase, 2] : plan.phases[phase, 3]]
    kernel = plan.kernel[plan.phases[phase, 2] : plan.phases[phase, 3]]
    edges = np.uint64(0)  # unsigned indices and conditions without branches: a third of the time
    for k in range(peak_at.shape[0]):
        row, plane = np.uint64(start + k * plan.weights[2]), corner + k * plan.channel
        positive, negative = peak_at[k, 0], peak_at[k, 1]
        for tap in range(offsets.shape[0]):
            index = row + kernel[tap]
            w = weight[index]
            top = positive if w > 0 else negative
            at[edges] = plane + offsets[tap] + (plan.negative if w < 0 else 0)
            if logs is None:
                factor[edges] = abs(w)
                value = x * (abs(w) * top)
            else:
                factor[edges] = logs[index]
                value = logs[index] + top
            if relevance is not None and level is None:
                value = min(value, carried_at[k])
            gain[edges] = value
            edges += np.uint64(value > floor)
    return np.int64(edges)


@borrowing
def pick(edges, above, upto, at, factor, gain, picked_at, picked_factor, corner, blank):
    """Bundles with a gain in a range, and of no effect up to a whole number of sweeps; returns how many."""
    picked = np.uint64(0)
    for edge in range(edges):
        picked_at[picked] = at[edge]
        picked_factor[picked] = factor[edge]
        picked += np.uint64((gain[edge] > above) & (gain[edge] <= upto))
    listed = np.int64(picked)
    for spare in range(listed, (listed + BUNDLE - 1) // BUNDLE * BUNDLE):
        picked_at[spare] = corner
        picked_factor[spare] = blank
    return listed


@borrowing
def sweep(result, x, plane, logs, relevance, level, edges, at, factor):
    """⊕ over listed bundles."""
    if logs is not None:
        for edge in range(0, edges, 8):
            cheapest(result, plane, at, factor, edge)
    elif relevance is None:
        for edge in range(0, edges, 8):
            strongest(result, plane, at, factor, edge)
    elif level is None:
        for edge in range(0, edges, 4):
            widest(result, x, plane, relevance, at, factor, edge)
    else:
        for edge in range(0, edges, 4):
            count(result, x, plane, relevance, level, at, factor, edge)

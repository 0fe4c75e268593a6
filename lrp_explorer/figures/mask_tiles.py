"""The masks of a grid as they are painted: large maps in blocks, neurons as bars, and words for every place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from lrp_explorer.figures import mask_plan
from lrp_explorer.figures.mask_cells import BARS, CELLS, Cells
from lrp_explorer.figures.mask_plan import Plan

HIGH = 40
"""Height of a mask of bars, in cells of the heatmap that they are painted with."""


def plan(cells: Cells) -> Plan:
    """Find a place for every mask."""
    if cells.bars:
        high, wide = HIGH, min(cells.values[0].shape[1], BARS)
    else:
        block = _block(cells)
        high, wide = (-(-side // block) for side in cells.values[0].shape[1:])
    return mask_plan.plan(len(cells.names), len(cells.reductions), high, wide, fixed=not cells.bars)


def painted(cells: Cells, place: int) -> np.ndarray:
    """Give the masks of one reduction, by its place, as they are painted ``(classes, height, width)``."""
    values = cells.values[place]
    if cells.bars:
        return _bars(values, cells.limit_of(place), cells.scale_of(place).signed)
    block = _block(cells)
    if block == 1:
        return values
    high, wide = (-(-side // block) for side in values.shape[1:])
    room = (high * block - values.shape[1], wide * block - values.shape[2])
    padded = np.pad(values, ((0, 0), (0, room[0]), (0, room[1])), "edge").reshape(-1, high, block, wide, block)
    return padded.max((2, 4)) if cells.kinds[place] == "truth" else padded.mean((2, 4))


def places(cells: Cells, where: Plan) -> np.ndarray:
    """Name the places of one mask ``(height, width)``."""
    if cells.bars:
        ends = np.cumsum([0, *map(len, np.array_split(np.arange(cells.values[0].shape[1]), where.wide))])
        return np.array([[f"neuron or channel {_span(a, b)}" for a, b in pairwise(ends)]] * where.high, object)
    block = _block(cells)
    rows, columns = ([_span(i * block, (i + 1) * block) for i in range(count)] for count in (where.high, where.wide))
    return np.array([[f"row {row}, column {column}" for column in columns] for row in rows], object)


def laid(
    where: Plan, reductions: Iterable[int], classes: Iterable[int], tile: Callable[[int, int], Any], blank: Any
) -> tuple[np.ndarray, tuple[int, int]]:
    """Lay masks out as one array, `blank` between them; gives its top and left, too."""
    pairs = [(reduction, chosen) for reduction in reductions for chosen in classes]
    corners = np.array([where.corner(*pair) for pair in pairs])
    origin, end = corners.min(0), corners.max(0) + np.array([where.high, where.wide])
    whole = np.full(end - origin, blank, object if isinstance(blank, str) else np.float32)
    for pair, (top, left) in zip(pairs, corners - origin, strict=True):
        whole[top : top + where.high, left : left + where.wide] = tile(*pair)
    return whole, (int(origin[0]), int(origin[1]))


def _block(cells: Cells) -> int:
    """How many values in a row and in a column are joined into one, so that the grid stays small."""
    _, *sides = cells.values[0].shape
    count = len(cells.names) * len(cells.reductions)
    block = 1
    while count * np.prod([-(-side // block) for side in sides]) > CELLS and block < max(sides):
        block += 1
    return block


def _bars(values: np.ndarray, limit: float, signed: bool) -> np.ndarray:
    """Paint ``(classes, neurons)`` as columns from the ground, or from the middle line where there are signs."""
    groups = np.array_split(np.nan_to_num(values), min(values.shape[1], BARS), axis=1)
    strongest = [np.take_along_axis(part, np.abs(part).argmax(1)[:, None], 1) for part in groups]
    tops = np.concatenate(strongest, axis=1)[:, None, :]
    middle = HIGH / 2 if signed else HIGH
    levels = (middle - (np.arange(HIGH) + 0.5))[:, None] / middle * limit
    within = ((levels > 0) & (levels <= tops)) | ((levels < 0) & (levels >= tops))
    return np.where(within, tops, np.nan).astype(np.float32)


def _span(begin: int, end: int) -> str:
    return str(begin) if end == begin + 1 else f"{begin}–{end - 1}"

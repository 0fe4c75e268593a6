"""Where the masks of a grid stand: classes across or down, in as many bands as make the masks largest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import ceil

import numpy as np

ROOM = 850.0, 290.0
"""Width and height, in pixels, that the masks of a grid have on a small screen; on a large one the ratio is alike."""

GAIN = 1.2
"""How much larger masks must become before the usual plan, a column for each class, is given up."""

HEAD, SIDE = 36.0, 62.0
"""Pixels for labels between two bands, above and beside masks."""


@dataclass(frozen=True)
class Plan:
    """A place for every mask, in cells of the heatmap that the grid is painted with.

    Attributes
    ----------
    classes, reductions : int
        How many masks: one for each pair.
    high, wide, gap : int
        Size of a mask, and the gap between two.
    across : bool
        Whether a class is a column of its reductions, and bands lie below each other; else it is a row, and bands
        stand beside each other.
    bands : int
        Into how many parts the classes are folded.
    apart : int
        The gap between two bands.
    """

    classes: int
    reductions: int
    high: int
    wide: int
    gap: int
    across: bool = True
    bands: int = 1
    apart: int = 0

    @property
    def length(self) -> int:
        """Number of classes in a band; the last one may have fewer."""
        return -(-self.classes // self.bands)

    @property
    def pixels(self) -> float:
        """Width of a mask on a small screen."""
        return scale(self) * self.wide

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole."""
        last = [self.corner(self.reductions - 1, one) for one in (self.length - 1, self.classes - 1)]
        return max(top for top, _ in last) + self.high, max(left for _, left in last) + self.wide

    def band(self, band: int) -> range:
        """Give the classes of a band, by place."""
        return range(band * self.length, min((band + 1) * self.length, self.classes))

    def corner(self, reduction: int, chosen: int) -> tuple[int, int]:
        """Give top and left of the mask of a reduction and a class, by place."""
        band, place = divmod(chosen, self.length)
        high, wide = self.high + self.gap, self.wide + self.gap
        if self.across:
            return band * (self.reductions * high + self.apart) + reduction * high, place * wide
        return place * high, band * (self.reductions * wide + self.apart) + reduction * wide

    def nearest(self, x: float, y: float) -> tuple[int, int]:
        """Give the reduction and the class, by place, of the mask that is nearest to a point."""
        places = list(product(range(self.reductions), range(self.classes)))
        corners = np.array([self.corner(*place) for place in places], np.float64)
        middle = corners + (np.array([self.high, self.wide]) - 1) / 2
        beyond = np.maximum(np.abs(middle - (y, x)) - (self.high / 2, self.wide / 2), 0)
        return places[int(np.hypot(*beyond.T).argmin())]


def plan(classes: int, reductions: int, high: int, wide: int, fixed: bool = True) -> Plan:
    """Find the plan whose masks are largest; the usual one where another gains little.

    Parameters
    ----------
    classes, reductions : int
        How many masks: one for each pair.
    high, wide : int
        Size of a mask, in cells.
    fixed : bool
        Whether a mask keeps its proportions; what may be stretched fills all room in the usual plan.
    """
    best = Plan(classes, reductions, high, wide, max(1, round(wide / 12)))
    if not fixed:
        return best
    for across, bands in product((True, False), range(1, classes + 1)):
        other = Plan(classes, reductions, high, wide, best.gap, across, bands)
        usual = (best.across, best.bands) == (True, 1)
        if scale(other) > (GAIN if usual else 1.0) * scale(best):
            best = replace(other, apart=ceil((HEAD if across else SIDE) / scale(other)))
    return best


def scale(one: Plan) -> float:
    """Give the pixels of a cell on a small screen, where labels take their room."""
    bare = replace(one, apart=0)
    high, wide = bare.size
    labels = (one.bands - 1) * (HEAD if one.across else SIDE)
    return max(0.0, min((ROOM[0] - (0 if one.across else labels)) / wide, (ROOM[1] - one.across * labels) / high))

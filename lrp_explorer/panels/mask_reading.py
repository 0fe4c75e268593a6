"""How masks are read before they are drawn: a page of classes, at a threshold, in the scale of their semiring."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.samples import Samples
from lrp_explorer.figures import mask_cells
from lrp_explorer.figures.mask_cells import Cells
from lrp_explorer.figures.scales import SIGNED, Scale
from lrp_explorer.panels import algebra
from lrp_explorer.panels.mask_state import MaskRequest

ROWS = 16
"""Classes on a page, with the row of all together, which is on every page."""

SHARES = Scale("share of examples", mask_cells.EXAMPLES.stops)

LEAST, DECADES = 0.001, (2.0, 6.0)
"""The slider begins below all but this share of what can be compared, and spans so many decades."""


@dataclass(frozen=True)
class View:
    """What is drawn.

    Attributes
    ----------
    request : MaskRequest
        What was asked for.
    masks : Masks
        The rows of one page, at the threshold.
    cells : Cells
        The same, as they are drawn.
    deep : bool
        Whether there are several channels of places.
    """

    request: MaskRequest
    masks: Masks = field(repr=False)
    cells: Cells = field(repr=False)
    deep: bool

    def place(self, selected: tuple[str, int | str]) -> tuple[int, int]:
        """Give the places of the selected reduction and class; the first ones where they are not on this page."""
        reduction, chosen = selected
        row = self.cells.reductions.index(reduction) if reduction in self.cells.reductions else 0
        return row, self.masks.classes.index(chosen) if chosen in self.masks.classes else 0

    def level(self, row: int, column: int) -> np.ndarray | None:
        """Give what is compared with the threshold in one mask, None if nothing is."""
        level = self.masks.levels.get((self.request.layer, self.cells.reductions[row]))
        return None if level is None else level[column]


def view(
    found: Masks, request: MaskRequest, page: int, theta: float | None, channels: bool, samples: Samples | None = None
) -> View:
    """Read masks.

    Parameters
    ----------
    found : Masks
        All of them, as they were folded.
    request : MaskRequest
        What was asked for.
    page : int
        Which classes, see `pages`.
    theta : float or None
        Where masks are compared with a threshold; None to leave them as they are.
    channels : bool
        Whether deep layers are read as a number for each channel, instead of a map.
    samples : Samples, optional
        What counts at a threshold are read from.
    """
    layer, kept = request.layer, _kept(found, pages(found)[page])
    rows = _rows(found, kept)
    at = rows if theta is None or not rows.levels else rows.at(theta)
    arrays = {name: at.arrays.get((layer, name), rows.arrays[layer, name]) for name in request.reductions}
    if theta is not None and samples is not None and "count" in arrays:
        arrays["count"] = samples.relevant(theta)[kept]
    deep = any(array.ndim == 4 and array.shape[1] > 1 and array.shape[2:] != (1, 1) for array in arrays.values())
    scale, join = reading(request.semiring, arrays)
    cells = mask_cells.cells(arrays, rows.names, rows.counts, scale, join, channels and deep)
    return View(request, replace(rows, criterion=at.criterion), cells, deep)


def pages(found: Masks) -> list[range]:
    """Give the rows of each page, without the row of all together."""
    single = len(found.classes) - _pooled(found)
    if len(found.classes) <= ROWS:
        return [range(single)]
    length = ROWS - _pooled(found)
    return [range(begin, min(begin + length, single)) for begin in range(0, single, length)]


def reading(semiring: str, arrays: dict[str, np.ndarray]) -> tuple[Scale, str]:
    """Give the scale of a semiring's numbers, and how channels are joined."""
    if semiring == algebra.REAL:
        return SIGNED, "sum"
    if semiring == "boolean":
        return SHARES, "max"
    found = algebra.reading(semiring)
    signed = found is algebra.OWN and any(bool((array < 0).any()) for array in arrays.values())
    return SIGNED if signed else found.scale, next(iter(found.joins))


def stays(found: Masks, request: MaskRequest, samples: Samples | None = None) -> tuple[str, ...]:
    """Name the reductions that compare with a threshold, but cannot follow one."""
    if not found.levels:
        return ()
    known = {name for layer, name in found.levels if layer == request.layer}
    if samples is not None:
        known.add("count")
    return tuple(one for one in request.reductions if one not in known and one.startswith(("vote", "count")))


def thresholds(found: Masks, request: MaskRequest, samples: Samples | None = None) -> tuple[float, float, float] | None:
    """Give the ends of the slider as powers of ten, and the threshold to begin with; None where nothing is compared.

    It begins at half of the largest value of the reduction that needs most, AND as a rule, so that all show something.
    """
    names = [name for name in request.reductions if (request.layer, name) in found.levels]
    # Where counts alone are asked for, they begin where the mask that is folded for their sake does.
    names = names or [name for layer, name in found.levels if layer == request.layer]
    levels = [found.levels[request.layer, name] for name in names]
    positive = [level[np.isfinite(level) & (level > 0)] for level in levels]
    shown = [values for values in positive if values.size]
    if not shown:
        return None
    # A count is above zero up to the largest value of all examples.
    largest = [values.max(0) for values in samples.values if len(values)] if samples is not None else []
    every = np.concatenate([*shown, *(values[values > 0] for values in largest)])
    top = float(np.ceil(10 * np.log10(every.max())) / 10)
    bottom = float(np.floor(10 * np.log10(np.quantile(every, LEAST))) / 10)
    span = float(np.clip(top - bottom, *DECADES))
    if found.criterion.cost:
        # It is relevant when it is small: there AND needs the largest threshold.
        return top - span, top, max(float(np.median(values)) for values in shown)
    return top - span, top, 0.5 * min(float(values.max()) for values in shown)


def _pooled(found: Masks) -> int:
    return int(found.classes[-1] == "all")


def _kept(found: Masks, rows: range) -> list[int]:
    """Add the row of all together."""
    return [*rows, *([len(found.classes) - 1] if _pooled(found) else [])]


def _rows(found: Masks, kept: list[int]) -> Masks:
    """Leave some rows."""
    if len(kept) == len(found.classes):
        return found
    pick = {name: tuple(getattr(found, name)[i] for i in kept) for name in ("classes", "names", "counts", "planned")}
    arrays = {name: array[kept] for name, array in found.arrays.items()}
    levels = {name: array[kept] for name, array in found.levels.items()}
    return replace(found, **pick, arrays=arrays, levels=levels)

"""How masks are read before they are drawn: scale and join of a semiring, kinds of layers, how many classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lrp_explorer.analyses.masks import Masks
from lrp_explorer.figures import mask_cells
from lrp_explorer.figures.scales import SIGNED, Scale
from lrp_explorer.panels import algebra

COLUMNS = 16
"""Classes drawn beside each other at most."""

SHARES = Scale("share of examples", mask_cells.SHARE.stops)


def deep(arrays: dict[str, np.ndarray]) -> bool:
    """Tell whether there are several channels of places."""
    return any(array.ndim == 4 and array.shape[1] > 1 and array.shape[2:] != (1, 1) for array in arrays.values())


def reading(semiring: str) -> tuple[Scale, str]:
    """Give the scale of a semiring's numbers, and how channels are joined."""
    if semiring == algebra.REAL:
        return SIGNED, "sum"
    if semiring == "boolean":
        return SHARES, "max"
    found = algebra.reading(semiring)
    return found.scale, next(iter(found.joins))


def narrowed(found: Masks) -> Masks:
    """Leave so many classes as can be drawn; the row of all together is the last one."""
    if len(found.classes) <= COLUMNS:
        return found
    kept = [*range(COLUMNS - 1), len(found.classes) - 1]
    pick = {name: tuple(getattr(found, name)[i] for i in kept) for name in ("classes", "names", "counts", "planned")}
    arrays = {name: array[kept] for name, array in found.arrays.items()}
    levels = {name: array[kept] for name, array in found.levels.items()}
    said = f"{COLUMNS} of {len(found.classes)} rows are drawn: choose classes to see others"
    return replace(found, **pick, arrays=arrays, levels=levels, notes=(*found.notes, said))

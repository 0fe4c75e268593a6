"""Masks of several classes brought to what can be drawn: one plane or one row of bars for each class and reduction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lrp_explorer.errors import InputError
from lrp_explorer.figures import layers
from lrp_explorer.figures.scales import STRENGTH, TRUTH, Scale

Kind = Literal["truth", "share", "number"]
KINDS: tuple[Kind, ...] = ("truth", "share", "number")
EXAMPLES = Scale("share of examples", STRENGTH.stops)
"""Of counts: from 0 to 1."""

PLACES = Scale("share of places", STRENGTH.stops)
"""Of truth values in the places of a channel: from 0 to 1."""

CELLS = 60_000
"""Values in one grid at most: more take a browser too long to paint twice a second."""

BARS = 64
"""Bars of a cell at most; one that stands for several neurons shows the strongest."""

LARGEST = float(np.finfo(np.float32).max)

JOINS = {"sum": np.nansum, "max": np.nanmax, "min": np.nanmin}


@dataclass(frozen=True)
class Cells:
    """Masks as cells of a grid.

    Attributes
    ----------
    names, counts : tuple
        Name of each class, and the examples behind it.
    reductions : tuple of str
        Those of truth values first, then shares, then numbers.
    kinds : tuple of str
        Of each reduction.
    values : tuple of ndarray of float32
        Of each reduction: ``(classes, height, width)``, or ``(classes, neurons)`` where `bars`; NaN: no value.
    scale : Scale
        Of the numbers; one for all of them.
    limit : float
        End of the numbers' colour range, which begins at −limit or 0.
    bars : bool
        Whether cells hold neurons or channels instead of places.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    reductions: tuple[str, ...]
    kinds: tuple[Kind, ...]
    values: tuple[np.ndarray, ...] = field(repr=False)
    scale: Scale
    limit: float
    bars: bool

    def scale_of(self, reduction: int) -> Scale:
        """Give quantity and colours of a reduction, by its place."""
        if self.kinds[reduction] == "share":
            return EXAMPLES if self.reductions[reduction] == "count" else PLACES
        return TRUTH if self.kinds[reduction] == "truth" else self.scale

    def limit_of(self, reduction: int) -> float:
        """Give the end of a reduction's colour range, by its place."""
        return self.limit if self.kinds[reduction] == "number" else 1.0

    def describe(self) -> str:
        """Say in words what the grid shows."""
        told = [f"{self.reductions[i]}: {self._told(i)}" for i in range(len(self.reductions))]
        return f"Masks of {len(self.names)} classes. " + "; ".join(told) + "."

    def _told(self, place: int) -> str:
        values = self.values[place]
        if self.kinds[place] == "truth":
            shares = np.nan_to_num(values).reshape(len(values), -1).mean(1)
            return ", ".join(f"{name} {share:.0%} relevant" for name, share in zip(self.names, shares, strict=True))
        some = values[~np.isnan(values)]
        return f"from {some.min():.3g} to {some.max():.3g}" if some.size else "no value yet"


def cells(
    masks: Mapping[str, np.ndarray],
    names: Sequence[str],
    counts: Sequence[int],
    scale: Scale,
    join: str = "sum",
    channels: bool = False,
) -> Cells:
    """Bring masks to cells.

    Parameters
    ----------
    masks : mapping
        Reduction → ``(classes, ...)`` of one layer, truth values or numbers; ``"count"`` is shown as a share of n.
    names, counts : sequence
        Name of each class, and the examples behind it.
    scale : Scale
        Quantity and colours of numbers; one in log₁₀ is given the numbers themselves.
    join : {"sum", "max", "min"}
        How numbers of several channels (or of the places of one channel) become one. Truth values are joined by OR;
        of a channel the share of its places is taken.
    channels : bool
        Show a bar for each channel instead of a map of places.

    Raises
    ------
    InputError
        If there is no mask, or one has not as many rows as there are names.
    """
    if not masks:
        raise InputError("there is no mask to draw; expected at least one reduction")
    found: dict[str, tuple[Kind, np.ndarray]] = {}
    for reduction, array in masks.items():
        if len(array) != len(names):
            raise InputError(f"{reduction!r} has {len(array)} rows; expected one for each of {len(names)} classes")
        kind: Kind = "truth" if array.dtype == bool else "share" if reduction == "count" else "number"
        if kind == "share":
            array = array / np.maximum(counts, 1).reshape(-1, *[1] * (array.ndim - 1))
        joined = _joined(array, kind, join, channels)
        # Of the places of a channel a share is relevant.
        found[reduction] = ("share" if kind == "truth" and joined.dtype != bool else kind), _shown(joined, kind, scale)
    order = sorted(found, key=lambda reduction: KINDS.index(found[reduction][0]))
    numbers = [found[reduction][1] for reduction in order if found[reduction][0] == "number"]
    limit = scale.limit(np.concatenate([array.reshape(-1) for array in numbers])) if numbers else 1.0
    return Cells(
        names=tuple(names),
        counts=tuple(counts),
        reductions=tuple(order),
        kinds=tuple(found[reduction][0] for reduction in order),
        values=tuple(np.clip(found[reduction][1], -LARGEST, LARGEST).astype(np.float32) for reduction in order),
        scale=scale,
        limit=limit,
        bars=found[order[0]][1].ndim == 2,
    )


def _joined(array: np.ndarray, kind: Kind, join: str, channels: bool) -> np.ndarray:
    """Join channels, or places, of ``(classes, ...)``."""
    shape = array.shape[1:]
    axis = layers.summed_axis(shape)
    if axis is None:
        return array.reshape(len(array), -1)
    if len(shape) == 2:
        # Tokens and their features: a bar for each token.
        axes: tuple[int, ...] = (2,)
    else:
        axes = tuple(i + 1 for i in range(3) if i != axis) if channels else (axis + 1,)
    if kind == "truth":
        return np.asarray(array.mean(axes) if channels and len(shape) == 3 else array.any(axes))
    with np.errstate(all="ignore"):
        empty = np.isnan(array).all(axes)
        # A class without examples has no number, not the sum of none.
        return np.where(empty, np.nan, JOINS[join](np.where(empty.reshape(_kept(array, axes)), 0, array), axis=axes))


def _kept(array: np.ndarray, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if axis in axes else size for axis, size in enumerate(array.shape))


def _shown(array: np.ndarray, kind: Kind, scale: Scale) -> np.ndarray:
    array = array.astype(np.float64)
    if kind != "number":
        return array
    if scale.quantity.startswith("log"):
        return np.log10(np.where(array > 0, array, np.nan))
    return np.where(np.isinf(array), np.nan, array) if scale.falling else array

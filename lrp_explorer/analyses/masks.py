"""Class-wise masks: what an aggregation over many examples gives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lrp_explorer.analyses.base import Group, State
from lrp_explorer.analyses.reductions import Reduction
from lrp_explorer.analyses.relevant import Criterion, checked_theta
from lrp_explorer.errors import InputError, NumericsError, unknown_name

ALL = "all"
SHOWN = 12
"""Rows that a repr tells of."""

Name = tuple[str, str]
"""Layer and reduction."""


@dataclass(frozen=True)
class Masks:
    """Relevance folded over the examples of each class.

    ``masks["mean"]`` is ``(len(masks.classes), *shape of one example at that layer)``; with several layers
    ``masks["conv1", "mean"]``, or ``masks.at_layer("conv1")["mean"]``. Where a class has no example yet, numbers are
    NaN, and nothing is relevant.

    Attributes
    ----------
    classes : tuple of int or "all"
        Class index of each row; ``"all"`` is the row of all examples together.
    names : tuple of str
        The same, for a reader.
    counts : tuple of int
        Examples behind each row.
    planned : tuple of int
        Examples behind each row once everything is done.
    layers, reductions : tuple of str
        What there is.
    arrays : mapping
        (layer, reduction) → array.
    levels : mapping
        (layer, reduction) → what has to reach a threshold for the mask to be true there; see `at`.
    criterion : Criterion
        When a neuron counts as relevant in one example, for AND, OR, count and vote.
    complete : bool
        Whether every planned example is done; False for what a cancelled run leaves.
    skipped_examples : tuple of int
        Index of each example left out because something in it was not finite.
    notes : tuple of str
        What is not exact, and what was done differently than asked.
    settings : mapping
        How it was computed: plain values.
    """

    classes: tuple[int | str, ...]
    names: tuple[str, ...]
    counts: tuple[int, ...]
    planned: tuple[int, ...]
    layers: tuple[str, ...]
    reductions: tuple[str, ...]
    arrays: Mapping[Name, np.ndarray] = field(repr=False)
    levels: Mapping[Name, np.ndarray] = field(repr=False)
    criterion: Criterion
    complete: bool = True
    skipped_examples: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def skipped(self) -> int:
        """Number of examples left out because something in them was not finite."""
        return len(self.skipped_examples)

    def __getitem__(self, name: str | Name) -> np.ndarray:
        if isinstance(name, str):
            name = self._only_layer(name), name
        if not isinstance(name, tuple) or len(name) != 2 or not all(isinstance(part, str) for part in name):
            raise InputError(f"masks are asked for {name!r}; expected a reduction, or a layer and a reduction")
        layer, reduction = name
        if layer not in self.layers:
            raise unknown_name("layer of these masks", layer, self.layers)
        reduction = reduction.replace(" ", "")
        if reduction not in self.reductions:
            raise unknown_name("reduction of these masks", reduction, self.reductions)
        return self.arrays[layer, reduction]

    def _only_layer(self, reduction: str) -> str:
        if len(self.layers) == 1:
            return self.layers[0]
        raise InputError(
            f"these masks have {len(self.layers)} layers: take masks[{self.layers[0]!r}, {reduction!r}], "
            f"or masks.at_layer(…)[{reduction!r}]; layers: {', '.join(self.layers)}"
        )

    def __repr__(self) -> str:
        rows = [f"{name}: {count}" for name, count in zip(self.names, self.counts, strict=True)]
        if len(rows) > SHOWN:
            rows[SHOWN - 1 : -1] = [f"… ({len(rows)} rows)"]
        state = "" if self.complete else "incomplete, "
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        what = f"{', '.join(self.reductions)} of {', '.join(self.layers)}"
        return f"Masks({state}{what}; examples {', '.join(rows)}{skipped})"

    def row(self, chosen: int | str) -> int:
        """Give the place of a class, by its index or name or ``"all"``, on the first axis of every array."""
        if isinstance(chosen, bool):
            raise InputError(f"class of these masks is {chosen!r}, but an index or a name is expected")
        if chosen in self.classes:
            return self.classes.index(chosen)
        if chosen in self.names:
            return self.names.index(str(chosen))
        raise unknown_name("class of these masks", chosen, map(str, self.classes))

    def at_layer(self, layer: str) -> Masks:
        """Give the masks of one layer alone."""
        if layer not in self.layers:
            raise unknown_name("layer of these masks", layer, self.layers)
        return self._restricted((layer,), self.reductions)

    def at(self, theta: float) -> Masks:
        """Give the AND, OR and vote masks at another threshold, without computing any relevance.

        Relevant in every example at θ is [min ≥ θ], in some example [max ≥ θ], in at least q·n of n [order statistic
        ≥ θ]. With `Bottleneck` these are the masks of Boolean relevance with this θ, for every θ > 0.

        Raises
        ------
        InputError
            If nothing here depends on a threshold: no AND, OR or vote was asked for, or relevance was Boolean.
        """
        checked = checked_theta(theta)
        if checked is None or not self.levels:
            raise InputError(
                f"theta is {theta!r}, but these masks know no thresholds: aggregate with reduce=('and', 'or') and a "
                "semiring of numbers (for votes: semiring='bottleneck')"
                if checked is not None
                else "theta is None; expected a number"
            )
        criterion = replace(self.criterion, theta=checked)
        # A row without examples has NaN for its level, and is nowhere relevant.
        arrays = {name: np.asarray(criterion(level)) for name, level in self.levels.items()}
        reductions = tuple(r for r in self.reductions if any(name[1] == r for name in arrays))
        return replace(self, arrays=arrays, criterion=criterion, reductions=reductions)

    def save(self, path: str | Path) -> None:
        """Write everything to a file; see `lrp_explorer.analyses.files.save`."""
        from lrp_explorer.analyses.files import save

        save(self, path)

    @staticmethod
    def load(path: str | Path) -> Masks:
        """Read what `save` has written; see `lrp_explorer.analyses.files.load`."""
        from lrp_explorer.analyses.files import load

        return load(path)

    def _restricted(self, layers: Iterable[str], reductions: Iterable[str]) -> Masks:
        layers, reductions = tuple(layers), tuple(reductions)
        chosen = {(layer, reduction) for layer in layers for reduction in reductions}
        return replace(
            self,
            layers=layers,
            reductions=reductions,
            arrays={name: array for name, array in self.arrays.items() if name in chosen},
            levels={name: array for name, array in self.levels.items() if name in chosen},
        )


@dataclass(frozen=True)
class Rows:
    """The rows that masks are to have.

    Attributes
    ----------
    classes : tuple of int
        Class index of each row.
    names : tuple of str
        Name of each class.
    planned : tuple of int
        Examples of each class.
    pooled : bool
        Whether a last row holds all examples together.
    """

    classes: tuple[int, ...]
    names: tuple[str, ...]
    planned: tuple[int, ...]
    pooled: bool


def finish(
    state: State, rows: Rows, reductions: Sequence[Reduction], settings: Mapping[str, Any], complete: bool = True
) -> Masks | None:
    """Turn what was folded so far into masks; None before the first example.

    Parameters
    ----------
    state : State
        It stays as it is.
    rows, reductions
        What the masks are to have.
    settings : mapping
        How it was computed.
    complete : bool
        Whether nothing is left to do.
    """
    if not state.groups:
        return None
    groups = [state.groups.get(chosen) for chosen in rows.classes]
    if rows.pooled:
        groups.append(state.pooled(rows.classes))
    counts = tuple(group.count if group else 0 for group in groups)
    arrays: dict[Name, np.ndarray] = {}
    levels: dict[Name, np.ndarray] = {}
    for layer in state.layout.layers:
        parts = [_parts(group, layer) for group in groups]
        for reduction in reductions:
            name = layer, reduction.name
            done = [reduction.finish(p, n) if n else None for p, n in zip(parts, counts, strict=True)]
            arrays[name] = _stacked(done, reduction.empty)
            level = [reduction.level(p, n) if n else None for p, n in zip(parts, counts, strict=True)]
            if any(array is not None for array in level):
                levels[name] = _stacked(level, math.nan)
    notes = dict.fromkeys(reduction.note(count) for reduction in reductions for count in counts) | state.notes
    notes |= {
        f"{name} of layer {layer!r} is NaN where relevance is infinite": None
        for layer, name in _undefined(arrays, counts)
    }
    return Masks(
        classes=(*rows.classes, *((ALL,) if rows.pooled else ())),
        names=(*rows.names, *((ALL,) if rows.pooled else ())),
        counts=counts,
        planned=(*rows.planned, *((sum(rows.planned),) if rows.pooled else ())),
        layers=state.layout.layers,
        reductions=tuple(reduction.name for reduction in reductions),
        arrays=arrays,
        levels=levels,
        criterion=reductions[0].criterion,
        complete=complete,
        skipped_examples=tuple(sorted(state.skipped)),
        notes=tuple(filter(None, notes)),
        settings=dict(settings),
    )


def _undefined(arrays: Mapping[Name, np.ndarray], counts: Sequence[int]) -> list[Name]:
    known = np.array(counts) > 0
    return [name for name, array in arrays.items() if array.dtype.kind == "f" and np.isnan(array[known]).any()]


def _parts(group: Group | None, layer: str) -> dict[Any, Any]:
    return {key: part for (name, key), part in group.parts.items() if name == layer} if group else {}


def _stacked(rows: Sequence[np.ndarray | None], empty: float) -> np.ndarray:
    known = next(row for row in rows if row is not None)
    # Truth values and whole numbers have no NaN: beside a class without examples, least and largest are numbers.
    lacks = math.isnan(empty) and known.dtype.kind in "biu"
    dtype = (np.float32 if known.dtype == bool else np.float64) if lacks else known.dtype
    return np.stack([np.full(known.shape, empty, dtype) if row is None else row for row in rows])


def check_finite(masks: Masks) -> None:
    """Raise `NumericsError` if a number of a class with examples is not finite, though all relevance was."""
    known = np.array(masks.counts) > 0
    for (layer, reduction), array in masks.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array[known]).all():
            raise NumericsError(
                f"the {reduction} of layer {layer!r} is beyond the range of float64, though the relevance of every "
                "example is not: leave this reduction out, or scale the relevance, e.g. by seed='one'"
            )

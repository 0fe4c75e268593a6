"""Monoids: what folds many examples into one answer, in any order and in any number of pieces.

An accumulator starts empty, adds batches, merges with another of its kind, and is finished by a reduction. Its memory
does not grow with the number of examples. Merging is associative, and the empty one changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.errors import DataError


class Accumulator(ABC):
    """Abstract: folds values of one layer over the examples of one class; a new one is empty."""

    @abstractmethod
    def add(self, values: Tensor, ids: Tensor) -> None:
        """Fold examples in.

        Parameters
        ----------
        values : Tensor
            Relevance ``(examples, ...)``, at least one example; it is not kept and not changed.
        ids : Tensor
            Index of each example in its data set, ``(examples,)``.
        """

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Fold in what another accumulator of the same kind has seen; the other one stays as it is."""


Key = tuple[Any, ...]
"""An accumulator's class and its arguments: equal keys are served by one accumulator."""


def make(key: Key) -> Accumulator:
    """Build the empty accumulator of a key."""
    kind, *arguments = key
    return kind(*arguments)


@dataclass(frozen=True)
class Layout:
    """What is folded: layers, and the accumulators that their reductions need together.

    Attributes
    ----------
    layers : tuple of str
        Names as the user gave them.
    keys : tuple
        Of the accumulators, each once.
    """

    layers: tuple[str, ...]
    keys: tuple[Key, ...]


class Group:
    """What is known of the examples of one class: their number, and every layer's accumulators."""

    def __init__(self, layout: Layout) -> None:
        self.count = 0
        self.parts = {(layer, key): make(key) for layer in layout.layers for key in layout.keys}

    def add(self, maps: Mapping[str, Tensor], ids: Tensor) -> None:
        """Fold examples in: layer → relevance ``(examples, ...)``."""
        self.count += len(ids)
        for (layer, _), part in self.parts.items():
            part.add(maps[layer], ids)

    def merge(self, other: Group) -> None:
        """Fold in what another group has seen."""
        self.count += other.count
        for name, part in self.parts.items():
            part.merge(other.parts[name])


class State:
    """The whole fold: a group for every class seen so far, and the examples left out.

    Attributes
    ----------
    groups : dict
        Class → what is known of its examples.
    skipped : list of int
        Examples left out.
    notes : dict
        What happened meanwhile, each once; values mean nothing.
    first : dict
        Layer → the first example seen, and the shape of its relevance, which all have to have.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.groups: dict[int, Group] = {}
        self.skipped: list[int] = []
        self.notes: dict[str, None] = {}
        self.first: dict[str, tuple[int, tuple[int, ...]]] = {}

    @property
    def count(self) -> int:
        """Number of examples folded in."""
        return sum(group.count for group in self.groups.values())

    def add(self, maps: Mapping[str, Tensor], classes: Tensor, ids: Tensor) -> None:
        """Fold a batch in.

        Parameters
        ----------
        maps : mapping
            Layer → relevance ``(batch, ...)``.
        classes, ids : Tensor
            Class and index of each example ``(batch,)``.

        Raises
        ------
        DataError
            If relevance differs in shape from that of the examples before; the message names the example.
        """
        for layer, values in maps.items():
            self._check(layer, int(ids[0]), tuple(values.shape[1:]))
        # NumPy has no bfloat16; float32 holds its values exactly.
        maps = {layer: v.float() if v.dtype == torch.bfloat16 else v for layer, v in maps.items()}
        places: dict[int, list[int]] = {}
        for place, chosen in enumerate(classes.tolist()):
            places.setdefault(chosen, []).append(place)
        for chosen, rows in sorted(places.items()):
            self._group(chosen).add({layer: _rows(v, rows) for layer, v in maps.items()}, _rows(ids, rows))

    def merge(self, other: State) -> None:
        """Fold in what another state has seen; raises `DataError` as `add` does."""
        for layer, (index, shape) in other.first.items():
            self._check(layer, index, shape)
        for chosen, group in other.groups.items():
            self._group(chosen).merge(group)
        self.skipped += other.skipped
        self.notes |= other.notes

    def pooled(self, classes: Iterable[int]) -> Group:
        """Give one group of all the examples of some classes."""
        total = Group(self.layout)
        for chosen in sorted(set(classes) & set(self.groups)):
            total.merge(self.groups[chosen])
        return total

    def _check(self, layer: str, index: int, shape: tuple[int, ...]) -> None:
        # Otherwise NumPy would broadcast one shape to the other where it can.
        first, known = self.first.setdefault(layer, (index, shape))
        if shape != known:
            raise DataError(
                f"example {index} has shape {shape} at layer {layer!r}, but example {first} has {known}; expected one "
                "shape: crop or resize while preprocessing"
            )

    def _group(self, chosen: int) -> Group:
        if chosen not in self.groups:
            self.groups[chosen] = Group(self.layout)
        return self.groups[chosen]


def _rows(values: Tensor, rows: list[int]) -> Tensor:
    # Rows in a run, as the examples of one class mostly are, need no copy.
    if rows[-1] - rows[0] == len(rows) - 1:
        return values[rows[0] : rows[-1] + 1]
    return values.index_select(0, torch.tensor(rows, device=values.device))


def merged(layout: Layout, states: Iterable[State]) -> State:
    """Merge states in their order into a new one."""
    total = State(layout)
    for state in states:
        total.merge(state)
    return total


def double(values: Tensor) -> Tensor:
    """Bring values to double precision; on the CPU where the device has none (Apple's MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).to(torch.float64)

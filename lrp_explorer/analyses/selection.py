"""Which examples are folded, for which class, in which batches and pieces: decided once, before anything is folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrp_explorer import zoo
from lrp_explorer.errors import DataError, InputError, unknown_name

PIECES = 16
"""A job has at least this many shards, if it has as many batches."""

LONGEST = 8
"""Batches of a shard at most."""


@dataclass(frozen=True)
class Batch:
    """Examples explained together: the index of each, and the class it is folded into."""

    ids: tuple[int, ...]
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Shard:
    """A piece of the job: batches that are folded one after the other. What is lost is computed again by shards."""

    batches: tuple[Batch, ...]

    def __len__(self) -> int:
        return sum(len(batch.ids) for batch in self.batches)


def shards(ids: Sequence[int], classes: Sequence[int], batch: int) -> list[Shard]:
    """Cut examples into batches and those into shards; the same for every runner, so that all add up alike."""
    batches = [
        Batch(tuple(map(int, ids[i : i + batch])), tuple(map(int, classes[i : i + batch])))
        for i in range(0, len(ids), batch)
    ]
    length = min(LONGEST, max(1, len(batches) // PIECES))
    return [Shard(tuple(batches[i : i + length])) for i in range(0, len(batches), length)]


def checked_classes(classes: Any, names: Sequence[str]) -> tuple[int, ...] | None:
    """Understand the classes that the user asked for, by index or by name; None stands for all.

    Raises
    ------
    InputError, UnknownNameError
        For anything that is neither, for a class asked for twice, and for none at all.
    """
    if classes is None:
        return None
    try:
        wanted = [classes] if isinstance(classes, (int, str, np.integer)) else list(classes)
    except TypeError:
        raise InputError(f"classes is {classes!r}; expected class indices or names, or None for every class") from None
    if not wanted:
        raise InputError("classes is empty; expected class indices or names, or None for every class")
    found = tuple(_index(one, names) for one in wanted)
    for place, one in enumerate(found):
        if one in found[:place]:
            raise InputError(f"classes names class {one} twice; expected each once")
    return found


def _index(one: Any, names: Sequence[str]) -> int:
    if isinstance(one, str) and not (one not in names and one.isdecimal()):
        if list(names).count(one) > 1:
            raise InputError(f"class {one!r} is the name of several classes; give the index")
        if one not in names:
            raise unknown_name("class", one, names, "An index is accepted, too.")
        return list(names).index(one)
    if isinstance(one, bool) or not isinstance(one, (int, str, np.integer)):
        raise InputError(f"classes holds {one!r}; expected class indices or names")
    index = int(one)
    if index < 0 or (names and index >= len(names)):
        raise InputError(
            f"class {index} is out of range: expected 0 to {len(names) - 1}"
            if names
            else f"class {index} is out of range: expected 0 or more"
        )
    return index


def checked_limit(limit: Any) -> int | None:
    """Return the number of examples of each class, or raise `InputError` if it is not at least 1."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 1:
        raise InputError(f"limit is {limit!r}; expected a whole number of examples of each class, at least 1, or None")
    return int(limit)


class Chooser:
    """Takes the first `limit` examples of every class, in the order of the data set.

    Parameters
    ----------
    classes : tuple of int or None
        Wanted classes; None: every one that has an example.
    limit : int or None
        Examples of each.
    possible : int
        Number of classes there can be, 0 where that is not known; when all are full, nothing more is looked at.
    """

    def __init__(self, classes: tuple[int, ...] | None, limit: int | None, possible: int) -> None:
        self.classes, self.limit = classes, limit
        known = range(possible) if classes is None else classes
        self._open = set(known) if limit and known else None
        self.chosen: dict[int, list[int]] = {one: [] for one in classes or ()}

    @property
    def full(self) -> bool:
        """Whether nothing more is needed."""
        return self._open is not None and not self._open

    def offer(self, index: int, chosen: int) -> None:
        """Take an example of class `chosen`, if one more is wanted."""
        if chosen == zoo.UNLABELLED or (self.classes is not None and chosen not in self.chosen):
            return
        taken = self.chosen.setdefault(chosen, [])
        if self.limit is None or len(taken) < self.limit:
            taken.append(index)
        if self._open is not None and len(taken) == self.limit:
            self._open.discard(chosen)

    def offer_all(self, labels: Sequence[int]) -> None:
        """Take what is wanted of a whole data set; as `offer` of each example, many times as fast."""
        known = np.asarray(labels, int)
        for one in np.unique(known).tolist():
            if one != zoo.UNLABELLED and (self.classes is None or one in self.chosen):
                self.chosen[one] = np.flatnonzero(known == one)[: self.limit].tolist()

    def rows(self, skipped: Sequence[int] = ()) -> dict[int, list[int]]:
        """Give class → chosen examples, in the order asked for, else by index.

        Parameters
        ----------
        skipped : sequence of int
            Examples that could not be offered, as their prediction is not finite.

        Raises
        ------
        DataError
            If a class that was asked for has no example, or no class has any.
        """
        left_out = (
            f"{len(skipped)} were left out, example {min(skipped)} the first, because something in them is not finite"
            if skipped
            else ""
        )
        for one in self.classes or ():
            if not self.chosen[one]:
                have = ", ".join(map(str, sorted(c for c, ids in self.chosen.items() if ids)))
                others = f" (of those asked for, {have} have)" if have else ""
                also = f"; while predicting, {left_out}" if left_out else ""
                raise DataError(
                    f"class {one} has no example to fold{others}: leave it out, or take other examples{also}"
                )
        if not self.chosen and left_out:
            raise DataError(
                f"no example is left: while predicting, {left_out}, and no other one belongs to a class that is asked "
                "for; check the data and the model"
            )
        if not self.chosen:
            raise DataError("no example belongs to a class: all are unlabelled, or only_correct left none")
        return {one: self.chosen[one] for one in self.classes or sorted(self.chosen)}


def interleaved(rows: dict[int, list[int]], batch: int) -> tuple[list[int], list[int]]:
    """Order examples so that all classes grow together; gives indices, and the class of each.

    At first a quarter of a batch is of one class, so that all are seen early; then all of it, which is folded faster.
    """
    first = max(1, batch // 4)
    ids = np.concatenate([np.asarray(of_one, int) for of_one in rows.values()])
    classes = np.repeat(list(rows), [len(of_one) for of_one in rows.values()])
    rank = np.concatenate([np.arange(len(of_one)) for of_one in rows.values()])
    turn = np.where(rank < first, 0, 1 + (rank - first) // batch)
    order = np.lexsort((rank, classes, turn))
    return ids[order].tolist(), classes[order].tolist()


def batch_size(shape: Iterable[int]) -> int:
    """Choose how many examples of a shape are explained together: 256 of MNIST, 13 of 3×224×224."""
    return max(1, min(256, 2_000_000 // max(1, int(np.prod(tuple(shape))))))

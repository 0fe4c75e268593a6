"""The mean image of each class: what masks are compared with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lrp_explorer.analyses.choosing import Choice
from lrp_explorer.analyses.masks import ALL
from lrp_explorer.analyses.selection import batch_size
from lrp_explorer.analyses.sources import batch_of, read
from lrp_explorer.errors import DataError, unknown_name


@dataclass(frozen=True)
class MeanImages:
    """Mean of the examples of each class, as the model reads them.

    Attributes
    ----------
    classes : tuple of int or "all"
        Class index of each row; the last one is always ``"all"``: every example of the other rows.
    counts : tuple of int
        Examples behind each row.
    values : ndarray of float64
        ``(rows, channels, height, width)``, in units of the model's input; NaN where no example is left.
    """

    classes: tuple[int | str, ...]
    counts: tuple[int, ...]
    values: np.ndarray = field(repr=False)

    def of(self, chosen: int | str) -> np.ndarray:
        """Give the mean image of a class, or of ``"all"``, ``(channels, height, width)``."""
        if chosen not in self.classes:
            raise unknown_name("class of these images", chosen, map(str, self.classes))
        return self.values[self.classes.index(chosen)]


def mean_images(
    dataset: Any, choice: Choice, check: Callable[[], None] = lambda: None, skipped: Collection[int] = ()
) -> MeanImages:
    """Average the examples that masks are folded from, summed in double precision.

    Parameters
    ----------
    dataset : data set
        ``dataset[i]`` is (preprocessed tensor, int label).
    choice : Choice
        Which examples: `Run.choice` of the masks.
    check : callable, optional
        Called between batches; may raise to give up.
    skipped : collection of int, optional
        Examples that the masks left out as not finite: their `Masks.skipped_examples`.

    Returns
    -------
    MeanImages

    Raises
    ------
    DataError
        If examples differ in shape, one cannot be read, or none is left.
    """
    left_out = frozenset(skipped)
    rows: dict[int, list[int]] = {one: [] for one in choice.rows.classes}
    for batch in (batch for shard in choice.shards for batch in shard.batches):
        for index, one in zip(batch.ids, batch.classes, strict=True):
            if index not in left_out:
                rows[one].append(index)
    first = next((ids[0] for ids in rows.values() if ids), None)
    if first is None:
        raise DataError(f"no example is left for a mean image: all {choice.total} are skipped; check the data")
    shape = tuple(read(dataset, [first])[0][0].shape)
    totals = [_total(dataset, ids, first, shape, check) for ids in rows.values()]
    counts = [len(ids) for ids in rows.values()]
    means = [total / count if count else np.full(shape, np.nan) for total, count in zip(totals, counts, strict=True)]
    pooled = sum(totals[1:], totals[0]) / sum(counts)
    return MeanImages((*rows, ALL), (*counts, sum(counts)), np.stack([*means, pooled]))


def _total(dataset: Any, ids: list[int], first: int, shape: tuple[int, ...], check: Callable[[], None]) -> np.ndarray:
    size = batch_size(shape)
    total = np.zeros(shape)
    for begin in range(0, len(ids), size):
        check()
        part = ids[begin : begin + size]
        # The first example of all stands for the shape that every one needs.
        known = [first] if part[0] != first else []
        x = batch_of(dataset, [*known, *part], None)[len(known) :]
        total = total + x.sum(0, dtype=torch.float64).numpy()
    return total

"""The mean image of each class: what masks are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lrp_explorer.analyses.choosing import Choice
from lrp_explorer.analyses.masks import ALL
from lrp_explorer.analyses.selection import batch_size
from lrp_explorer.analyses.sources import batch_of, read
from lrp_explorer.errors import unknown_name


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
        ``(rows, channels, height, width)``, in units of the model's input.
    """

    classes: tuple[int | str, ...]
    counts: tuple[int, ...]
    values: np.ndarray = field(repr=False)

    def of(self, chosen: int | str) -> np.ndarray:
        """Give the mean image of a class, or of ``"all"``, ``(channels, height, width)``."""
        if chosen not in self.classes:
            raise unknown_name("class of these images", chosen, map(str, self.classes))
        return self.values[self.classes.index(chosen)]


def mean_images(dataset: Any, choice: Choice, check: Callable[[], None] = lambda: None) -> MeanImages:
    """Average the examples that masks are folded from, summed in double precision.

    Parameters
    ----------
    dataset : data set
        ``dataset[i]`` is (preprocessed tensor, int label).
    choice : Choice
        Which examples: `Run.choice` of the masks.
    check : callable, optional
        Called between batches; may raise to give up.

    Returns
    -------
    MeanImages

    Raises
    ------
    DataError
        If examples differ in shape, or one cannot be read.
    """
    rows: dict[int, list[int]] = {one: [] for one in choice.rows.classes}
    for batch in (batch for shard in choice.shards for batch in shard.batches):
        for index, one in zip(batch.ids, batch.classes, strict=True):
            rows[one].append(index)
    totals = [_total(dataset, ids, check) for ids in rows.values()]
    counts = [len(ids) for ids in rows.values()]
    means = [total / count for total, count in zip(totals, counts, strict=True)]
    pooled = sum(totals[1:], totals[0]) / sum(counts)
    return MeanImages((*rows, ALL), (*counts, sum(counts)), np.stack([*means, pooled]))


def _total(dataset: Any, ids: list[int], check: Callable[[], None]) -> np.ndarray:
    size = batch_size(read(dataset, ids[:1])[0][0].shape)
    total: Any = 0.0
    for begin in range(0, len(ids), size):
        check()
        part = ids[begin : begin + size]
        # The first example stands for the shape that all of them need.
        known = ids[:1] if begin else []
        x = batch_of(dataset, [*known, *part], None)[len(known) :]
        total = total + x.sum(0, dtype=torch.float64).numpy()
    return total

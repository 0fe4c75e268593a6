"""The examples that a pass has kept: counts at any threshold, without computing relevance again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lrp_explorer.analyses.accumulators import Sample
from lrp_explorer.analyses.base import State
from lrp_explorer.analyses.masks import Rows
from lrp_explorer.analyses.reductions import SAMPLE
from lrp_explorer.analyses.relevant import Criterion, checked_theta


@dataclass(frozen=True)
class Samples:
    """Relevance in one layer of the examples of each class: all of them up to 2048, beyond that a uniform sample.

    Attributes
    ----------
    values : tuple of ndarray
        Of each class ``(examples kept, ...)``.
    counts : tuple of int
        Examples of each class that were folded.
    pooled : bool
        Whether a last row holds all classes together.
    criterion : Criterion
        When a neuron counts as relevant.
    """

    values: tuple[np.ndarray, ...] = field(repr=False)
    counts: tuple[int, ...]
    pooled: bool
    criterion: Criterion

    def relevant(self, theta: float) -> np.ndarray:
        """Count the examples in which each neuron is relevant at a threshold.

        Returns
        -------
        ndarray of int64
            ``(rows, ...)``, rows as in the masks. Exact for a class of at most 2048 examples; otherwise the share in
            the sample, times their number, rounded.
        """
        criterion = replace(self.criterion, theta=checked_theta(theta))
        rows = []
        for values, count in zip(self.values, self.counts, strict=True):
            hits = criterion(values).sum(0)
            rows.append(hits if count == len(values) else np.rint(hits * (count / len(values))).astype(np.int64))
        if self.pooled:
            rows.append(np.sum(rows, axis=0))
        return np.stack(rows)


def samples(state: State, rows: Rows, layer: str, criterion: Criterion) -> Samples | None:
    """Take what a state has kept of a layer; None where nothing was kept, or relevance is truth values."""
    parts = {one: group.parts.get((layer, (Sample, SAMPLE))) for one, group in state.groups.items()}
    known = {one: part.values.numpy() for one, part in parts.items() if isinstance(part, Sample)}
    if not known or any(values.dtype == bool for values in known.values()):
        return None
    none = next(iter(known.values()))[:0]
    return Samples(
        tuple(known.get(one, none) for one in rows.classes),
        tuple(state.groups[one].count if one in known else 0 for one in rows.classes),
        rows.pooled,
        criterion,
    )

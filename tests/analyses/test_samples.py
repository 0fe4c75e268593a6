"""Counts at any threshold from the examples that a pass keeps, against counting the relevance of each example."""

import numpy as np
import pytest

from lrp_explorer.analyses.aggregate import aggregate, prepare
from lrp_explorer.semirings import Bottleneck, Tropical

SETTINGS = {"composite": "epsilon-plus", "semiring": "bottleneck", "device": "cpu"}
REDUCE = ("count", "vote(1)")


@pytest.mark.parametrize("theta", [0.003, 0.02, 0.05])
@pytest.mark.parametrize("classes", [None, [8, 3]])
def test_counts_are_those_of_a_pass_at_that_threshold(model, digits, theta, classes):
    run = prepare(model, digits, classes=classes, limit=7, reduce=REDUCE, **SETTINGS)
    run.run()
    at = aggregate(model, digits, classes=classes, limit=7, reduce="count", theta=theta, progress=False, **SETTINGS)
    found = run.samples("input").relevant(theta)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, at["count"])
    assert 0 < found.sum() < found.size * 7


def test_of_a_part_of_the_examples_the_count_is_scaled(model, digits, monkeypatch):
    from lrp_explorer.analyses import reductions, samples

    monkeypatch.setattr(reductions, "SAMPLE", 16)
    monkeypatch.setattr(samples, "SAMPLE", 16)
    run = prepare(model, digits, classes=[3], reduce=REDUCE, **SETTINGS)
    masks = run.run()
    kept = run.samples("input")
    assert (len(kept.values[0]), kept.counts) == (16, masks.counts)
    found = kept.relevant(0.01)[0]
    np.testing.assert_array_equal(found, np.rint((kept.values[0] >= 0.01).mean(0) * masks.counts[0]))
    assert found.max() == masks.counts[0]


def test_costs_are_relevant_when_they_are_small(model, digits):
    run = prepare(model, digits, classes=[3], limit=5, **SETTINGS | {"semiring": Tropical(), "reduce": "quantile(0.5)"})
    run.run()
    kept = run.samples("input")
    theta = float(np.median(kept.values[0][np.isfinite(kept.values[0])]))
    np.testing.assert_array_equal(kept.relevant(theta)[0], (kept.values[0] <= theta).sum(0))


def test_there_are_none_where_none_are_kept(model, digits, tmp_path):
    run = prepare(model, digits, limit=2, reduce=("and", "count"), **SETTINGS)
    assert run.samples("input") is None
    run.run()
    assert run.samples("input") is None
    for _ in range(2):
        run = prepare(model, digits, limit=2, reduce=REDUCE, cache=tmp_path, **SETTINGS | {"semiring": Bottleneck()})
        run.run()
    assert run.progress.cached
    assert run.samples("input") is None

"""Masks are of one model: one that changes between two batches is told, and never kept."""

import copy

import pytest
import torch
from refusals import refused

from lrp_explorer.analyses.aggregate import prepare
from lrp_explorer.errors import InputError

SETTINGS = {"reduce": "mean", "batch": 16, "device": "cpu"}


@pytest.fixture
def own(model):
    return copy.deepcopy(model)


def halfway(own, digits, **more):
    """A run that was cancelled after a hundred examples."""
    run = prepare(own, digits, **SETTINGS, **more)
    cancelled = []

    def once(run):
        if not cancelled and run.progress.done > 100:
            cancelled.append(run.progress.done)
            run.cancel()

    run.listen(once, every=0.0)
    masks = run.run()
    assert not masks.complete
    assert 100 < masks.counts[-1] < len(digits)
    return run


def test_a_change_while_a_run_rests_is_told(own, digits, tmp_path):
    run = halfway(own, digits, cache=tmp_path)
    with torch.no_grad():
        next(own.parameters()).mul_(3)
    run.resume()
    with refused(InputError, "changed", "aggregate again"):
        run.result(60)
    assert run.progress.phase == "failed"
    assert not list(tmp_path.glob("*.safetensors"))


def test_an_unchanged_model_goes_on(own, digits):
    run = halfway(own, digits)
    run.resume()
    assert run.result(60).complete

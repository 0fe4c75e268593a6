"""Finished masks are kept under everything that decides them: what is equal is found again, what differs is not."""

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import lrp_explorer as lrp
from lrp_explorer import semirings
from lrp_explorer.analyses.aggregate import aggregate, prepare
from lrp_explorer.analyses.runners import Serial
from lrp_explorer.analyses.store import model_digest
from lrp_explorer.rules import Epsilon


class Counted(Serial):
    """Counts the shards that are really computed."""

    def __init__(self):
        self.shards = 0

    def map(self, job, task, shards, control):
        for result in super().map(job, task, shards, control):
            self.shards += task == "fold"
            yield result


@pytest.fixture
def fold(model, digits, tmp_path):
    """Fold with a cache, and tell whether anything was computed."""

    def call(model=model, data=digits, **settings):
        runner = Counted()
        named = {"limit": 3, "device": "cpu", "cache": tmp_path / "kept", "progress": False, "runner": runner}
        masks = aggregate(model, data, **named | settings)
        return masks, runner.shards > 0

    return call


def test_the_same_question_is_answered_from_disk(fold, model, digits):
    first, computed = fold()
    assert computed
    again, computed = fold(copy.deepcopy(model), digits)
    assert not computed
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])
    assert again.counts == first.counts
    assert again.complete


def test_progress_tells_that_nothing_was_computed(model, digits, tmp_path):
    for cached in (False, True):
        run = prepare(model, digits, limit=2, cache=tmp_path)
        run.run()
        assert run.progress.cached == cached
        assert run.progress.done == run.progress.total == 20


@dataclass(frozen=True)
class Own(Epsilon):
    """A rule of the user's own."""


CHANGES = {
    "limit": {"limit": 4},
    "classes": {"classes": [1, 2]},
    "order of classes": {"classes": [2, 1]},
    "layer": {"layer": "conv2"},
    "reductions": {"reduce": ("mean",)},
    "threshold": {"theta": 0.1},
    "composite": {"composite": lrp.composites.EpsilonPlus()},
    "parameter": {"composite": lrp.composites.EpsilonPlusFlat(epsilon=1e-3)},
    "override": {"composite": lrp.composites.EpsilonPlusFlat().override({"conv2": Epsilon(0.1)})},
    "seed": {"seed": "one"},
    "target": {"target": "prediction"},
    "batch": {"batch": 5},
    "skipping": {"skip_nonfinite": True},
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_decides_the_result_is_in_the_key(fold, what):
    fold()
    assert fold(**CHANGES[what])[1]
    assert not fold(**CHANGES[what])[1]
    assert not fold()[1]


def test_weights_bounds_and_structure_are_in_the_key(fold, model):
    fold()
    changed = copy.deepcopy(model)
    with torch.no_grad():
        next(changed.parameters())[0, 0, 0, 0] += 1e-3
    assert fold(changed)[1]
    pooled = copy.deepcopy(model)
    pooled.pool2 = torch.nn.AvgPool2d(2).eval()
    assert fold(pooled)[1]
    bounded = copy.deepcopy(model)
    vars(bounded)["input_bounds"] = ((-1.0,), (1.0,))
    assert fold(bounded)[1]


def test_the_content_of_the_examples_is_in_the_key(fold, model, digits):
    x = torch.stack([digits[i][0] for i in range(60)])
    labels = torch.tensor(digits.labels[:60])
    assert fold(data=TensorDataset(x, labels))[1]
    assert not fold(data=TensorDataset(x.clone(), labels.clone()))[1]
    other = x.clone()
    other[0, 0, 3, 3] += 1e-3
    assert fold(data=TensorDataset(other, labels))[1]
    named = lrp.load_dataset("digits", card=model.card)
    fold(data=named)
    assert not fold(data=named)[1]
    values = named.examples.values.copy()
    values[0, 3, 3] ^= 1
    named.examples = replace(named.examples, values=values)
    assert fold(data=named)[1]


class Normalised(nn.Sequential):
    """A batch norm in front of a dense layer, which the engine folds into that."""

    def __init__(self, eps: float) -> None:
        super().__init__(nn.Flatten(), nn.BatchNorm1d(784, eps), nn.Linear(784, 10))
        torch.manual_seed(0)
        nn.init.normal_(self[2].weight)
        nn.init.zeros_(self[2].bias)
        self.eval()


def test_what_is_folded_into_a_layer_is_in_the_key(fold, digits):
    one, other = Normalised(1e-5), Normalised(1e-3)
    x = digits[0][0][None]
    graph = lrp.Session(one, x, "cpu").graph
    assert [node.name for node in graph if node.before]
    assert model_digest(one, graph) == model_digest(Normalised(1e-5), lrp.Session(Normalised(1e-5), x, "cpu").graph)
    assert model_digest(one, graph) != model_digest(other, lrp.Session(other, x, "cpu").graph)
    first, _ = fold(one)
    second, computed = fold(other)
    assert computed
    assert np.abs(first["mean"] - second["mean"]).max() > 1e-6


def test_rules_whose_code_is_not_known_are_not_kept(fold):
    own = lrp.composites.EpsilonPlusFlat().override({"conv2": Own(0.1)})
    for _ in range(2):
        with pytest.warns(UserWarning, match="not cached: .*Own is not of this package"):
            assert fold(composite=own)[1]


def test_a_semiring_of_ones_own_is_not_known_by_its_name(fold):
    """What is registered under a name may be defined anew, so the name says nothing of what it computes."""

    @dataclass(frozen=True)
    class Mine(semirings.Bottleneck):
        name: ClassVar[str] = "mine-and-not-kept"

    semirings.register(Mine)
    for _ in range(2):
        with pytest.warns(UserWarning, match="not cached: .*Mine is not of this package"):
            masks, computed = fold(semiring="mine-and-not-kept")
        assert computed
        assert masks.settings["semiring"] == "mine-and-not-kept"


def test_bounds_given_as_tensors_are_in_the_key(fold):
    def boxed(high):
        return lrp.composites.EpsilonGammaBox(low=torch.zeros(1), high=torch.full((1,), high))

    assert fold(composite=boxed(1.0))[1]
    assert not fold(composite=boxed(1.0))[1]
    assert fold(composite=boxed(1.5))[1]


def test_threads_are_in_the_key_as_the_runner_has_them(fold, one_thread):
    """The last bits depend on them."""
    assert fold()[1]
    torch.set_num_threads(2)
    assert fold()[1]
    torch.set_num_threads(1)
    assert not fold()[1]


def test_a_damaged_entry_is_computed_again_and_told_of(fold, tmp_path):
    fold()
    for path in (tmp_path / "kept").glob("*.safetensors"):
        path.write_bytes(b"x")
    with pytest.warns(UserWarning, match="computed again"):
        assert fold()[1]
    assert not fold()[1]


def test_what_is_cancelled_is_not_kept(fold, model, digits, tmp_path):
    run = prepare(model, digits, limit=3, device="cpu", batch=5, cache=tmp_path / "kept")
    run.listen(lambda run: run.cancel() if run.progress.done else None, every=0.0)
    assert not run.run().complete
    assert fold(batch=5)[1]


def test_a_cache_that_cannot_be_written_costs_no_result(model, digits, tmp_path):
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, old[1]))
    try:
        with pytest.warns(UserWarning, match="not cached"):
            masks = aggregate(model, digits, limit=1, cache=tmp_path, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert masks.complete
    assert list(tmp_path.iterdir()) == []

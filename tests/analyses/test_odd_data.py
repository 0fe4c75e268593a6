"""Data sets, thresholds and folders that are not as most are: the right answer, or an error of the house."""

import json
import math
import os
import warnings
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn

from lrp_explorer.analyses.aggregate import aggregate, prepare
from lrp_explorer.analyses.base import Layout, State, merged
from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.mean_image import mean_images
from lrp_explorer.analyses.reductions import accumulators, parse
from lrp_explorer.analyses.relevant import Criterion, checked_theta
from lrp_explorer.analyses.sources import batch_of, quick
from lrp_explorer.errors import DataError, InputError, UnknownNameError
from lrp_explorer.zoo import ImageDataset


class Listed:
    """Examples and labels in lists."""

    def __init__(self, x: Any, labels: Any) -> None:
        self.x, self.labels = x, labels

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.labels[index]


def small(seed=0, count=12, classes=3):
    generator = torch.Generator().manual_seed(seed)
    return Listed(torch.rand(count, 1, 4, 4, generator=generator), [i % classes for i in range(count)])


@pytest.fixture
def dense():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def fold(model, data, **settings):
    return aggregate(model, data, **{"progress": False, "device": "cpu", **settings})


# A data set's own attributes


@pytest.mark.parametrize(
    "own",
    [
        True,
        lambda: None,
        lambda indices: torch.zeros(1, 1, 4, 4),
        lambda indices: torch.rand(len(indices), 1, 4, 4).flip(0),
        lambda indices: np.stack([0 for _ in indices]).missing,
    ],
)
def test_an_attribute_of_that_name_is_not_the_zoos(own):
    data = small()
    data.stacked = own
    assert torch.equal(batch_of(data, [3, 1, 2], None), data.x[[3, 1, 2]])
    assert quick(data) is False


class Faulty(ImageDataset):
    """A data set of the zoo whose batches go wrong."""

    def __init__(self, data, whole):
        self.labels, self.x, self.whole = data.labels, data.x, whole

    def __getitem__(self, index):
        if index == 7:
            raise OSError("the disk is gone")
        return self.x[index], self.labels[index]

    def __getitems__(self, indices):
        return [self[index] for index in indices]

    def stacked(self, indices):
        return self.whole(self.x[list(indices)])


def raising(x):
    raise RuntimeError("not today")


@pytest.mark.parametrize(("whole", "fast"), [(raising, False), (lambda x: x[:1], True), (lambda x: "nothing", False)])
def test_a_batch_of_the_zoo_that_goes_wrong_is_read_one_by_one(whole, fast):
    data = Faulty(small(), whole)
    assert torch.equal(batch_of(data, [3, 1], None), data.x[[3, 1]])
    assert quick(data) is fast
    with refused(DataError, "example 7", "the disk is gone"):
        batch_of(data, [3, 7], None)


# Shapes


@pytest.mark.parametrize("reduce", ["and", "min", "mean", "std", "count", "quantile(0.5)"])
def test_shapes_that_differ_from_batch_to_batch_are_told(reduce):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    data = Listed([torch.rand(1, 8, 8), torch.rand(1, 8, 8), torch.rand(1, 1, 8)], [0, 1, 0])
    with refused(DataError, "example 2", r"\(1, 1, 8\)", "example 0", r"\(1, 8, 8\)"):
        fold(model, data, batch=1, reduce=reduce)
    # Where all are of one shape, they are folded as they are.
    assert fold(model, data, batch=1, reduce=reduce, layer="2").counts == (2, 1, 3)


def test_shapes_that_differ_from_state_to_state_are_told():
    layout = Layout(("input",), accumulators(parse(("mean", "and"), Criterion())))
    states = [State(layout) for _ in range(3)]
    for index, (state, shape) in enumerate(zip(states, [(4, 4), (4, 4), (1, 4)], strict=True)):
        state.add({"input": torch.rand(1, *shape)}, torch.tensor([index]), torch.tensor([10 + index]))
    assert merged(layout, states[:2]).count == 2
    with refused(DataError, "example 12", r"\(1, 4\)", "example 10", r"\(4, 4\)"):
        merged(layout, states)


# Thresholds

EXTREME = [1e-50, 1e-46, 1e-40, 5e-8, 1e-3, 0.1, 0.5, 7e4, 1e39, 1e300]


@pytest.mark.parametrize("cost", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_threshold_is_compared_exactly(dtype, cost):
    info = torch.finfo(dtype)
    sizes = [0.0, info.smallest_normal, info.max, *EXTREME]
    near = torch.tensor([sign * size for size in sizes for sign in (1, -1)], dtype=torch.float64).to(dtype)
    up, down = (torch.nextafter(near, torch.full_like(near, side)) for side in (math.inf, -math.inf))
    values = torch.cat([near, up, down, torch.tensor([math.nan, math.inf, -math.inf], dtype=dtype)])
    numbers = values.double().tolist()
    for theta in [sign * size for size in [0.0, *EXTREME] for sign in (1, -1)]:
        wanted = [
            not math.isnan(v) and (_order(v) <= _order(theta) if cost else _order(v) >= _order(theta)) for v in numbers
        ]
        criterion = Criterion(theta, cost)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert criterion(values).tolist() == wanted
            if dtype != torch.bfloat16:
                assert criterion(values.numpy()).tolist() == wanted


def _order(value):
    """Exact, and with the infinities at the ends."""
    return (math.copysign(1, value), 0) if math.isinf(value) else (0, Fraction(value))


def test_whole_numbers_are_compared_as_they_are():
    values = torch.tensor([0, 1, 2])
    assert Criterion(1.5)(values).tolist() == Criterion(1.5)(values.numpy()).tolist() == [False, False, True]


def test_masks_at_a_threshold_below_all_numbers(dense):
    masks = fold(dense, small(), semiring="bottleneck", composite="epsilon-plus", reduce=("max", "or"))
    np.testing.assert_array_equal(masks.at(1e-50)["or"], masks["max"] > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not masks.at(1e300)["or"].any()


# Examples that are not finite


@pytest.fixture
def holed():
    data = small()
    data.x[0], data.x[4, 0, 1, 1] = math.inf, math.nan
    return data


def test_mean_images_leave_out_what_the_masks_leave_out(dense, holed):
    run = prepare(dense, holed, reduce="mean", device="cpu", skip_nonfinite=True)
    masks = run.run()
    assert masks.skipped_examples == (0, 4)
    images = mean_images(holed, run.choice, skipped=masks.skipped_examples)
    assert (images.classes, images.counts) == (masks.classes, masks.counts)
    for chosen in range(3):
        ids = [i for i in range(12) if i % 3 == chosen and i not in (0, 4)]
        np.testing.assert_allclose(images.of(chosen), holed.x[ids].double().mean(0), rtol=1e-12)
    np.testing.assert_allclose(images.of("all"), holed.x[[i for i in range(12) if i not in (0, 4)]].double().mean(0))


def test_a_class_of_which_nothing_is_left_has_no_mean_image(dense):
    data = small()
    run = prepare(dense, data, reduce="mean", device="cpu")
    run.run()
    images = mean_images(data, run.choice, skipped=range(0, 12, 3))
    assert images.counts == (0, 4, 4, 8)
    assert np.isnan(images.of(0)).all()
    np.testing.assert_allclose(images.of("all"), data.x[[i for i in range(12) if i % 3]].double().mean(0))
    with refused(DataError, "no example is left"):
        mean_images(data, run.choice, skipped=range(12))


@pytest.mark.parametrize("settings", [{"target": "prediction"}, {"only_correct": True}])
def test_it_is_told_when_all_are_left_out_while_predicting(dense, settings):
    data = small()
    data.x[:] = math.nan
    with refused(DataError, "12 were left out", "example 0", "not finite") as caught:
        fold(dense, data, skip_nonfinite=True, **settings)
    assert "unlabelled" not in str(caught.value)


def test_a_class_of_which_all_are_left_out_while_predicting(dense):
    data = small()
    data.x[1::3] = math.nan
    with refused(DataError, "class 1 has no example", "4 were left out", "example 1"):
        fold(dense, data, skip_nonfinite=True, only_correct=True, classes=1)


# What is asked for


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classes": 1.5}, ["classes is 1.5"]),
        ({"classes": torch.tensor(1)}, ["classes is", "indices or names"]),
        ({"reduce": None}, ["reduce is None"]),
        ({"layer": None}, ["layer is None"]),
        ({"layer": 5}, ["layer is 5"]),
        ({"layer": ["input", 5]}, ["layer is", "5"]),
        ({"cache": 5}, ["cache is 5"]),
        ({"cache": "\0"}, ["cache is"]),
        ({"theta": 10**5000}, ["theta is beyond", "finite"]),
    ],
)
def test_what_cannot_be_meant_is_refused(dense, settings, words):
    with refused(InputError, *words):
        fold(dense, small(), **settings)


@pytest.mark.parametrize("name", [5, None, ("input", 5), ("input", "mean", "mean"), (5, "mean")])
def test_masks_are_asked_for_by_name(dense, name):
    masks = fold(dense, small(), reduce="mean")
    with pytest.raises((InputError, UnknownNameError), match=r"5|None|mean"):
        masks[name]


@pytest.mark.parametrize("digit", ["²", "①"])
def test_a_digit_that_is_no_number_is_an_unknown_name(dense, digit):
    with pytest.raises(UnknownNameError, match=digit):
        fold(dense, small(), classes=[digit])


@pytest.mark.parametrize("wrap", [list, lambda labels: np.array(labels, object), lambda labels: np.array(labels, "u8")])
def test_a_label_beyond_all_indices_is_named(dense, wrap):
    data = small()
    data.labels = wrap([*data.labels[:5], 2**63, *data.labels[6:]])
    with refused(DataError, "example 5", str(2**63)):
        fold(dense, data)


def test_a_huge_threshold_is_refused():
    with refused(InputError, "theta is beyond"):
        checked_theta(10**400)


def test_a_closed_cluster_is_told(dense):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        client = distributed.Client(cluster)
        run = prepare(dense, small(), runner=client, device="cpu")
        client.close()
        with refused(InputError, "client is closed"):
            prepare(dense, small(), runner=client, device="cpu")
        with refused(InputError, "client is closed"):
            run.run()


# Files


@pytest.fixture
def saved(dense, tmp_path):
    masks = fold(dense, small(), reduce=("mean", "and"))
    masks.save(tmp_path / "kept.safetensors")
    return masks, tmp_path / "kept.safetensors"


def drop(entries, kind):
    return [entry for entry in entries if entry["kind"] != kind]


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: {"counts": facts["counts"][:2]},
        lambda facts: {"planned": [*facts["planned"], 1]},
        lambda facts: {"names": None},
        lambda facts: {"names": [None] * len(facts["names"])},
        lambda facts: {"names": "abcd"},
        lambda facts: {"counts": ["4"] * len(facts["counts"])},
        lambda facts: {"skipped_examples": None},
        lambda facts: {"notes": None},
        lambda facts: {"settings": None},
        lambda facts: {"complete": None},
        lambda facts: {"arrays": []},
        lambda facts: {"arrays": drop(facts["arrays"], "arrays")},
        lambda facts: {"layers": ["input", "1"]},
        lambda facts: {"layers": []},
        lambda facts: {"reductions": ["mean"]},
        lambda facts: {"criterion": {"theta": "high", "cost": False}},
        lambda facts: {"criterion": {"theta": 0.5, "cost": None}},
    ],
)
def test_files_that_contradict_themselves_are_refused(saved, change):
    path = saved[1]
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    path.with_suffix(".json").write_text(json.dumps(facts | change(facts)), encoding="utf-8")
    with refused(DataError, "kept.safetensors", "damaged"):
        Masks.load(path)


def test_what_is_saved_is_not_taken_for_damaged(saved, dense, tmp_path):
    masks = fold(dense, small(), reduce=("mean", "and", "vote(0.5)"), layer=("input", "1"), semiring="bottleneck")
    for number, one in enumerate((masks, masks.at(0.1), masks.at_layer("1"), replace(saved[0], complete=False))):
        one.save(tmp_path / f"{number}.safetensors")
        again = Masks.load(tmp_path / f"{number}.safetensors")
        assert (again.counts, again.reductions, again.levels.keys()) == (one.counts, one.reductions, one.levels.keys())


def test_brackets_without_end_are_damage_like_any_other(saved):
    saved[1].with_suffix(".json").write_text("[" * 100_000)
    with refused(DataError, "is no JSON"):
        Masks.load(saved[1])


def test_a_name_too_long_for_any_file(saved, tmp_path):
    with refused(DataError, "could not be written"):
        saved[0].save(tmp_path / f"{'n' * 300}.safetensors")
    with refused(DataError, "cannot be read"):
        Masks.load(tmp_path / f"{'n' * 300}.safetensors")


def test_a_name_that_is_none(saved, tmp_path):
    with refused(InputError, "file name"):
        saved[0].save(tmp_path / "n\0n.safetensors")
    with refused(InputError, "file name"):
        Masks.load(tmp_path / "n\0n.safetensors")


@pytest.mark.skipif(not hasattr(os, "pathconf"), reason="a limit of POSIX")
def test_a_cache_in_which_no_file_can_be_looked_for(dense, tmp_path):
    longest = min(os.pathconf(tmp_path, "PC_PATH_MAX"), 4096)
    place = str(tmp_path)
    while len(place) < longest - 40:
        place = os.path.join(place, "d" * min(200, longest - 20 - len(place)))
    with pytest.warns(UserWarning, match="cannot be read"), pytest.warns(UserWarning, match="not cached"):
        masks = fold(dense, small(), reduce="mean", cache=place)
    assert masks.complete


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do everything")
def test_a_cache_that_may_not_be_entered(dense, tmp_path):
    tmp_path.chmod(0o600)
    try:
        with pytest.warns(UserWarning, match="cannot be read"), pytest.warns(UserWarning, match="not cached"):
            masks = fold(dense, small(), reduce="mean", cache=tmp_path)
        with refused(DataError, "could not be written"):
            masks.save(tmp_path / "kept.safetensors")
    finally:
        tmp_path.chmod(0o700)
    assert masks.complete


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("links", [True, False])
def test_two_files_are_both_new_or_both_old(saved, dense, tmp_path, monkeypatch, error, before, links):
    place = tmp_path / "apart"
    place.mkdir()
    path = place / "kept.safetensors"
    if before:
        saved[0].save(path)
    old = {one.name: one.read_bytes() for one in place.iterdir()}
    new = fold(dense, small(seed=1), reduce=("mean", "and"))

    replace_file = os.replace

    def refuse(source, target):
        if str(target).endswith(".json"):
            raise error
        replace_file(source, target)

    def no_link(*arguments, **settings):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "replace", refuse)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises((DataError, KeyboardInterrupt)):
        new.save(path)
    monkeypatch.undo()
    assert {one.name: one.read_bytes() for one in place.iterdir()} == old
    new.save(path)
    assert sorted(one.name for one in place.iterdir()) == ["kept.json", "kept.safetensors"]
    np.testing.assert_array_equal(Masks.load(path)["mean"], new["mean"])

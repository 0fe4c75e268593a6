"""Masks that were interrupted: the same call goes on from what was done, to the same bits."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from lrp_explorer.analyses import unfinished
from lrp_explorer.analyses.aggregate import aggregate
from lrp_explorer.analyses.files import load
from lrp_explorer.analyses.runners import Serial
from lrp_explorer.errors import DataError

SETTINGS = {
    "reduce": ("and", "or", "min", "max", "mean", "std", "count", "quantile(0.5)", "vote(0.5)"),
    "layer": ("input", "1"),
    "batch": 2,
    "device": "cpu",
    "progress": False,
}
MADE = """
import sys, time, torch
from torch import nn
torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
data = [(torch.rand(1, 4, 4), i % 3) for i in range(96)]
"""
KILLED = f"""{MADE}
from lrp_explorer.analyses import unfinished
from lrp_explorer.analyses.aggregate import aggregate
unfinished.EVERY = 0.0
class Slow(list):
    def __getitem__(self, index):
        time.sleep(0.02 if folding else 0)
        return super().__getitem__(index)
folding = True
aggregate(model, Slow(data), cache=sys.argv[1], **{SETTINGS!r})
"""


class Counted(Serial):
    """Counts the shards that are really folded, and may be stopped after some of them."""

    def __init__(self, last=None):
        self.shards, self.last = 0, last

    def map(self, job, task, shards, control):
        for result in super().map(job, task, shards, control):
            if self.shards == self.last:
                raise KeyboardInterrupt
            self.shards += 1
            yield result


@pytest.fixture
def made():
    before = torch.get_num_threads()
    names = {}
    exec(MADE, names)
    yield names["model"], names["data"]
    torch.set_num_threads(before)


def same(one, other):
    assert one.complete
    assert other.complete
    assert one.counts == other.counts
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        assert array.tobytes() == other.arrays[name].tobytes(), name


def fold(made, cache=None, last=None, **settings):
    runner = Counted(last)
    return aggregate(*made, **SETTINGS | settings, cache=cache, runner=runner), runner.shards


def test_a_killed_process_is_gone_on_from(made, tmp_path):
    whole, shards = fold(made)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    deadline = time.monotonic() + 120
    try:
        while not list(tmp_path.glob("*.unfinished")):
            assert process.poll() is None, "it has ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    rest, computed = fold(made, tmp_path)
    assert 0 < computed < shards
    same(whole, rest)
    assert not list(tmp_path.glob("*.unfinished"))
    again, computed = fold(made, tmp_path)
    assert computed == 0
    same(whole, again)


@pytest.mark.parametrize(("last", "semiring"), [(1, "real"), (15, "real"), (7, "bottleneck"), (7, "boolean")])
def test_an_interrupted_call_keeps_what_is_done(made, tmp_path, last, semiring):
    composite = "epsilon-plus"
    whole, shards = fold(made, semiring=semiring, composite=composite)
    with pytest.raises(KeyboardInterrupt):
        fold(made, tmp_path, last, semiring=semiring, composite=composite)
    rest, computed = fold(made, tmp_path, semiring=semiring, composite=composite)
    assert computed == shards - last
    same(whole, rest)


def test_a_stopped_call_is_gone_on_from_more_than_once(made, tmp_path):
    whole, shards = fold(made)
    done = 0
    for _ in range(3):
        counted = Counted()
        part = aggregate(*made, **SETTINGS, cache=tmp_path, runner=counted, should_stop=lambda: counted.shards >= 4)  # noqa: B023
        assert not part.complete
        done += counted.shards
        assert part.counts[-1] >= 6 * done
    rest, computed = fold(made, tmp_path)
    assert computed == shards - done
    same(whole, rest)


def test_examples_left_out_and_notes_are_kept(made, tmp_path):
    model, data = made
    data[0] = (data[0][0] * np.nan, 0)
    with pytest.raises(KeyboardInterrupt):
        fold((model, data), tmp_path, 5, skip_nonfinite=True)
    rest, _ = fold((model, data), tmp_path, skip_nonfinite=True)
    assert rest.skipped_examples == (0,)
    same(fold((model, data), skip_nonfinite=True)[0], rest)


def test_another_question_begins_anew(made, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fold(made, tmp_path, 5)
    _, computed = fold(made, tmp_path, reduce=("mean",))
    assert computed == 16
    assert len(list(tmp_path.glob("*.unfinished"))) == 1


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"", lambda content: content[::-1]])
def test_damage_is_told_and_computed_anew(made, tmp_path, damage):
    whole, shards = fold(made)
    with pytest.raises(KeyboardInterrupt):
        fold(made, tmp_path, 5)
    path = next(tmp_path.glob("*.unfinished"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="is damaged: masks are computed anew"):
        rest, computed = fold(made, tmp_path)
    assert computed == shards
    same(whole, rest)


def test_a_full_disk_is_told_once_and_ends_nothing(made, tmp_path, monkeypatch):
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.warns(UserWarning, match="not kept") as told:
            masks, _ = fold(made, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    same(fold(made)[0], masks)
    said = [str(one.message) for one in told]
    assert sum("what is done of the masks is not kept" in one for one in said) == 1
    assert sum("the masks are not cached" in one for one in said) == 1
    assert not list(tmp_path.iterdir())


# The facts of finished masks


@pytest.fixture
def saved(made, tmp_path):
    masks, _ = fold(made, reduce=("mean",))
    masks.save(tmp_path / "kept.safetensors")
    return masks, tmp_path / "kept.safetensors"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"model": "Sequential"', '"model": "Another"'),
        ('"complete": true', '"complete": false'),
        ('"theta": null', '"theta": 0.5'),
        ('"0",', '"dog",'),
    ],
)
def test_a_changed_fact_is_noticed(saved, old, new):
    path = saved[1].with_suffix(".json")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=r"kept.json' is damaged, or was changed after it was written"):
        load(saved[1])


def test_another_layout_of_the_same_facts_and_older_files_are_read(saved):
    import json

    masks, path = saved
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    path.with_suffix(".json").write_text(json.dumps(facts))
    same(load(path), masks)
    del facts["sha256_of_facts"]
    path.with_suffix(".json").write_text(json.dumps(facts | {"format": 1}))
    same(load(path), masks)
    path.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="is damaged"):
        load(path)

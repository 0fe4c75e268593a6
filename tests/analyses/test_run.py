"""A run is watched, paused, cancelled and resumed, and what it gives in the end is what an undisturbed one gives."""

import threading
import time

import numpy as np
import pytest
import torch
from refusals import refused

from lrp_explorer.analyses.aggregate import aggregate, prepare
from lrp_explorer.errors import Cancelled, DataError, InputError

SETTINGS = {"reduce": ("and", "max", "mean", "std", "quantile(0.5)"), "batch": 16, "device": "cpu"}


@pytest.fixture(scope="module")
def undisturbed(model, digits):
    return aggregate(model, digits, **SETTINGS, progress=False)


def equal(one, two):
    assert one.counts == two.counts
    for name in one.arrays:
        np.testing.assert_array_equal(one.arrays[name], two.arrays[name])


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_what_is_done_is_shown_while_it_grows(model, digits, undisturbed):
    run = prepare(model, digits, **SETTINGS)
    seen, progress = [], []
    run.listen(lambda run: (seen.append(run.snapshot()), progress.append(run.progress)), every=0.0)
    assert run.progress.phase == "waiting"
    equal(run.run(), undisturbed)
    snapshots = [masks for masks in seen if masks is not None]
    counts = [masks.counts[-1] for masks in snapshots]
    assert counts == sorted(counts)
    assert len(set(counts)) > 10
    for masks in snapshots:
        assert masks.planned == undisturbed.counts
        assert masks.counts == undisturbed.counts or not masks.complete
        empty = np.array(masks.counts) == 0
        assert np.isnan(masks["mean"][empty]).all()
        assert not masks["and"][empty].any()
        assert np.isfinite(masks["mean"][~empty]).all()
    done = [now.done for now in progress if now.phase == "folding"]
    assert done == sorted(done)
    assert progress[-1].phase == "done"
    assert progress[-1].done == progress[-1].total == 539
    assert progress[-1].rate > 0
    midway = [now for now in progress if now.phase == "folding" and 0 < now.done < 539 and now.rate]
    assert midway
    assert all(now.seconds_left == pytest.approx((539 - now.done) / now.rate) for now in midway)


def test_listeners_are_told_about_twice_a_second(model, digits):
    run = prepare(model, digits, **SETTINGS)
    times = []
    run.listen(lambda run: times.append(time.monotonic()))
    started = time.monotonic()
    run.run()
    passed = time.monotonic() - started
    assert 1 <= len(times) <= 3 + passed / 0.5
    gaps = np.diff(times[:-1])
    assert (gaps >= 0.49).all()


def test_pause_holds_it_and_resume_lets_it_go_on(model, digits, undisturbed):
    run = prepare(model, digits, **SETTINGS)
    run.start()
    until(lambda: run.progress.done > 60)
    run.pause()
    time.sleep(0.5)
    held = run.progress
    assert held.phase == "paused"
    time.sleep(0.5)
    assert run.progress.done == held.done < 539
    assert run.snapshot().counts[-1] == held.done
    run.resume()
    equal(run.result(60), undisturbed)


def test_cancel_leaves_what_is_done_and_resume_takes_it_up_again(model, digits, undisturbed):
    run = prepare(model, digits, **SETTINGS)
    run.start()
    until(lambda: run.progress.done > 60)
    run.cancel()
    began = time.monotonic()
    partial = run.result(30)
    assert time.monotonic() - began < 5
    assert run.progress.phase == "cancelled"
    assert not partial.complete
    assert 60 < partial.counts[-1] < 539
    assert "incomplete" in repr(partial)
    run.resume()
    equal(run.result(60), undisturbed)
    assert run.progress.phase == "done"


def test_a_paused_run_can_be_cancelled(model, digits):
    run = prepare(model, digits, **SETTINGS)
    run.pause()
    run.start()
    time.sleep(0.2)
    run.cancel()
    with refused(Cancelled, "before the first example"):
        run.result(30)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 25, 90])
def test_cancelled_at_any_moment_it_gives_what_is_done(model, digits, after):
    asked = 0

    def stop():
        nonlocal asked
        asked += 1
        return asked > after

    try:
        masks = aggregate(model, digits, should_stop=stop, progress=False, **SETTINGS)
    except Cancelled:
        assert after < 25
    else:
        assert not masks.complete
        assert 0 < masks.counts[-1] < 539


def test_a_stop_in_on_update_is_heeded(model, digits):
    masks = aggregate(model, digits, on_update=lambda run: run.cancel(), progress=False, **SETTINGS | {"batch": 4})
    assert not masks.complete


def test_a_listener_may_change_its_mind(model, digits, undisturbed):
    """It is called by the computing thread, which cannot wait for itself."""
    run = prepare(model, digits, **SETTINGS)

    def hesitate(run):
        if 60 < run.progress.done < 100:
            run.cancel()
            run.resume()

    run.listen(hesitate, every=0.0)
    run.start()
    equal(run.result(60), undisturbed)


def test_errors_of_the_background_reach_the_caller(model, digits):
    run = prepare(model, digits, classes=[1], limit=1)
    with refused(InputError, "not been started"):
        run.result()
    run = prepare(model, [digits[0]], classes=[(digits.labels[0] + 1) % 10])
    run.start()
    with refused(DataError, "has no example"):
        run.result(30)
    assert run.progress.phase == "failed"
    assert run.snapshot() is None


def test_snapshots_from_many_threads_do_no_harm(model, digits, undisturbed):
    run = prepare(model, digits, **SETTINGS)
    run.start()
    wrong = []

    def look():
        while run.progress.phase not in ("done", "failed"):
            masks = run.snapshot()
            if masks is not None and sum(masks.counts[:-1]) != masks.counts[-1]:
                wrong.append(masks.counts)

    watchers = [threading.Thread(target=look) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    equal(run.result(60), undisturbed)
    for watcher in watchers:
        watcher.join(30)
    assert not wrong


def test_join_waits_for_the_background_and_the_choice_is_told(model, digits):
    run = prepare(model, digits, limit=3, **SETTINGS)
    assert run.choice is None
    assert run.join(0)
    run.listen(lambda run: run.pause() if run.progress.done == 16 and run.progress.phase != "paused" else None, 0.0)
    run.start()
    until(lambda: run.progress.phase == "paused")
    assert not run.join(0.05)
    chosen = [index for shard in run.choice.shards for batch in shard.batches for index in batch.ids]
    assert sorted(chosen) == sorted(
        i for c in range(10) for i in [i for i, x in enumerate(digits.labels) if x == c][:3]
    )
    run.resume()
    assert run.join(30)
    assert run.progress.phase == "done"


def test_the_background_computes_on_as_many_threads_as_who_started_it(model, digits):
    """A thread that comes up while somebody computes on one thread would stay with one, and with another cache key."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    run, seen, one, done = prepare(model, digits, limit=3, **SETTINGS), [], threading.Event(), threading.Event()

    def disturb():
        torch.set_num_threads(1)
        one.set()
        done.wait(30)

    other = threading.Thread(target=disturb)
    other.start()
    try:
        assert one.wait(30)
        run.listen(lambda run: seen.append(torch.get_num_threads()), 0.0)
        run.start()
        assert run.join(60)
    finally:
        done.set()
        other.join()
        torch.set_num_threads(before)
    assert set(seen) == {2}

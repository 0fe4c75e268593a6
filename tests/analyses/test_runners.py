"""Dask: the same bits as in this process, also when a worker is killed; errors of workers reach the user."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
from refusals import refused

from lrp_explorer.analyses import runners
from lrp_explorer.analyses.aggregate import aggregate, prepare
from lrp_explorer.errors import Cancelled, DataError, InputError, WorkerError

distributed = pytest.importorskip("distributed")

SETTINGS = {"reduce": ("and", "or", "min", "max", "mean", "std", "count", "quantile(0.9)"), "batch": 16}


def equal(one, two):
    assert (one.counts, one.skipped_examples) == (two.counts, two.skipped_examples)
    assert list(one.arrays) == list(two.arrays)
    for name in one.arrays:
        np.testing.assert_array_equal(one.arrays[name], two.arrays[name], err_msg=str(name))


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_two_workers_one_killed_in_the_middle_give_the_same_bits(model, digits, client, one_thread):
    expected = aggregate(model, digits, **SETTINGS, device="cpu", progress=False)
    pids = client.run(os.getpid)
    assert len(set(pids.values()) | {os.getpid()}) == 3
    run = prepare(model, digits, **SETTINGS, device="cpu", runner=client)
    killed = []

    def kill(run):
        if 60 < run.progress.done < 400 and not killed:
            victim = sorted(pids)[0]
            os.kill(pids[victim], signal.SIGKILL)
            killed.append(victim)

    run.listen(kill, every=0.0)
    equal(run.run(), expected)
    assert killed
    assert run.progress.done == 539
    now = client.run(os.getpid)
    assert now.get(killed[0]) != pids[killed[0]]


def test_by_name_with_predictions_and_nothing_left_behind(client, one_thread):
    settings = SETTINGS | {"target": "prediction", "only_correct": True, "limit": 6, "device": "cpu", "progress": False}
    expected = aggregate("digits-mlp", "digits", **settings)
    equal(aggregate("digits-mlp", "digits", **settings, runner=client), expected)
    assert expected.counts[-1] == 60
    deadline = time.monotonic() + 10
    while any(client.has_what().values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(client.has_what().values())
    assert set(client.run(torch.get_num_threads).values()) == {1}


def test_cancel_ends_it_at_once_and_resume_goes_on(model, digits, client, one_thread):
    expected = aggregate(model, digits, **SETTINGS, device="cpu", progress=False)
    run = prepare(model, digits, **SETTINGS, device="cpu", runner=client)
    middle = threading.Event()
    run.listen(lambda run: middle.set() if run.progress.done > 60 else None, every=0.0)
    run.start()
    assert middle.wait(60)
    run.cancel()
    began = time.monotonic()
    partial = run.result(30)
    assert time.monotonic() - began < 3
    assert not partial.complete
    assert 0 < partial.counts[-1] < 539
    run.resume()
    equal(run.result(60), expected)


def test_what_goes_wrong_in_a_worker_is_raised_here(client, digits):
    x = torch.stack([digits[i][0] for i in range(40)])
    x[33, 0, 0, 0] = torch.nan
    spoilt = torch.utils.data.TensorDataset(x, torch.tensor(digits.labels[:40]))
    with refused(DataError, "example 33 ", "NaN"):
        aggregate("digits-mlp", spoilt, runner=client, progress=False, batch=4)
    skipped = aggregate("digits-mlp", spoilt, runner=client, progress=False, batch=4, skip_nonfinite=True)
    assert skipped.skipped_examples == (33,)


def test_a_worker_that_cannot_load_the_model_says_so(client, tmp_path, digits, monkeypatch):
    """The module's code and the weights are on this machine's path only, not on that of the workers."""
    (tmp_path / "only_here.py").write_text(
        "from torch import nn\n"
        "class Mine(nn.Sequential):\n"
        "    def __init__(self): super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    with refused(WorkerError, "a worker cannot load", "No module named 'only_here'"):
        aggregate(only_here.Mine().eval(), digits, limit=3, runner=client, progress=False)
    sys.modules.pop("only_here")


def test_a_local_cluster_is_started_and_closed(model, digits, one_thread):
    before = set(children())
    settings = SETTINGS | {"device": "cpu", "limit": 4, "progress": False}
    equal(aggregate(model, digits, **settings, runner=runners.Dask(workers=1)), aggregate(model, digits, **settings))
    deadline = time.monotonic() + 10
    while set(children()) - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not set(children()) - before


def test_a_worker_that_dies_again_and_again_is_told(client):
    """The model kills each process that computes it, as the system does where memory is short."""
    data = [(torch.rand(1, 28, 28), 0) for _ in range(4)]
    with refused(WorkerError, "the worker tcp://", "was lost", "take a smaller batch"):
        aggregate(Deadly().eval(), data, limit=3, runner=client, progress=False)
    deadline = time.monotonic() + 20
    while len(client.run(os.getpid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)


class Deadly(torch.nn.Sequential):
    """A linear model that ends the process that unpacks it."""

    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(784, 10))

    def __setstate__(self, state):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_cluster_that_is_restarted_lets_go_of_the_work_and_says_so(model, digits):
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        run = prepare(model, digits, batch=4, device="cpu", runner=client)
        middle = threading.Event()
        run.listen(lambda run: middle.set() if run.progress.done > 20 else None, every=0.0)
        run.start()
        assert middle.wait(60)
        client.restart(wait_for_workers=False)
        with refused(WorkerError, "has let go of the work", "restart", "run it again"):
            run.result(60)
        assert run.progress.phase == "failed"


def test_cores_are_counted_where_the_system_does_not_tell_which_are_ours(monkeypatch):
    assert 1 <= runners.cores() <= os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert runners.cores() == os.cpu_count()


def children():
    import psutil

    return [child.pid for child in psutil.Process().children(recursive=True)]


def test_a_run_without_workers_is_given_up(model, digits, monkeypatch):
    monkeypatch.setattr(runners, "PATIENCE", 1.0)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        with refused(WorkerError, "no workers"):
            aggregate(model, digits, runner=client, progress=False)
        with refused(Cancelled, "before the first example"):
            aggregate(model, digits, runner=client, progress=False, should_stop=lambda: True)


def test_an_asynchronous_client_is_refused():
    class Asynchronous:
        asynchronous = True

        def submit(self): ...

        def scheduler_info(self): ...

    with refused(InputError, "asynchronous"):
        runners.chosen_runner(Asynchronous())

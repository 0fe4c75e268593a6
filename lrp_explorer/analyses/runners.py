"""Where shards are computed: in this process, or by the workers of a Dask cluster. Results come in order.

A runner only carries: what it hands out is folded in the same order by the same monoid, so that for the same batches
and the same number of threads in PyTorch the results are equal to the bit.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
import uuid
import warnings
from asyncio import CancelledError
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from logging import CRITICAL
from typing import Any, Protocol

import torch

from lrp_explorer.analyses.control import Control
from lrp_explorer.analyses.job import PROCESS, Job
from lrp_explorer.analyses.selection import Shard
from lrp_explorer.errors import InputError, LrpError, WorkerError, unknown_name

POLL = 0.2
PATIENCE = 60.0
"""Seconds that all workers may be away before the run is given up."""

KEPT = 2
"""Jobs, and so recorded models, that a worker keeps."""

_jobs: dict[str, Job] = {}
_unpacking = threading.Lock()


class Runner(Protocol):
    """What `lrp_explorer.aggregate` takes as its runner."""

    @property
    def threads(self) -> int:
        """How many threads of PyTorch compute a shard."""
        ...

    def map(self, job: Job, task: str, shards: Sequence[Shard], control: Control) -> Iterator[Any]:
        """Give ``getattr(job, task)(shard, control, stream)`` of every shard, in order."""
        ...


class Serial:
    """In this process, shard after shard."""

    @property
    def threads(self) -> int:
        """As many as PyTorch has in this process."""
        return torch.get_num_threads()

    def map(self, job: Job, task: str, shards: Sequence[Shard], control: Control) -> Iterator[Any]:
        """Compute every shard here."""
        with closing(job.stream(shards)) as stream:
            for shard in shards:
                control.check()
                yield getattr(job, task)(shard, control, stream)


class Dask:
    """By the workers of a Dask cluster, one thread of PyTorch and one recorded model each.

    Shards of a worker that was lost are computed again by the others.

    Parameters
    ----------
    client : distributed.Client, optional
        A cluster that is there already; without one, a local cluster is started for each run and closed after it.
    workers : int, optional
        Processes of the local cluster; one for each GPU, else one for each CPU core.
    """

    def __init__(self, client: Any = None, workers: int | None = None) -> None:
        try:
            import distributed  # noqa: F401
        except ImportError as error:
            raise InputError('the runner "dask" needs Dask: pip install "lrp-explorer[dask]"') from error
        if getattr(client, "asynchronous", False):
            raise InputError("the Dask client is asynchronous; expected Client(…, asynchronous=False)")
        self.client, self.workers = client, workers
        self._check()

    @property
    def threads(self) -> int:
        """One: Dask itself runs several shards side by side."""
        return 1

    def map(self, job: Job, task: str, shards: Sequence[Shard], control: Control) -> Iterator[Any]:
        """Have every shard computed by a worker."""
        self._check()
        if self.client is not None:
            yield from _through(self.client, job, task, shards, control)
            return
        from distributed import Client, LocalCluster

        workers = self.workers or torch.cuda.device_count() or cores()
        with (
            LocalCluster(
                n_workers=workers, dashboard_address=":0", silence_logs=CRITICAL, threads_per_worker=1
            ) as cluster,
            Client(cluster) as client,
        ):
            yield from _through(client, job, task, shards, control)

    def _check(self) -> None:
        if getattr(self.client, "status", None) == "closed":
            raise InputError("the Dask client is closed; expected one that is connected, or None for a local cluster")


def cores() -> int:
    """Count the CPU cores that this process may use; where the system does not tell, all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _through(client: Any, job: Job, task: str, shards: Sequence[Shard], control: Control) -> Iterator[Any]:
    with warnings.catch_warnings():
        # A model that travels is large; it is sent as a task, and not scattered, so that it outlives every worker.
        warnings.filterwarnings("ignore", message="Sending large graph")
        token = uuid.uuid4().hex
        sent = client.submit(_receive, _packed(job), token, pure=False)
    waiting: deque[Any] = deque()
    todo = iter(shards)
    try:
        _result(client, sent, control, keep=True)
        while True:
            control.check()
            # Workers may join and leave meanwhile.
            ahead = 2 * max(1, sum(client.nthreads().values()))
            while len(waiting) < ahead and (shard := next(todo, None)) is not None:
                waiting.append(client.submit(_work, sent, token, task, shard, pure=False, priority=-len(waiting)))
            if not waiting:
                return
            result = _result(client, waiting[0], control)
            waiting.popleft().release()
            yield result
    finally:
        client.cancel([sent, *waiting], force=True)


def _packed(job: Job) -> bytes:
    """Write a job down for the workers, who are the user's own; classes of a notebook are written with their code."""
    import cloudpickle

    try:
        return cloudpickle.dumps(job)
    except Exception as error:
        raise InputError(
            f"{job.model.name} or {job.data.name} cannot be sent to workers ({type(error).__name__}: {error}); give "
            "their names in the zoo, or leave out what cannot be pickled (open files, locks, generators)"
        ) from error


def _result(client: Any, future: Any, control: Control, keep: bool = False) -> Any:
    """Wait for a worker's result; what goes wrong there is raised here."""
    from distributed import TimeoutError as NotYet
    from distributed.scheduler import KilledWorker

    alone = None
    while True:
        if control.stopped():
            control.check()
        try:
            return None if keep and future.status == "finished" else future.result(timeout=POLL)
        except NotYet:
            if future.status == "error":
                raise
            control.tell()
        except KilledWorker as error:
            raise WorkerError(
                f"the worker {error.last_worker.address} was lost, and those that took over its work as well "
                f"({error}); most often memory is too small: take a smaller batch, or fewer workers"
            ) from error
        except (Exception, CancelledError) as error:
            # Dask's own errors of work that is gone differ from one version to the next.
            if future.status not in ("cancelled", "lost"):
                raise
            raise WorkerError(f"the cluster has let go of the work ({error}); run it again") from error
        alone = None if client.nthreads() else alone or time.monotonic()
        if alone is not None and time.monotonic() - alone > PATIENCE:
            raise WorkerError(f"for {PATIENCE:.0f} seconds the cluster has had no workers; start some and try again")


# What follows runs in the workers.


def _receive(packed: bytes, token: str) -> bytes:
    """Load model and data, so that what is wrong with them is told at once.

    It gives on what it was given, not the job: a model cannot be sent to the next worker while it is being traced.
    """
    _job(packed, token)
    return packed


def _work(packed: bytes, token: str, task: str, shard: Shard) -> Any:
    job = _job(packed, token)
    if job.origin != PROCESS:
        # Dask runs as many tasks side by side as the worker has threads; PyTorch's own would come on top.
        torch.set_num_threads(1)
        job = replace(job, device=_device(job.device))
    with closing(job.stream([shard])) as stream:
        return getattr(job, task)(shard, Control(), stream)


def _job(packed: bytes, token: str) -> Job:
    """Unpack a job, once in every process."""
    with _unpacking:
        if token not in _jobs:
            try:
                job = pickle.loads(packed)
                job.loaded()
            except LrpError:
                raise
            except Exception as error:
                raise WorkerError(
                    f"a worker cannot load the model and the data set ({type(error).__name__}: {error}); their code, "
                    "and files that they are loaded from, have to be there for every worker"
                ) from error
            while len(_jobs) >= KEPT:
                del _jobs[next(iter(_jobs))]
            _jobs[token] = job
        return _jobs[token]


def _device(wanted: str) -> str:
    """Give each worker of a machine with several GPUs its own; Dask-CUDA has done so already."""
    from distributed import get_worker

    name, count = get_worker().name, torch.cuda.device_count()
    return f"cuda:{int(name) % count}" if wanted == "auto" and count > 1 and str(name).isdigit() else wanted


def chosen_runner(runner: Any) -> Runner:
    """Understand what the user gave as a runner.

    Raises
    ------
    UnknownNameError, InputError
        If it is none of ``"serial"``, ``"dask"``, a Dask client and an object with `map` as in `Runner`.
    """
    if runner == "serial":
        return Serial()
    if runner == "dask":
        return Dask()
    if isinstance(runner, str):
        raise unknown_name("runner", runner, ("serial", "dask"), "A dask.distributed.Client is accepted, too.")
    if hasattr(runner, "submit") and hasattr(runner, "scheduler_info"):
        return Dask(runner)
    if isinstance(runner, (Serial, Dask)):
        return runner
    raise InputError(
        f"runner is a {type(runner).__name__}; expected 'serial', 'dask', a dask.distributed.Client, or "
        "lrp_explorer.analyses.runners.Dask(workers=…)"
    )

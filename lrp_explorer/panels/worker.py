"""One thread that computes: the newest job wins, stale ones are dropped, and it outlives every error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from lrp_explorer.errors import Cancelled

Stale = Callable[[], bool]
Job = Callable[[Stale], Any]
"""Takes `stale`, may raise `Cancelled` once that says True, and gives the result."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    job: Job
    topic: Hashable
    generation: int


class Worker:
    """Runs jobs one after the other on a thread of its own; of those that wait only the newest is kept.

    A newer job of *another* topic makes the running one stale: its result is dropped, and it can ask ``stale()`` to
    stop early. A newer job of the *same* topic lets the running one finish and be delivered, so that a slider dragged
    without pause keeps painting instead of only ever starting anew.

    Parameters
    ----------
    deliver : callable
        Takes the result of a job, on the worker's thread.
    fail : callable
        Takes the exception of a job, or of `deliver`, on the worker's thread.
    busy : callable, optional
        Takes True when the thread has something to do, False when it has nothing more.
    """

    def __init__(
        self,
        deliver: Callable[[Any], None],
        fail: Callable[[BaseException], None],
        busy: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._deliver, self._fail, self._busy = deliver, fail, busy
        self._changed = threading.Condition()
        self._waiting: _Entry | None = None
        self._running: _Entry | None = None
        # The generation of the first job of the present topic: every job before it is stale.
        self._valid_from = 0
        self._generation = 0
        self._topic: Hashable = None
        self._closed = False
        self._told = False
        self._thread: threading.Thread | None = None

    @property
    def generation(self) -> int:
        """How many jobs have been submitted."""
        return self._generation

    def submit(self, job: Job, topic: Hashable = None) -> None:
        """Ask for `job(stale)`; a job that waits is replaced by it, a running one of another topic becomes stale."""
        with self._changed:
            if self._closed:
                return
            self._generation += 1
            if topic != self._topic:
                self._topic, self._valid_from = topic, self._generation
            self._waiting = _Entry(job, topic, self._generation)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="lrp-worker", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to do; False if that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._running), timeout)

    def close(self) -> None:
        """Drop what waits, make stale what runs, and end the thread after it."""
        with self._changed:
            self._closed, self._waiting = True, None
            self._valid_from = self._generation + 1
            self._changed.notify_all()

    def _loop(self) -> None:
        while (entry := self._next()) is not None:
            try:
                self._run(entry)
            # Even SystemExit of a user's code must not end the only thread that computes.
            except BaseException as error:
                self._report(error, entry)

    def _next(self) -> _Entry | None:
        with self._changed:
            self._running = None
            self._changed.notify_all()
            idle = self._waiting is None
        # Told without the lock: the sign belongs to a panel, which may be submitting at this moment.
        if idle:
            self._tell(False)
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._running, self._waiting = self._waiting, None
        if self._running is not None:
            self._tell(True)
        return self._running

    def _run(self, entry: _Entry) -> None:
        try:
            result = entry.job(lambda: self._stale(entry))
        except Cancelled:
            return
        if not self._stale(entry):
            self._deliver(result)

    def _stale(self, entry: _Entry) -> bool:
        return entry.generation < self._valid_from

    def _report(self, error: BaseException, entry: _Entry) -> None:
        # The trouble of a job that nobody waits for any more would only confuse.
        if self._stale(entry):
            _log.info("dropped the error of a stale job", exc_info=error)
            return
        try:
            self._fail(error)
        except Exception:
            _log.exception("an error could not be shown: %r", error)

    def _tell(self, busy: bool) -> None:
        if busy == self._told:
            return
        self._told = busy
        try:
            self._busy(busy)
        except Exception:
            _log.exception("the busy sign could not be changed")

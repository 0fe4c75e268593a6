"""A run: the computation of masks, watched while it goes on; paused, cancelled, resumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lrp_explorer.analyses import store
from lrp_explorer.analyses.base import State, merged
from lrp_explorer.analyses.choosing import Choice, Question, choose
from lrp_explorer.analyses.control import Control
from lrp_explorer.analyses.job import Job
from lrp_explorer.analyses.masks import Masks, check_finite, finish
from lrp_explorer.analyses.progress import EVERY, Listener, Phase, Progress, Rate
from lrp_explorer.analyses.reductions import Reduction
from lrp_explorer.analyses.runners import Runner
from lrp_explorer.analyses.samples import Samples, samples
from lrp_explorer.analyses.unfinished import Unfinished
from lrp_explorer.errors import Cancelled, InputError, NumericsError


class Run:
    """Masks in the making; see `lrp_explorer.analyses.aggregate.prepare`.

    `run` computes in the calling thread, `start` in one of its own; all else may be called from any thread.

    Parameters
    ----------
    job, question, reductions, runner
        What is computed, from what, and where.
    settings : mapping
        What the masks will tell of themselves.
    cache : Path, optional
        A folder of finished masks.
    should_stop : callable, optional
        Asked often; when it says True the run is cancelled.
    """

    def __init__(
        self,
        job: Job,
        question: Question,
        reductions: Sequence[Reduction],
        runner: Runner,
        settings: Mapping[str, Any],
        cache: Path | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self._job, self._question, self._reductions, self._runner = job, question, reductions, runner
        self._settings, self._cache = settings, cache
        self._listeners: list[Listener] = []
        self._control = Control(should_stop, self._heard)
        self._phase: Phase = "waiting"
        self._choice: Choice | None = None
        self._total = State(job.layout)
        self._position = 0
        self._masks: Masks | None = None
        self._cached = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._rate = Rate()

    # Watching

    def listen(self, call: Callable[[Run], None], every: float = EVERY) -> None:
        """Have `call` called with this run by the computing thread, `every` so many seconds and at the end."""
        self._listeners.append(Listener(call, every))

    @property
    def progress(self) -> Progress:
        """How far the run is, now."""
        with self._control.lock:
            phase: Phase = "paused" if self._control.paused and self._phase in ("choosing", "folding") else self._phase
            (done, total), rate = self._done(), self._rate.value
        return Progress(phase, done, total, rate, (total - done) / rate if rate else None, self._cached)

    def snapshot(self) -> Masks | None:
        """Give the masks of what is folded so far, each row labelled with its n; None before the first batch."""
        with self._control.lock:
            if self._masks is not None or self._choice is None:
                return self._masks
            choice, state = self._choice, self._state()
            complete = self._control.partial is None and self._position == len(choice.shards)
        state.skipped += choice.skipped
        return finish(state, choice.rows, self._reductions, self._settings, complete)

    def samples(self, layer: str) -> Samples | None:
        """Give the relevance of single examples that is kept, for counts at any threshold.

        It is kept where a vote with `Bottleneck`, or a quantile, is folded. None elsewhere, before the first batch, and
        for masks from the cache.
        """
        with self._control.lock:
            choice, state = self._choice, self._state()
        return samples(state, choice.rows, layer, self._reductions[0].criterion) if choice else None

    def _state(self) -> State:
        partial = self._control.partial
        return merged(self._job.layout, [self._total, partial] if partial else [self._total])

    @property
    def choice(self) -> Choice | None:
        """Which examples are folded, and into which rows; None until they are chosen."""
        with self._control.lock:
            return self._choice

    def _done(self) -> tuple[int, int]:
        if self._choice is None:
            return self._control.looked
        if self._masks is not None:
            return self._choice.total, self._choice.total
        states = [self._total] + ([self._control.partial] if self._control.partial else [])
        return sum(state.count + len(state.skipped) for state in states), self._choice.total

    def _heard(self) -> None:
        """Take note of the time, and let the listener look about twice a second."""
        with self._control.lock:
            if self._control.paused:
                self._rate.forget()
            else:
                self._rate.see(self._done()[0])
        self._tell()

    def _tell(self, all_of_them: bool = False) -> None:
        for listener in self._listeners:
            if all_of_them or time.monotonic() - listener.told >= listener.every:
                listener.call(self)
                listener.told = time.monotonic()

    # Steering

    def start(self) -> None:
        """Compute in a thread of the background; one that was cancelled is taken up again by `resume`."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._error = None
        threads = torch.get_num_threads()
        self._thread = threading.Thread(target=self._in_background, args=(threads,), name="masks", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Hold the run before its next batch."""
        self._control.pause()

    def resume(self) -> None:
        """Let a paused run go on; start a cancelled one again, from the shard in which it was."""
        cancelled = self._control.cancelled or self._phase == "cancelled"
        if cancelled and self._thread not in (None, threading.current_thread()):
            self._thread.join()
        self._control.resume()
        if cancelled:
            self.start()

    def cancel(self) -> None:
        """Give up as soon as possible; what is folded stays in `snapshot`."""
        self._control.cancel()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until nothing is computed in the background; False if something still is after `timeout` seconds."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self, timeout: float | None = None) -> Masks:
        """Wait for a run in the background, and give what `run` would; its errors are raised here.

        Raises
        ------
        TimeoutError
            If it is still going on after `timeout` seconds.
        """
        if self._thread is None:
            raise InputError("the run has not been started; call start() first, or run() to compute here and now")
        if not self.join(timeout):
            raise TimeoutError(f"the run is not done after {timeout} seconds: {self.progress}")
        if self._error is not None:
            raise self._error
        return self._outcome()

    # Computing

    def run(self) -> Masks:
        """Compute here and now.

        Returns
        -------
        Masks
            Of all examples; of a cancelled run those done so far, and ``masks.complete`` is False.

        Raises
        ------
        Cancelled
            If it was cancelled before the first example was done.
        """
        try:
            self._compute()
            self._phase = "done"
        except Cancelled:
            self._phase = "cancelled"
        except BaseException:
            self._phase = "failed"
            raise
        finally:
            self._tell(all_of_them=True)
        return self._outcome()

    def _outcome(self) -> Masks:
        masks = self.snapshot()
        if masks is None:
            raise Cancelled("the run was cancelled before the first example was done")
        return masks

    def _in_background(self, threads: int) -> None:
        # A new thread takes the number of whoever set it last, for its whole life; that may be somebody's for a moment.
        torch.set_num_threads(threads)
        try:
            self.run()
        except BaseException as error:
            self._error = error

    def _compute(self) -> None:
        self._rate.forget()
        if self._choice is None:
            self._phase = "choosing"
            self._job.check()
            choice = choose(self._job, self._question, self._runner, self._control)
            with self._control.lock:
                self._choice = choice
                self._rate.forget()
        choice, kept = self._choice, None
        self._phase = "folding"
        if self._cache is not None and self._masks is None:
            threads = self._runner.threads
            kept = store.key(self._job, choice, self._reductions, self._question.target, threads, self._control)
            found = store.get(self._cache, kept) if kept else None
            if found is not None:
                self._masks, self._cached = replace(found, settings=self._settings), True
        if self._masks is not None:
            return
        if self._cache is None or kept is None:
            self._masks = self._fold(choice)
            return
        unfinished = Unfinished(self._cache, kept)
        self._masks = self._fold_on(choice, unfinished)
        store.put(self._cache, kept, self._masks)
        unfinished.remove()

    def _fold_on(self, choice: Choice, unfinished: Unfinished) -> Masks:
        """Fold from where an earlier call was interrupted; if this one is, keep what it has done."""
        if self._position == 0:
            position, total = unfinished.read(self._job.layout)
            with self._control.lock:
                self._position, self._total = position, total
                self._rate.forget()
        try:
            return self._fold(choice, unfinished)
        except BaseException:
            if 0 < self._position < len(choice.shards):
                unfinished.write(self._position, self._total, now=True)
            raise

    def _fold(self, choice: Choice, unfinished: Unfinished | None = None) -> Masks:
        rest = choice.shards[self._position :]
        for state in self._runner.map(self._job, "fold", rest, self._control):
            with self._control.lock:
                self._total.merge(state)
                self._control.partial = None
                self._position += 1
            if unfinished is not None and self._position < len(choice.shards):
                unfinished.write(self._position, self._total)
            self._control.tell()
        masks = self.snapshot()
        if masks is None:
            raise NumericsError(
                f"nothing is left: all {choice.total} examples were left out, example {min(self._total.skipped)} the "
                "first, because something in them is not finite; check the data and the model"
            )
        if not self._job.infinite:
            check_finite(masks)
        return masks

"""How a running computation is watched, paused and given up."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lrp_explorer.analyses.base import State
from lrp_explorer.errors import Cancelled


class Control:
    """What a job asks and tells while it runs; this one lets it run to its end and listens to nothing.

    Parameters
    ----------
    should_stop : callable, optional
        Asked often; when it says True the computation is given up by `Cancelled`.
    heard : callable, optional
        Called by the computing thread after every step.

    Attributes
    ----------
    lock : RLock
        Held while anything is changed that a listener reads.
    partial : State or None
        What is folded of the shard in work; only under `lock`.
    looked : (int, int)
        Examples predicted, and examples to predict, while it is chosen what to fold.
    """

    def __init__(self, should_stop: Callable[[], bool] | None = None, heard: Callable[[], None] | None = None) -> None:
        self._should_stop, self._heard = should_stop, heard
        self._cancelled = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self.lock = threading.RLock()
        self.partial: State | None = None
        self.looked: tuple[int, int] = (0, 0)

    @property
    def paused(self) -> bool:
        """Whether the computation is held."""
        return not self._going.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called since the last `resume`."""
        return self._cancelled.is_set()

    def pause(self) -> None:
        """Hold the computation before its next batch."""
        self._going.clear()

    def resume(self) -> None:
        """Let it go on, also after it was cancelled."""
        self._cancelled.clear()
        self._going.set()

    def cancel(self) -> None:
        """Give the computation up as soon as possible."""
        self._cancelled.set()
        self._going.set()

    def stopped(self) -> bool:
        """Whether the computation is to be given up."""
        return self._cancelled.is_set() or (self._should_stop is not None and self._should_stop())

    def check(self) -> None:
        """Wait while paused; raise `Cancelled` if the computation is to be given up."""
        while not self.stopped():
            if self._going.wait(0.1):
                return
            self.tell()
        raise Cancelled("the computation was given up on request")

    def began(self, state: State) -> None:
        """Show a state that is still growing; it is changed only under `lock`."""
        with self.lock:
            self.partial = state

    def tell(self) -> None:
        """Let the listener look."""
        if self._heard is not None:
            self._heard()

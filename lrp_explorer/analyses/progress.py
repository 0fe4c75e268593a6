"""How far a run is, and who is told of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

EVERY = 0.5
"""Seconds between two updates."""

WINDOW = 10.0
"""Seconds over which the rate is taken."""

Phase = Literal["waiting", "choosing", "folding", "paused", "cancelled", "done", "failed"]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    phase : str
        ``"waiting"``, ``"choosing"`` (which examples: reading labels, predicting classes), ``"folding"``,
        ``"paused"``, ``"cancelled"``, ``"done"`` or ``"failed"``.
    done, total : int
        Examples folded or left out, and all of them; while choosing, those predicted and those to predict.
    rate : float
        Examples a second, over the last ten seconds; 0 until it is known.
    seconds_left : float or None
        At this rate; None until it is known.
    cached : bool
        Whether the masks were read from the cache.
    """

    phase: Phase
    done: int
    total: int
    rate: float
    seconds_left: float | None
    cached: bool = False


@dataclass
class Listener:
    """Who is told of a run, and when it was told last (seconds of the monotonic clock)."""

    call: Callable[[Any], None]
    every: float
    told: float = 0.0


class Rate:
    """Examples a second, over the last `WINDOW` seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, done: int) -> None:
        """Take note of how many are done now."""
        now = time.monotonic()
        self._seen.append((now, done))
        while now - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    def forget(self) -> None:
        """Begin anew, as after a pause."""
        self._seen.clear()

    @property
    def value(self) -> float:
        """The rate; 0 until it is known."""
        if not self._seen:
            return 0.0
        (began, before), (now, done) = self._seen[0], self._seen[-1]
        return (done - before) / (now - began) if now > began else 0.0

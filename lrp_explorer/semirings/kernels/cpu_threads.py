"""Threads of the compiled loops: the caller's own and helpers from one pool, as many together as PyTorch uses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import torch

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def shared(loop: Callable[..., Any], *arguments: Any) -> None:
    """Run a loop that claims tasks from a counter until none is left, on ``torch.get_num_threads()`` threads.

    The loops hold no GIL. Callers from several Python threads share the helpers: who finds none works by itself.
    """
    counter = np.zeros(1, np.int64)
    helpers = max(torch.get_num_threads(), 1) - 1
    futures = [_pool(helpers).submit(loop, counter, *arguments) for _ in range(helpers)]
    try:
        loop(counter, *arguments)
    finally:
        started = [future for future in futures if not future.cancel()]
        wait(started)
    for future in started:
        future.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="lrp-semiring")
        return _pools[threads]


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

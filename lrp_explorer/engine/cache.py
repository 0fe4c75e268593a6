"""A least-recently-used store of tensors with a budget in bytes."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor


class Memo(Protocol):
    """Gives what was kept under a key, or computes it; `Cache.get` of one layer."""

    def __call__(self, key: Hashable, compute: Callable[[], Tensor], slot: Hashable = None) -> Tensor: ...  # noqa: D102


def forgetful(key: Hashable, compute: Callable[[], Tensor], slot: Hashable = None) -> Tensor:
    """Compute, and keep nothing."""
    return compute()


class Cache:
    """Keeps tensors until their bytes exceed the budget; the least recently used goes first.

    Parameters
    ----------
    budget : int
        Bytes; 0 keeps nothing.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._entries: OrderedDict[Hashable, tuple[Tensor, int]] = OrderedDict()
        self._slots: dict[Hashable, Hashable] = {}
        self._lock = threading.RLock()

    def get(self, key: Hashable, compute: Callable[[], Tensor], slot: Hashable = None) -> Tensor:
        """Return the tensor kept under `key`, or compute and keep it; of those of one slot only the latest."""
        with self._lock:
            if key in self:
                self.hits += 1
                self._entries.move_to_end(key)
                return self._entries[key][0]
            self.misses += 1
            if slot is not None:
                self._drop(self._slots.pop(slot, None))
        # Not under the lock: it may take long, and ask for other keys.
        tensor = compute()
        with self._lock:
            self._drop(key)
            if slot is not None:
                self._slots[slot] = key
            self._entries[key] = (tensor, tensor._version)
            self.bytes += size(tensor)
            while self.bytes > self.budget and self._entries:
                self._drop(next(iter(self._entries)))
        return tensor

    def __contains__(self, key: Hashable) -> bool:
        """Whether the tensor is kept, and nobody it was handed to has written to it."""
        with self._lock:
            if key not in self._entries:
                return False
            tensor, version = self._entries[key]
            if tensor._version == version:
                return True
            self._drop(key)
            return False

    def _drop(self, key: Hashable) -> None:
        if key in self._entries:
            self.bytes -= size(self._entries.pop(key)[0])


def size(tensor: Tensor) -> int:
    """Bytes of a tensor's elements."""
    return tensor.numel() * tensor.element_size()


def default_budget(device: torch.device) -> int:
    """Return a quarter of the memory that is free on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 4
    return (_available() or 1 << 32) // 4


def _available() -> int | None:
    """Bytes that can be had, those that the system only lends to copies of files included; None if it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None

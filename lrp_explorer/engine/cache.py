"""A least-recently-used store of tensors with a budget in bytes."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch
from torch import Tensor


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

    def get(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return the tensor kept under `key`, or compute and keep it."""
        if key in self:
            self.hits += 1
            self._entries.move_to_end(key)
            return self._entries[key][0]
        self.misses += 1
        tensor = compute()
        self._entries[key] = (tensor, tensor._version)
        self.bytes += size(tensor)
        while self.bytes > self.budget and self._entries:
            self._drop(next(iter(self._entries)))
        return tensor

    def __contains__(self, key: Hashable) -> bool:
        """Whether the tensor is kept, and nobody it was handed to has written to it."""
        if key not in self._entries:
            return False
        tensor, version = self._entries[key]
        if tensor._version == version:
            return True
        self._drop(key)
        return False

    def _drop(self, key: Hashable) -> None:
        self.bytes -= size(self._entries.pop(key)[0])


def size(tensor: Tensor) -> int:
    """Bytes of a tensor's elements."""
    return tensor.numel() * tensor.element_size()


def default_budget(device: torch.device) -> int:
    """Return a quarter of the memory that is free on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 4
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    except (ValueError, OSError, AttributeError):
        return 1 << 30

"""What is compared by being the same, without being kept alive for it."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef


class Same:
    """Equal to another one of the same living object: the number of an object that is gone is soon another's."""

    __slots__ = ("_get", "_number")

    def __init__(self, value: object) -> None:
        self._number = id(value)
        try:
            self._get: Any = weakref.ref(value)
        except TypeError:
            # Objects without weak references are kept alive instead.
            self._get = lambda: value

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and (mine := self._get()) is not None and mine is other._get()


class SameMemory:
    """Equal to another one of the same living memory; a weak reference to a tensor itself would keep it from a swap."""

    __slots__ = ("_memory",)

    def __init__(self, tensor: Tensor) -> None:
        self._memory = StorageWeakRef(tensor.untyped_storage())

    def __hash__(self) -> int:
        return self._memory.cdata

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameMemory) and self._memory == other._memory and not self._memory.expired()

"""Numba's cache of machine code, with a checksum: damaged files are compiled anew, never run."""

from __future__ import annotations

import hashlib
import pickle
from contextlib import suppress
from typing import Any

from numba.core.caching import IndexDataCacheFile

LENGTH = hashlib.sha256().digest_size


class SealedFile(IndexDataCacheFile):
    """The files of one function. Numba itself unpickles whatever it finds, and runs the code in it."""

    def save(self, key: Any, data: Any) -> None:
        """Keep machine code; a disk that is full is no reason to fail."""
        with suppress(OSError):
            super().save(key, data)

    def _dump(self, obj: Any) -> bytes:
        content: bytes = super()._dump(obj)
        return content + hashlib.sha256(content).digest()

    def _load_index(self) -> dict[Any, str]:
        try:
            with open(self._index_path, "rb") as file:
                pickle.load(file)  # the version, which numba compares
                content = file.read()
        except Exception:  # not there yet; or damaged, and a damaged pickle fails in many ways
            return {}
        return super()._load_index() if _sound(content) else {}

    def _load_data(self, name: str) -> Any:
        with open(self._data_path(name), "rb") as file:
            if not _sound(file.read()):
                raise OSError(f"{name} is damaged")  # as if it were not there: it is compiled and written again
        return super()._load_data(name)


def _sound(content: bytes) -> bool:
    return hashlib.sha256(content[:-LENGTH]).digest() == content[-LENGTH:]

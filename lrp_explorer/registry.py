"""One registry for everything with a name: a plain dict with `register`, `names` and `get`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from lrp_explorer.errors import unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names and what they stand for; duplicates are refused, unknown names answered with the nearest.

    Parameters
    ----------
    kind : str
        What is registered, in the user's words; it appears in the error messages.

    Examples
    --------
    >>> colours = Registry("colour")
    >>> colours.register("red", "#f00")
    '#f00'
    >>> colours.get("red")
    '#f00'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add an entry and give it back; a name can be given once only."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered already; choose another name")
        self._entries[name] = entry
        return entry

    def as_decorator(self, name: str) -> Callable[[T], T]:
        """Register the decorated object under `name`."""
        return lambda entry: self.register(name, entry)

    def get(self, name: str) -> T:
        """Look a name up, or raise `UnknownNameError` with the nearest known names."""
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            raise unknown_name(self.kind, name, self.names()) from None

    def names(self) -> list[str]:
        """Every name, in the order of registration."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

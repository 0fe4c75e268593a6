"""What a model's code can write to outside the model: noted before it runs, and put back afterwards."""

from __future__ import annotations

import dis
import functools
import sys
from argparse import Namespace
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor, nn

from lrp_explorer.graph.source import foreign
from lrp_explorer.graph.stand_in import slots
from lrp_explorer.graph.structure import names, read

_NOTHING = object()
# Larger collections and arrays are not looked into, or not copied.
_MANY, _LARGE = 10_000, 1 << 24


@contextmanager
def put_back(model: nn.Module) -> Iterator[None]:
    """Leave globals, class attributes, closures and caches that the model's code reaches as they are found."""
    kept = _Kept()
    reading = read(model)
    for function in reading.functions:
        kept.function(function)
    for kind in reading.classes:
        kept.kind(kind)
    for cache in reading.caches:
        kept.cache(cache)
    try:
        yield
    finally:
        kept.restore()


class _Kept:
    """Contents of places, and how to give them back; a place is put back only where something else stands there."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}
        self._back: list[Callable[[], None]] = []

    def restore(self) -> None:
        for back in reversed(self._back):
            back()

    def function(self, function: FunctionType) -> None:
        """Keep the globals that a function reads or sets, and what it encloses."""
        self.value(function)
        around = function.__globals__
        if not foreign(around.get("__name__")):
            self._globals(around, {*names(function.__code__)} & around.keys() | _set_globals(function.__code__))

    def _globals(self, around: dict[str, Any], chosen: set[str]) -> None:
        for name in chosen:
            before = around.get(name, _NOTHING)
            if isinstance(before, ModuleType):
                if not foreign(before.__name__) and id(before) not in self._seen:
                    self._seen[id(before)] = before
                    self._globals(vars(before), {key for key in vars(before) if not key.startswith("__")})
                continue
            self._back.append(functools.partial(_put_item, around, name, before))
            self.value(before)

    def kind(self, kind: type) -> None:
        """Keep the attributes of a user's class."""
        for base in kind.__mro__:
            if not foreign(base.__module__) and id(base) not in self._seen:
                self._seen[id(base)] = base
                self._back.append(functools.partial(_put_class, base, dict(vars(base))))
                for value in list(vars(base).values()):
                    self.value(value)

    def cache(self, cache: Any) -> None:
        """Keep an `functools.lru_cache` free of what is computed in between: its contents cannot be read."""
        misses = cache.cache_info().misses
        self._back.append(lambda: cache.cache_clear() if cache.cache_info().misses != misses else None)

    def value(self, value: Any) -> None:
        """Keep what an object contains, and all below it."""
        todo = [value]
        while todo:
            value = todo.pop()
            if id(value) not in self._seen and not isinstance(
                value, (str, int, float, bytes, Tensor, type, ModuleType)
            ):
                self._seen[id(value)] = value
                todo += self._parts(value)

    def _parts(self, value: Any) -> list[Any]:
        """Keep one object's own content; return what it contains."""
        if isinstance(value, FunctionType):
            cells = [cell for cell in value.__closure__ or () if _content(cell) is not _NOTHING]
            self._back += [functools.partial(_put_cell, cell, _content(cell)) for cell in cells]
            return [*map(_content, cells), value.__defaults__, value.__kwdefaults__, value.__dict__]
        if isinstance(value, MethodType):
            return [value.__func__, value.__self__]
        if isinstance(value, functools.partial):
            return [value.func, value.args, value.keywords]
        if isinstance(value, (np.ndarray, bytearray)):
            if sys.getsizeof(value) <= _LARGE:
                self._back.append(functools.partial(_put_array, value, value.copy()))
            return []
        if isinstance(value, (tuple, frozenset)):
            return list(value) if len(value) <= _MANY else []
        if isinstance(value, (dict, list, set, deque)):
            before = dict(value) if isinstance(value, dict) else list(value)
            self._back.append(functools.partial(_put_content, value, before))
            return list(before.values() if isinstance(before, dict) else before) if len(before) <= _MANY else []
        if isinstance(value, (staticmethod, classmethod)):
            return [value.__func__]
        if isinstance(value, property):
            return [value.fget, value.fset]
        if foreign(type(value).__module__) and not isinstance(value, (nn.Module, SimpleNamespace, Namespace)):
            return []
        members = [(member, member.__get__(value)) for name, member in slots(type(value)) if hasattr(value, name)]
        self._back += [functools.partial(member.__set__, value, before) for member, before in members]
        return [getattr(value, "__dict__", None), *(before for _, before in members)]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _NOTHING


@functools.lru_cache(4096)
def _set_globals(code: CodeType) -> frozenset[str]:
    """Names of the globals that a function's code binds, functions within it included."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")}
    return frozenset(own.union(*(_set_globals(part) for part in code.co_consts if isinstance(part, CodeType))))


def _put_item(place: dict[str, Any], name: str, before: Any) -> None:
    if before is _NOTHING:
        place.pop(name, None)
    elif place.get(name, _NOTHING) is not before:
        place[name] = before


def _put_class(kind: type, before: dict[str, Any]) -> None:
    for name in vars(kind).keys() - before.keys():
        delattr(kind, name)
    for name, value in before.items():
        if vars(kind).get(name, _NOTHING) is not value:
            setattr(kind, name, value)


def _put_cell(cell: Any, before: Any) -> None:
    if _content(cell) is not before:
        cell.cell_contents = before


def _put_array(array: Any, before: Any) -> None:
    if bytes(array) != bytes(before):
        array[... if isinstance(array, np.ndarray) else slice(None)] = before


def _put_content(place: Any, before: Any) -> None:
    if isinstance(place, dict):
        same = place.keys() == before.keys() and all(place[key] is value for key, value in before.items())
        if not same:
            plain: Any = OrderedDict if isinstance(place, OrderedDict) else dict
            plain.clear(place)
            plain.update(place, before)
    elif len(place) != len(before) or any(a is not b for a, b in zip(list(place), before, strict=True)):
        place.clear()
        (place.update if isinstance(place, set) else place.extend)(before)

"""Fingerprint of all but the values of weights that decides what a model computes."""

from __future__ import annotations

import functools
import zlib
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator, Mapping
from itertools import chain, islice
from types import CellType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks

from lrp_explorer.graph.same import Same, SameMemory
from lrp_explorer.graph.source import foreign
from lrp_explorer.graph.stand_in import GLOBAL_HOOKS, SMALL, slots

_SKIPPED = frozenset(("_parameters", "_buffers", "_modules", "training"))
_PLAIN = frozenset((type(None), bool, int, str))
_COLLECTIONS = frozenset((dict, OrderedDict, list, set))
# Methods that code calls without naming them.
_UNNAMED = frozenset(("forward", "__call__", "__getattr__", "__getitem__", "__iter__", "__len__", "__contains__"))
_LruCache = type(functools.lru_cache(lambda: None))
# Of longer collections the rest is not read.
_MANY = 1000
_NOTHING = object()


def structure(model: nn.Module) -> Hashable:
    """Fingerprint a model by all that decides what it computes, but for the values of its weights.

    Read are: its modules, their attributes and hooks, and which weights there are; plain objects, containers and arrays
    among the attributes, with their contents; and the code of ``forward`` and of what it calls: functions and classes
    outside PyTorch, NumPy, the standard library and this package, with the globals, closures, defaults and class
    attributes that they name; hooks of all modules; and whether the ``forward`` of one of PyTorch's own classes was
    replaced.

    Not seen are: writes through ``tensor.data`` to large tensors that are no weights, or to tensors on a GPU; replaced
    functions of PyTorch, files, environment variables and the state of extensions; names put together at run time; what
    collections hold beyond their first thousand items; and attributes of objects of the standard library.
    """
    reading = read(model)
    return reading.found


def read(model: nn.Module) -> Reading:
    """Read a model and the code that it runs."""
    reading = Reading()
    reading.found = (
        reading.modules(model),
        tuple(reading.value(hook) for name in GLOBAL_HOOKS for hook in getattr(module_hooks, name, {}).values()),
        reading.classes_by_use(),
    )
    return reading


class Reading:
    """What was read of a model.

    Attributes
    ----------
    found : tuple
        The fingerprint.
    functions : list of function
        Whose code was read.
    classes : dict
        Whose attributes were read, as its keys.
    """

    def __init__(self) -> None:
        self.found: tuple[Hashable, ...] = ()
        self.functions: list[FunctionType] = []
        self.caches: list[Any] = []
        self.classes: dict[type, None] = {}
        self._seen: dict[int, int] = {}
        self._names: set[str] = set(_UNNAMED)

    def modules(self, model: nn.Module) -> Hashable:
        """Read a module and all below it."""
        seen = self._seen
        named = list(model.named_modules(remove_duplicate=False))
        for _, module in named:
            seen.setdefault(id(module), len(seen))
        found: list[Hashable] = []
        for name, module in named:
            kind = type(module)
            self._class(kind)
            found += (name, kind)
            for key, value in module.__dict__.items():
                if key in _SKIPPED:
                    continue
                # Most of it are collections of hooks, with nothing in them, and plain settings: no call for these.
                form = type(value)
                if form in _PLAIN or (form is tuple and all(type(item) is int for item in value)):
                    found += (key, form, value)
                elif form not in _COLLECTIONS or value:
                    found += (key, self.value(value))
            for key, tensor in chain(module._parameters.items(), module._buffers.items()):
                found += (key, None if tensor is None else self._slot(tensor))
        return tuple(found)

    def _slot(self, tensor: Tensor) -> Hashable:
        """Tell of a weight which one it is, counted from the first: its values may change, and be replaced."""
        return self._seen.setdefault(id(tensor), len(self._seen)), tensor.shape

    def value(self, value: Any) -> Hashable:
        """Read any object."""
        kind = type(value)
        if kind is str or value is None:
            return value
        if kind in (bool, int, bytes, torch.dtype, torch.device):
            return kind, value
        if isinstance(value, (float, complex)):
            # Zeros of both signs are equal, and what is not a number is not.
            return kind, value if value and value == value else repr(value)
        if isinstance(value, Tensor):
            return _tensor(value)
        if isinstance(value, (tuple, frozenset, set, list, deque)):
            return kind, self._once(value, lambda: tuple(map(self.value, islice(value, _MANY))), len(value))
        if isinstance(value, Mapping):
            return kind, self._once(value, lambda: self._items(value), len(value))
        if isinstance(value, (np.ndarray, np.generic, bytearray)):
            array = np.ascontiguousarray(value)
            return kind, array.shape, array.dtype, array.tobytes() if array.dtype.hasobject else _sum(array)
        return self._object(value, kind)

    def _once(self, value: Any, content: Any, length: int) -> Hashable:
        if not length:
            return 0
        known = self._seen.get(id(value))
        if known is not None and not isinstance(value, (tuple, frozenset)):
            return "again", known
        self._seen[id(value)] = len(self._seen)
        return length, content()

    def _items(self, value: Mapping[Any, Any]) -> Hashable:
        return tuple((self.value(key), self.value(item)) for key, item in islice(list(value.items()), _MANY))

    def _object(self, value: Any, kind: type) -> Hashable:
        if kind is MethodType:
            return kind, self.value(value.__func__), self.value(value.__self__)
        known = self._seen.get(id(value))
        if known is not None:
            return "again", known
        self._seen[id(value)] = len(self._seen)
        if isinstance(value, nn.Module):
            # Not registered: its weights are constants of the code.
            weights = chain(value.parameters(), value.buffers())
            return Same(value), self.modules(value), tuple(self.value(tensor) for tensor in weights)
        if kind is FunctionType:
            return self._function(value)
        if kind is functools.partial:
            return kind, self.value(value.func), self.value(value.args), self.value(value.keywords)
        if kind is _LruCache:
            self.caches.append(value)
            return Same(value), self.value(value.__wrapped__)
        if kind is CellType:
            return self.value(value.cell_contents)
        if isinstance(value, type):
            self._class(value)
            return Same(value)
        if isinstance(value, (staticmethod, classmethod)):
            return kind, self.value(value.__func__)
        if isinstance(value, property):
            return kind, self.value(value.fget)
        if isinstance(value, ModuleType) or (foreign(kind.__module__) and not isinstance(value, SimpleNamespace)):
            return Same(value), self.value(vars(value)) if kind.__module__ == "argparse" else None
        self._class(kind)
        parts = [(name, self.value(member.__get__(value))) for name, member in slots(kind) if hasattr(value, name)]
        # One without weak references would be kept alive, and what it refers to.
        itself = Same(value) if kind.__weakrefoffset__ else kind
        return itself, self._items(getattr(value, "__dict__", {})), tuple(parts)

    def _function(self, function: FunctionType) -> Hashable:
        """Read a function: its code, and what the code takes from elsewhere."""
        self.functions.append(function)
        found: list[Hashable] = [Same(function), Same(function.__code__)]
        beside = (function.__defaults__, function.__kwdefaults__, function.__dict__)
        found += [self.value(part) for part in beside if part]
        for cell in function.__closure__ or ():
            try:
                found.append(self.value(cell.cell_contents))
            except ValueError:
                found.append(None)
        for name, value in named_globals(function):
            found += (name, self.value(value))
        if not foreign(function.__globals__.get("__name__")):
            self._names.update(names(function.__code__))
        return tuple(found)

    def _class(self, kind: type) -> None:
        if kind not in self.classes:
            self.classes[kind] = None

    def classes_by_use(self) -> Hashable:
        """Read those attributes of all classes met that some code names, until no further code is met."""
        found: list[Hashable] = [Same(nn.Module.__call__)]
        done: dict[type, set[str]] = {}
        grown = True
        while grown:
            grown = False
            for kind in list(self.classes):
                for base in kind.__mro__:
                    read = done.setdefault(base, set())
                    if foreign(base.__module__):
                        if not read and issubclass(base, nn.Module) and "forward" in vars(base):
                            read.add("forward")
                            found += (base, Same(vars(base)["forward"]))
                        continue
                    for name in sorted((vars(base).keys() & self._names) - read):
                        read.add(name)
                        found += (base, name, self.value(vars(base)[name]))
                        grown = True
        return tuple(found)


def _tensor(tensor: Tensor) -> Hashable:
    """Tell of a tensor that is no weight: its memory, and of a small one its values, which code may decide by."""
    if tensor.layout != torch.strided:
        return Same(tensor)
    values = None
    if tensor.device.type == "cpu" and tensor.numel() <= SMALL:
        values = _sum(tensor.detach().reshape(-1).contiguous().view(torch.uint8).numpy())
    version = None if tensor.is_inference() else tensor._version
    return SameMemory(tensor), tensor.storage_offset(), tensor.stride(), tensor.shape, tensor.dtype, version, values


def _sum(array: np.ndarray) -> int:
    return zlib.crc32(np.atleast_1d(array).view(np.uint8).reshape(-1).data)


@functools.lru_cache(4096)
def names(code: CodeType) -> tuple[str, ...]:
    """Names of globals and attributes in a function's code, functions within it included."""
    inner = (names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return tuple(dict.fromkeys(chain(code.co_names, *inner)))


def named_globals(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Globals that a user's function names; of a Python module, those of its own globals that the function names."""
    around = function.__globals__
    if not foreign(around.get("__name__")):
        yield from _named("", around, names(function.__code__), {id(around)})


def _named(prefix: str, around: dict[str, Any], own: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, Any]]:
    for name in own:
        value = around.get(name, _NOTHING)
        if isinstance(value, ModuleType):
            if not foreign(value.__name__) and id(vars(value)) not in seen:
                seen.add(id(vars(value)))
                yield from _named(f"{prefix}{name}.", vars(value), own, seen)
        elif value is not _NOTHING:
            yield prefix + name, value

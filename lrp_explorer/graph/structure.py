"""Fingerprint of all but the values of weights that decides what a model computes."""

from __future__ import annotations

import weakref
from argparse import Namespace
from collections.abc import Hashable, Mapping
from dataclasses import is_dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

_SKIPPED = ("_parameters", "_buffers", "_modules", "training")


class _Same:
    """Equal to another one of the same living object: the number of an object that is gone is soon another's."""

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
        return isinstance(other, _Same) and (mine := self._get()) is not None and mine is other._get()


def structure(model: nn.Module) -> Hashable:
    """Fingerprint a model: its modules, their plain attributes and hooks, and which weights there are."""
    return _modules(model, {})


def _modules(model: nn.Module, seen: dict[int, int]) -> Hashable:
    named = list(model.named_modules(remove_duplicate=False))
    for _, module in named:
        seen.setdefault(id(module), len(seen))
    return tuple(
        (
            name,
            type(module),
            tuple((k, _print(v, seen)) for k, v in vars(module).items() if k not in _SKIPPED),
            tuple((k, _slot(v, seen)) for k, v in chain(module._parameters.items(), module._buffers.items())),
        )
        for name, module in named
    )


def _slot(tensor: Tensor | None, seen: dict[int, int]) -> Hashable:
    """Tell of a weight which one it is, counted from the first: its values may change, and be replaced."""
    return None if tensor is None else (seen.setdefault(id(tensor), len(seen)), tensor.shape)


def _print(value: Any, seen: dict[int, int]) -> Hashable:
    if isinstance(value, (bool, int, float, str, bytes, type(None))):
        return type(value), value
    if isinstance(value, Tensor):
        return _Same(value), None if value.is_inference() else value._version
    if isinstance(value, Mapping):
        return tuple((_print(k, seen), _print(v, seen)) for k, v in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value), tuple(_print(item, seen) for item in value)
    if isinstance(value, nn.Module) and id(value) not in seen:
        # Not registered: its weights are constants of the code.
        own = tuple(_print(tensor, seen) for tensor in chain(value.parameters(), value.buffers()))
        return _Same(value), _modules(value, seen), own
    if (isinstance(value, (SimpleNamespace, Namespace)) or is_dataclass(value)) and id(value) not in seen:
        seen[id(value)] = len(seen)
        return _Same(value), _print(vars(value) if hasattr(value, "__dict__") else {}, seen)
    return _Same(value)

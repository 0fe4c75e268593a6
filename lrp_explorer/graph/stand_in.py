"""A copy of a model's structure that shares its numbers: whatever is done to it, the model itself stays as it was."""

from __future__ import annotations

import copy
import functools
import operator
import threading
import weakref
from argparse import Namespace
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks

from lrp_explorer.graph.source import foreign

GLOBAL_HOOKS = tuple(
    f"_global_{kind}"
    for kind in (
        *("forward_pre_hooks", "forward_hooks", "buffer_registration_hooks"),
        *("module_registration_hooks", "parameter_registration_hooks"),
    )
)
SMALL = 4096
"""Tensors with so many elements at most are known by their values while a model is exported."""

_AS_THEY_ARE = frozenset((type(None), bool, int, float, complex, str, bytes, type, ModuleType, BuiltinFunctionType))
_LruCache = type(functools.lru_cache(lambda: None))


class StandIn:
    """Stands in for a model: new modules, containers, objects and closures, made of other handles of the same tensors.

    A model keeps more than weights: tables made at its first call, counters, what its hooks store. All of that is
    reached through copies here, so code that writes to it writes to the copies. What cannot be copied, or is shared on
    purpose (classes, Python modules, objects of the standard library, those with a ``__del__``), is shared.

    Parameters
    ----------
    model : nn.Module
        Stays as it is.
    tensor : callable
        Makes the copy's tensor of one of the model's; by default another handle of the same memory.

    Attributes
    ----------
    model : nn.Module
        The copy.
    """

    def __init__(self, model: nn.Module, tensor: Callable[[Tensor], Tensor] | None = None) -> None:
        self._tensor = tensor or handle
        self._made: dict[int, tuple[Any, Any]] = {}
        self.model: nn.Module = self.copy(model)

    def copy(self, value: Any) -> Any:
        """Return the stand-in's own of a value, the same one at each time."""
        kind = type(value)
        if kind in _AS_THEY_ARE:
            return value
        known = self._made.get(id(value))
        if known is None:
            # The value is kept beside its copy: the number of an object that is gone is soon another's.
            known = self._made[id(value)] = value, self._copied(value, kind)
        return known[1]

    def _copied(self, value: Any, kind: type) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, nn.Module):
            return value if isinstance(value, torch.jit.ScriptModule) else self._object(value, kind)
        if isinstance(value, (dict, list, set, deque)):
            return self._container(value, kind)
        if isinstance(value, (tuple, frozenset)):
            items = [self.copy(item) for item in value]
            if all(map(operator.is_, items, value)):
                return value
            if isinstance(value, frozenset):
                return frozenset(items)
            return kind(items) if hasattr(kind, "n_sequence_fields") else tuple.__new__(kind, items)
        if kind is FunctionType:
            return self._function(value)
        if kind is MethodType:
            return MethodType(self.copy(value.__func__), self.copy(value.__self__))
        if kind is functools.partial:
            named = {name: self.copy(item) for name, item in value.keywords.items()}
            return functools.partial(self.copy(value.func), *map(self.copy, value.args), **named)
        if kind is _LruCache:
            # A cache would keep what is computed with the stand-in.
            return self.copy(value.__wrapped__)
        if kind is CellType:
            return self._cell(value)
        if kind is weakref.ref:
            return value if value() is None else weakref.ref(self.copy(value()))
        if kind in (np.ndarray, bytearray):
            return value.copy()
        if kind is SimpleNamespace:
            made = self._remember(value, SimpleNamespace())
            vars(made).update((name, self.copy(item)) for name, item in vars(value).items())
            return made
        return value if _is_shared(value, kind) else self._object(value, kind)

    def _remember(self, value: Any, made: Any) -> Any:
        """Note the copy before its parts are copied, which may lead back to it."""
        self._made[id(value)] = value, made
        return made

    def _container(self, value: Any, kind: type) -> Any:
        made: Any
        if kind is defaultdict:
            made = defaultdict(self.copy(value.default_factory))
        elif kind in (dict, OrderedDict, list, set, deque):
            made = deque(maxlen=value.maxlen) if kind is deque else kind()
        else:
            # Of a class of its own: a copy whose items are replaced.
            made = copy.copy(value)
        self._remember(value, made)
        if isinstance(value, dict):
            for key, item in list(value.items()):
                made[self.copy(key)] = self.copy(item)
        else:
            items = [self.copy(item) for item in list(value)]
            made.clear()
            (made.update if isinstance(value, set) else made.extend)(items)
        return made

    def _object(self, value: Any, kind: type) -> Any:
        try:
            made = self._remember(value, object.__new__(kind))
        except TypeError:
            # Laid out in C: there is no general way to copy it.
            return value
        for name, item in list(getattr(value, "__dict__", {}).items()):
            made.__dict__[name] = self.copy(item)
        for _, member in slots(kind):
            try:
                member.__set__(made, self.copy(member.__get__(value)))
            except AttributeError:
                continue
        return made

    def _function(self, value: FunctionType) -> FunctionType:
        if not (value.__closure__ or value.__dict__ or value.__defaults__ or value.__kwdefaults__):
            return value
        closure = tuple(map(self.copy, value.__closure__)) if value.__closure__ else None
        made = FunctionType(value.__code__, value.__globals__, value.__name__, None, closure)
        self._remember(value, made)
        made.__defaults__, made.__kwdefaults__ = self.copy(value.__defaults__), self.copy(value.__kwdefaults__)
        made.__qualname__, made.__module__ = value.__qualname__, value.__module__
        made.__dict__.update((name, self.copy(item)) for name, item in value.__dict__.items())
        return made

    def _cell(self, value: CellType) -> CellType:
        made = self._remember(value, CellType())
        # Some are not filled yet.
        with suppress(ValueError):
            made.cell_contents = self.copy(value.cell_contents)
        return made

    @contextmanager
    def global_hooks(self) -> Iterator[None]:
        """Let hooks of all modules serve the stand-in by copies of theirs, and other threads' models by themselves."""
        me, own = threading.get_ident(), {id(made) for _, made in self._made.values() if isinstance(made, nn.Module)}
        replaced, all_hooks = [], [getattr(module_hooks, name, {}) for name in GLOBAL_HOOKS]
        present = [set(hooks) for hooks in all_hooks]
        for hooks in all_hooks:
            for key, hook in list(hooks.items()):
                hooks[key] = _of_thread(me, own, hook, self.copy(hook))
                replaced.append((hooks, key, hook, hooks[key]))
        try:
            yield
        finally:
            for hooks, key, hook, ours in replaced:
                if hooks.get(key) is ours:
                    hooks[key] = hook
            for hooks, before in zip(all_hooks, present, strict=True):
                # PyTorch 2.6 leaves a hook of its own behind where it refuses a model.
                for key in [key for key, hook in hooks.items() if key not in before and foreign(hook.__module__)]:
                    del hooks[key]


def handle(tensor: Tensor) -> Tensor:
    """Return another tensor of the same memory, without gradient; of a small one, or one of inference mode, a copy."""
    # Nothing that is said or kept of a handle (weak references, versions for autograd) touches the model's tensor. The
    # exporter really writes to small constants, to know their values.
    if tensor.is_inference() or (tensor.numel() <= SMALL and tensor.device.type != "meta"):
        return copied(tensor)
    with torch.inference_mode(False), torch.no_grad():
        made = tensor.detach()
        return nn.Parameter(made, requires_grad=False) if isinstance(tensor, nn.Parameter) else made


def copied(tensor: Tensor) -> Tensor:
    """Return a tensor of its own memory, for code that really runs and may write."""
    with torch.inference_mode(False), torch.no_grad():
        made = tensor.detach().clone()
        return nn.Parameter(made, requires_grad=False) if isinstance(tensor, nn.Parameter) else made


def slots(kind: type) -> Iterator[tuple[str, Any]]:
    """Attributes of a class's objects that do not stand in their ``__dict__``, with what reads and writes them."""
    for base in kind.__mro__:
        names = vars(base).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            member = vars(base).get(f"_{base.__name__.lstrip('_')}{name}" if name.startswith("__") else name)
            if name not in ("__dict__", "__weakref__") and hasattr(member, "__set__"):
                yield name, member


def _is_shared(value: Any, kind: type) -> bool:
    if isinstance(value, (type, Enum)) or hasattr(kind, "__del__"):
        return True
    return foreign(kind.__module__) and kind is not Namespace


def _of_thread(thread: int, own: set[int], hook: Callable[..., Any], copy: Callable[..., Any]) -> Callable[..., Any]:
    def chosen(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            return hook(module, *args, **kwargs)
        # The exporter calls modules of its own, too.
        return copy(module, *args, **kwargs) if id(module) in own else None

    return chosen

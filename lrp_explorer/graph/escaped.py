"""Tensors of an export that code handed to somebody outside are found, taken away from there, and told of."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CellType, FrameType, FunctionType
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental import proxy_tensor

from lrp_explorer.errors import ModelError
from lrp_explorer.graph.source import foreign

Program = torch.export.ExportedProgram
_NOTES = frozenset(("nn_module_stack", "stack_trace", "tensor_meta", "original_aten", "torch_fn"))


@contextmanager
def take_back(model: str) -> Iterator[Callable[[Program], None]]:
    """Let go of every tensor that an export made; raise where somebody else holds one.

    Yields a function to be told of each program. The programs are of no use afterwards.
    """
    programs: list[Program] = []
    # Only what is made from here on is looked through at the end, and by the collector in between.
    frozen = gc.get_freeze_count() == 0
    if frozen:
        gc.freeze()
    remembered: dict[int, Any] = getattr(proxy_tensor, "_FAKE_TENSOR_ID_TO_PROXY_MAP_FOR_EXPORT", {})
    before = set(remembered)
    modes: dict[int, Any] = {}
    try:
        yield programs.append
        modes = {id(mode): mode for program in programs for mode in _released(program)}
    finally:
        # PyTorch keeps each export's nodes for good, and their example values with them.
        for number in remembered.keys() - before:
            remembered.pop(number, None)
        _forget_random_state()
        programs.clear()
        held = _held(modes)
        if frozen:
            gc.unfreeze()
    places = sorted(_taken(held)) if held else []
    if places:
        raise ModelError(
            f"forward() of {model}, or a hook of it, keeps a tensor outside the model, where the tensors of its export "
            f"cannot be kept from (in {', '.join(places)}; they were taken out again). Keep it in the module, as an "
            "attribute or a buffer, or fill that place before you explain the model, by running it once"
        )


def _released(program: Program) -> list[Any]:
    """Empty a program of its example values; return the modes that made them."""
    modes = []
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, FakeTensor):
            modes.append(value.fake_mode)
        node.meta.clear()
    program.graph_module.meta.clear()
    for mode in modes:
        if getattr(mode.shape_env, "tracked_fakes", None):
            mode.shape_env.tracked_fakes = None
    return modes


def _forget_random_state() -> None:
    from torch._decomp.decompositions_for_rng import PhiloxStateTracker

    PhiloxStateTracker.reset()


def _held(modes: dict[int, Any]) -> list[FakeTensor]:
    """Tensors of an export that are alive."""
    found = _alive(modes)
    if found:
        # Some are noted by nodes of the exporter's own programs in between, and some wait for the collector only.
        del found[:]
        _forget_notes(modes)
        gc.collect()
        found = _alive(modes)
    return found


def _alive(modes: dict[int, Any]) -> list[FakeTensor]:
    return [one for one in gc.get_objects() if _is_of(one, modes)]


def _is_of(one: Any, modes: dict[int, Any]) -> bool:
    return type(one) is FakeTensor and id(one.fake_mode) in modes


def _forget_notes(modes: dict[int, Any]) -> None:
    """Empty nodes of their example values, and copies of their notes."""
    for one in gc.get_objects():
        notes = one.meta if isinstance(one, fx.Node) else one if type(one) is dict and _is_noted(one) else {}
        value = notes.get("val")
        if any(_is_of(part, modes) for part in (value if isinstance(value, (tuple, list)) else (value,))):
            del notes["val"]


def _is_noted(holder: dict[Any, Any]) -> bool:
    return "val" in holder and not holder.keys().isdisjoint(_NOTES)


def _taken(held: list[FakeTensor]) -> set[str]:
    """Take tensors out of the collections that hold them; tell of these."""
    numbers, places = {id(tensor) for tensor in held}, set()
    # Each question who refers to something looks through the whole memory: one for all of them.
    for holder in gc.get_referrers(*held):
        if holder is held or _is_torchs(holder):
            continue
        if isinstance(holder, dict):
            for key in [key for key, value in holder.items() if id(value) in numbers]:
                del holder[key]
                places.add(f"a dict under {key!r}")
        elif isinstance(holder, list):
            holder[:] = [item for item in holder if id(item) not in numbers]
            places.add("a list")
        else:
            places.add(f"a {type(holder).__name__}")
    return places


def _is_torchs(holder: Any) -> bool:
    """Whether what holds a tensor is one of PyTorch's own notes on the export."""
    if isinstance(holder, dict):
        # The notes of a node; in older versions their copies, too.
        return _is_noted(holder) or any(isinstance(owner, fx.Node) for owner in gc.get_referrers(holder))
    if isinstance(holder, CellType):
        tuples = [owner for owner in gc.get_referrers(holder) if type(owner) is tuple]
        functions = [owner for one in tuples for owner in gc.get_referrers(one) if isinstance(owner, FunctionType)]
        return all(foreign(function.__globals__.get("__name__")) for function in functions)
    return isinstance(holder, FrameType) or (foreign(type(holder).__module__) and type(holder).__module__ != "builtins")

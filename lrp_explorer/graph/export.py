"""A model exported by PyTorch, from a stand-in: nothing of the export reaches the model."""

from __future__ import annotations

import functools
import io
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch.fx.experimental import proxy_tensor
from torch.overrides import TorchFunctionMode

from lrp_explorer.errors import ModelError
from lrp_explorer.graph.escaped import take_back
from lrp_explorer.graph.functional import make_functional
from lrp_explorer.graph.source import offending_line
from lrp_explorer.graph.stand_in import SMALL, StandIn
from lrp_explorer.graph.surroundings import put_back

_NOISY = ("torch.fx.experimental.symbolic_shapes", "torch.export", "torch._subclasses.fake_tensor")

Use = Callable[[torch.export.ExportedProgram, "int | None"], Any]


def export(model: nn.Module, x: Tensor, use: Use) -> Any:
    """Export with a free batch size, or with this batch's own where the model's code fixes it.

    Parameters
    ----------
    model : nn.Module
        Stays as it is: a stand-in in evaluation mode is exported.
    x : Tensor
        Of the shape, dtype and device of the input.
    use : callable
        Called with the program and the batch size, None if it is free; the program is of no use afterwards.

    Returns
    -------
    What `use` makes of the program.

    Raises
    ------
    ModelError
        When the model cannot be exported, or hands tensors of the export to somebody outside.
    """
    # A batch of 1 would be taken for a constant, so the example has 2.
    example = torch.zeros((2, *x.shape[1:]), dtype=x.dtype, device=x.device)
    free = ({0: torch.export.Dim.DYNAMIC},)
    with _undisturbed():
        try:
            return _exported(model, example, free, lambda program: use(program, None))
        except _Refused as error:
            first, refusal = error.reason, _refusal(model, error.reason)
        # What went on in these frames holds tensors of the export.
        traceback.clear_frames(first.__traceback__)
        try:
            return _exported(model, torch.zeros_like(x), None, lambda program: use(program, x.shape[0]))
        except _Refused:
            raise ModelError(refusal) from first


class _Refused(Exception):
    """PyTorch does not export the model."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without gradients, outside of inference mode, and saying nothing."""
    with ExitStack() as stack:
        for part in (_quiet(), _known_constants(), torch.inference_mode(False), torch.no_grad()):
            stack.enter_context(part)
        yield


def _exported(model: nn.Module, example: Tensor, shapes: Any, use: Callable[..., Any]) -> Any:
    with take_back(type(model).__name__) as letting_go:
        for writable in (False, True):
            program = _program(model, example, shapes, writable)
            letting_go(program)
            try:
                program = make_functional(program)
            except Exception as error:
                if writable:
                    raise _Refused(error) from error
                # Code that writes to what PyTorch takes for constant is exported once more, with buffers for these.
                continue
            letting_go(program)
            return use(program)
    raise AssertionError("unreachable")


def _program(model: nn.Module, example: Tensor, shapes: Any, writable: bool) -> torch.export.ExportedProgram:
    with put_back(model):
        standing = StandIn(model)
        if writable:
            weights_as_buffers(standing.model)
        try:
            with standing.global_hooks(), in_evaluation(standing.model) as ready:
                return torch.export.export(ready, (example,), dynamic_shapes=shapes, strict=False)
        except Exception as error:
            raise _Refused(error) from error


@contextmanager
def in_evaluation(model: nn.Module) -> Iterator[nn.Module]:
    """Set a stand-in to evaluation mode, and let its code read and write ``tensor.data``."""
    try:
        if any(module.training for module in model.modules()):
            model.eval()
    except NotImplementedError:
        # Modules of exported programs are in the one mode that they were exported in.
        for module in model.modules():
            vars(module)["training"] = False
    for module in model.modules():
        _keep_new_buffers_apart(module)
    forward, own = model.forward, vars(model).get("forward")

    @functools.wraps(forward)
    def with_data(*args: Any, **kwargs: Any) -> Any:
        with _Data():
            return forward(*args, **kwargs)

    vars(model)["forward"] = with_data
    try:
        yield model
    finally:
        # The cycle would keep the stand-in, and what its code has stored, until the collector comes.
        vars(model).pop("forward")
        vars(model).update({} if own is None else {"forward": own})


def _keep_new_buffers_apart(module: nn.Module) -> None:
    """Let buffers be made on the way; the exporter would take them for writes to whichever buffer comes next."""
    for name in [name for name, value in module._buffers.items() if value is None]:
        vars(module)[name] = module._buffers.pop(name)
    vars(module)["register_buffer"] = functools.partial(_register, vars(module), module._buffers)


def _register(
    attributes: dict[str, Any], buffers: dict[str, Any], name: str, tensor: Tensor | None, persistent: bool = True
) -> None:
    attributes.pop(name, None)
    buffers[name] = tensor


class _Data(TorchFunctionMode):
    """Spells ``tensor.data`` by operations, as it leaves no trace in a graph."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__self__", None) is _DATA:
            if func.__name__ == "__get__":
                return args[0].detach()
            if args[0].shape == args[1].shape:
                with torch.no_grad():
                    args[0].copy_(args[1])
                return None
        return func(*args, **(kwargs or {}))


_DATA: Any = Tensor.data


def weights_as_buffers(model: nn.Module) -> None:
    """Turn a stand-in's weights and tensors in attributes into buffers, which code may write to on the way."""
    for module in model.modules():
        plain = {name: value for name, value in vars(module).items() if isinstance(value, Tensor)}
        for name, value in (plain | module._parameters).items():
            (vars(module) if name in plain else module._parameters).pop(name)
            module._buffers[name] = None if value is None else value.detach()


@contextmanager
def _known_constants() -> Iterator[None]:
    """Let code decide by the values of small constants, such as the deviations that inputs are divided by."""
    places: list[Any] = [place for place in (fake_tensor, proxy_tensor) if hasattr(place, "CONSTANT_NUMEL_LIMIT")]
    before = [place.CONSTANT_NUMEL_LIMIT for place in places]
    for place in places:
        place.CONSTANT_NUMEL_LIMIT = SMALL
    try:
        yield
    finally:
        for place, limit in zip(places, before, strict=True):
            place.CONSTANT_NUMEL_LIMIT = limit


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own notes off the user's screen; errors are reported by `ModelError`."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _refusal(model: nn.Module, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    where = offending_line(error)
    if "data-dependent" in reason or "DataDependent" in type(error).__name__:
        advice = (
            "The model branches on the values of a tensor, so it has no fixed graph. "
            "Compute both sides and choose with torch.where(condition, a, b), or explain the branch that you want."
        )
    elif "numpy" in reason:
        advice = "Stay in torch inside forward(): replace the NumPy call by the torch function of the same name."
    else:
        advice = "forward() must take one tensor and compute with torch operations only; change this line."
    return f"{type(model).__name__} cannot be exported as a graph{where}: {reason}. {advice}"

"""From an unmodified `nn.Module` to a `Graph`, through `torch.export`."""

from __future__ import annotations

import copy
import io
import logging
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer.errors import ModelError
from lrp_explorer.graph.canonize import canonize
from lrp_explorer.graph.convert import convert
from lrp_explorer.graph.functional import make_functional
from lrp_explorer.graph.nodes import Graph
from lrp_explorer.graph.source import offending_line
from lrp_explorer.graph.structure import structure

_NOISY = ("torch.fx.experimental.symbolic_shapes", "torch.export", "torch._subclasses.fake_tensor")
_cache: weakref.WeakKeyDictionary[nn.Module, dict[Any, Graph]] = weakref.WeakKeyDictionary()
# Graphs of one model, for inputs of different shapes and for what it was before it was changed.
_MOST = 16

exporting = RLock()
"""Held while a model is exported, which puts tensors of its own into it: who reads a model's weights holds it, too."""


def trace(model: nn.Module, x: Tensor) -> Graph:
    """Write the model down as a graph of known operations; weights, mode and hooks of `model` stay as they are.

    The graph is kept for the model and the shape of one example, and made anew when the model's structure changes.

    Parameters
    ----------
    model : nn.Module
        A classifier: one tensor in, one tensor ``(batch, classes)`` out.
    x : Tensor
        Input of shape ``(batch, ...)``; only its shape and dtype count, and its device where the model has no weights.

    Returns
    -------
    Graph
        Batch norms folded where they can be (`lrp_explorer.graph.canonize`).

    Raises
    ------
    ModelError
        When the model cannot be exported (the message names the line at fault) or does not return one tensor.

    Warns
    -----
    UserWarning
        When the model is in training mode (it is explained as in evaluation mode), or ends in a softmax.
    """
    with exporting:
        device = next(model.parameters(), x).device
        key = (tuple(x.shape[1:]), x.dtype, device.type, structure(model))
        graphs = _cache.setdefault(model, {})
        graph = graphs.get(key)
        if graph is None or graph.batch not in (None, x.shape[0]):
            program, batch = _export(evaluation_view(model), torch.empty(x.shape, dtype=x.dtype, device=device))
            while len(graphs) >= _MOST:
                del graphs[next(iter(graphs))]
            graph = graphs[key] = canonize(convert(program, batch))
    if any(module.training for module in model.modules()):
        warnings.warn(
            f"{type(model).__name__} is in training mode; it is explained as in evaluation mode (call model.eval())",
            UserWarning,
            stacklevel=3,
        )
    last = graph.by_name.get(graph.output)
    if last is not None and "softmax" in last.op:
        warnings.warn(
            f"{type(model).__name__} ends in {last.op} ({last.name!r}), so its output is no logits, and relevance "
            "fades as a probability nears 1. Let forward() return the logits; or pass over it, by "
            f"composite.override({{{last.name!r}: lrp.rules.Pass()}}) and seed='one'",
            UserWarning,
            stacklevel=3,
        )
    return graph


def evaluation_view(model: nn.Module) -> nn.Module:
    """Return the model itself, or a copy of its structure in evaluation mode that shares all of its tensors."""
    if not any(module.training for module in model.modules()):
        return model
    tensors = [*model.parameters(), *model.buffers()]
    try:
        # Tensors named in the memo are shared with the copy instead of being copied.
        return copy.deepcopy(model, {id(t): t for t in tensors}).eval()
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} is in training mode and its structure cannot be copied ({error}); "
            "call model.eval() first"
        ) from error


def _export(model: nn.Module, x: Tensor) -> tuple[torch.export.ExportedProgram, int | None]:
    """Export with a free batch size, or with this batch's own where the model's code fixes it."""
    # A batch of 1 would be taken for a constant, so the example has 2.
    example = torch.zeros((2, *x.shape[1:]), dtype=x.dtype, device=x.device)
    free = ({0: torch.export.Dim.DYNAMIC},)
    with _quiet(), torch.no_grad():
        try:
            return _program(model, example, free), None
        except Exception as error:
            first = error
        try:
            return _program(model, torch.zeros_like(x), None), x.shape[0]
        except Exception:
            raise ModelError(_refusal(model, first)) from first


def _program(model: nn.Module, example: Tensor, shapes: Any) -> torch.export.ExportedProgram:
    program = torch.export.export(model, (example,), dynamic_shapes=shapes, strict=False)
    return make_functional(program)


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

"""From an unmodified `nn.Module` to a `Graph`, through `torch.export`."""

from __future__ import annotations

import warnings
import weakref
from dataclasses import replace
from itertools import chain
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer.graph.canonize import canonize
from lrp_explorer.graph.convert import convert
from lrp_explorer.graph.export import export
from lrp_explorer.graph.nodes import Graph
from lrp_explorer.graph.outputs import probabilities_told
from lrp_explorer.graph.structure import structure

_cache: weakref.WeakKeyDictionary[nn.Module, dict[Any, Graph]] = weakref.WeakKeyDictionary()
# Graphs of one model, for inputs of different shapes and for what it was before it was changed.
_MOST = 16

_exporting = RLock()


def trace(model: nn.Module, x: Tensor) -> Graph:
    """Write the model down as a graph of known operations; `model`, and what its code writes to, stay as they are.

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
        When the model is in training mode (it is explained as in evaluation mode), or its output is made
        of probabilities.
    """
    with _exporting:
        device = next(model.parameters(), x).device
        key = (tuple(x.shape[1:]), x.dtype, device.type, structure(model))
        graphs = _cache.setdefault(model, {})
        graph = graphs.get(key)
        if graph is None or graph.batch not in (None, x.shape[0]):
            example = torch.empty(x.shape, dtype=x.dtype, device=device)
            graph = export(model, example, lambda program, batch: canonize(_converted(program, batch, model)))
            while len(graphs) >= _MOST:
                del graphs[next(iter(graphs))]
            graphs[key] = graph
    if any(module.training for module in model.modules()):
        warnings.warn(
            f"{type(model).__name__} is in training mode; it is explained as in evaluation mode (call model.eval())",
            UserWarning,
            stacklevel=3,
        )
    told = probabilities_told(graph)
    if told:
        warnings.warn(f"{type(model).__name__} {told}", UserWarning, stacklevel=3)
    return graph


def _converted(program: torch.export.ExportedProgram, batch: int | None, model: nn.Module) -> Graph:
    """Convert a program; tensors in attributes that were exported as buffers are constants."""
    graph = convert(program, batch)
    tensors = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    own = {name for name, _ in tensors}
    other = {name: path for name, path in graph.weights.items() if path not in own}
    if not other:
        return graph
    values = {**program.constants, **program.state_dict}
    weights = {name: path for name, path in graph.weights.items() if name not in other}
    return replace(graph, weights=weights, constants={**graph.constants, **{n: values[p] for n, p in other.items()}})

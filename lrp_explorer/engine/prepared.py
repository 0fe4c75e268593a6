"""What is made of a model's weights once and kept with the model: copies on another device, and folded forms."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer.engine.cache import Cache, Memo, default_budget, size
from lrp_explorer.engine.watch import Watch
from lrp_explorer.errors import ModelError
from lrp_explorer.graph import Graph, Ref

# Folded weights, their positive parts, and both in the order that transposes want, with something to spare.
_FORMS = 6


@dataclass(frozen=True)
class Prepared:
    """A model's weights on one device.

    Attributes
    ----------
    weights : dict
        Value name → tensor.
    folded : Cache
        Weights with batch norms folded in, and what is made of them.
    """

    weights: dict[str, Tensor]
    folded: Cache

    def memo(self, layer: str) -> Memo:
        """Keep what is made of a layer's folded weights."""

        def memo(key: Hashable, compute: Callable[[], Tensor], slot: Hashable = None) -> Tensor:
            return self.folded.get((layer, key), compute, slot and (layer, slot))

        return memo


_moved: weakref.WeakKeyDictionary[nn.Module, tuple[Any, dict[str, Tensor]]] = weakref.WeakKeyDictionary()
_folded: weakref.WeakKeyDictionary[nn.Module, tuple[Any, list[Tensor], Cache]] = weakref.WeakKeyDictionary()


def prepare(model: nn.Module, graph: Graph, device: torch.device) -> Prepared:
    """Give the model's weights on `device`, and what is still true of what was made of them before.

    Raises
    ------
    ModelError
        If the model has no values.
    """
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    own = {name: tensors[path].detach() for name, path in graph.weights.items()}
    own |= {name: constant.detach() for name, constant in graph.constants.items()}
    without = next((name for name, tensor in own.items() if tensor.device.type == "meta"), None)
    if without is not None:
        raise ModelError(
            f"the model's weight {graph.weights.get(without, without)!r} is on the device 'meta', where there are no "
            "values; expected one with values: load the weights first"
        )
    weights = _on(model, own, device)
    return Prepared(weights, _forms(model, graph, weights, device))


def _on(model: nn.Module, own: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move weights; copies made for another device are kept while the weights are unchanged."""
    if all(tensor.device == device for tensor in own.values()):
        return own
    # Versions do not tell of writes through ``tensor.data``.
    key = (device, tuple((name, tensor.data_ptr()) for name, tensor in own.items()), Watch(own.values()).state())
    kept = _moved.get(model)
    if kept is None or kept[0] != key:
        kept = _moved[model] = key, {name: tensor.to(device) for name, tensor in own.items()}
    return kept[1]


def _forms(model: nn.Module, graph: Graph, weights: dict[str, Tensor], device: torch.device) -> Cache:
    """Find what was made of these very weights, or begin anew.

    Versions of tensors do not tell of changes through ``tensor.data``, so all weights that are folded are read.
    """
    names, calls = _folds(graph)
    used = [weights[name] for name in sorted(names) if name in weights]
    if not used:
        return Cache(0)
    # The same weights may be folded in another way: with another ε of a batch norm, by another factor.
    key, values = (device, [(tensor.shape, tensor.dtype) for tensor in used], calls), _fingerprint(used)
    kept = _folded.get(model)
    if kept is None or kept[0] != key or not all(map(torch.equal, kept[1], values)):
        budget = min(_FORMS * sum(size(tensor) for tensor in used), default_budget(device))
        kept = _folded[model] = key, values, Cache(budget)
    return kept[2]


def _folds(graph: Graph) -> tuple[set[str], list[Any]]:
    """Names of all constants that layers with folded batch norms take, or compute their weights from; and how."""
    found: set[str] = set()
    calls = []
    todo = [call for node in graph if node.folded for call in (node, *node.folded)]
    while todo:
        call = todo.pop()
        calls.append((call.name, call.op, call.args, dict(call.kwargs)))
        names = {name for argument in (*call.args, *call.kwargs.values()) for name in _names(argument)} - found
        found |= names
        # Such as the direction and length that a normalised weight is made of.
        todo += [
            graph.by_name[name] for name in sorted(names) if name in graph.by_name and not graph.by_name[name].inputs
        ]
    return found, calls


def _names(argument: Any) -> Iterator[str]:
    if isinstance(argument, Ref):
        yield argument.name
    elif isinstance(argument, (tuple, list)):
        for item in argument:
            yield from _names(item)


def _fingerprint(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Random sums of the rows of matrices and filters, and all else as it is: never equal by chance."""
    # Sums of half precision would not tell small changes.
    many = [tensor for tensor in tensors if tensor.dim() > 1 and tensor.is_floating_point()]
    rows = [(tensor.float() if tensor.itemsize < 4 else tensor).reshape(len(tensor), -1) for tensor in many]
    longest = max((row.shape[1] for row in rows), default=0)
    random = torch.randn(longest, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factors = {row.dtype: random.to(row.device, row.dtype) for row in rows}
    found: dict[torch.dtype, list[Tensor]] = {}
    for row in rows:
        found.setdefault(row.dtype, []).append(row @ factors[row.dtype][: row.shape[1]])
    for tensor in tensors:
        # Masks and indices are few bits; what is complex has no such sums.
        if tensor.dim() < 2 or not tensor.is_floating_point():
            found.setdefault(tensor.dtype, []).append(tensor.reshape(-1))
    return [torch.cat(parts) for parts in found.values()]

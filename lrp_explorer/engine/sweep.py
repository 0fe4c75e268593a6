"""One setting under many values, from one recorded forward: for curves, grids and studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.composites import Composite
from lrp_explorer.engine.record import Record, resolve
from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.graph import INPUT, Graph, Node

# Operations that keep the axes and may mix what lies along one of them → where that axis stands in the arguments.
_ALONG = {
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax", "flip", "index_select", "gather"), 1),
    **dict.fromkeys(("roll", "rot90", "take_along_dim"), 2),
}
# Of two axes these mix both.
_OF_MATRICES = frozenset("scaled_dot_product_attention tril triu".split())

ARGUMENTS = ("target", "composite", "semiring", "seed")


def settings(parameter: str, values: Sequence[Any], given: dict[str, Any], graph: Graph) -> list[dict[str, Any]]:
    """Arguments of `Session.relevance` for every value of a parameter.

    Parameters
    ----------
    parameter : str
        One of those arguments, a parameter of the composite (``"gamma"``), or ``"layer:parameter"`` of one layer's
        rule (``"features.0:gamma"``).
    values : sequence
        Its values.
    given : dict
        The other arguments, the composite built.
    graph : Graph
        The model, for the names of its layers.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise InputError(f"values of {parameter!r} are {values!r}, but a sequence of values is expected")
    values = list(values)
    if not values:
        raise InputError(f"sweep over {parameter!r} has no values, but at least one is expected")
    if parameter in ARGUMENTS:
        return [given | {parameter: value} for value in values]
    composite: Composite = given["composite"]
    layer, colon, name = str(parameter).rpartition(":")
    if colon:
        layer = graph.resolve(layer)
        rule = composite.assign(graph)[layer]
        _check(name, rule, f"the rule of layer {layer!r}")
        return [
            given | {"composite": composite.override({layer: dataclasses.replace(rule, **{name: v})})} for v in values
        ]
    _check(name, composite, "the composite", ARGUMENTS)
    return [given | {"composite": dataclasses.replace(composite, **{name: value})} for value in values]


def batches(todo: Sequence[dict[str, Any]], graph: Graph, most: int) -> Iterator[Sequence[dict[str, Any]]]:
    """Put together settings, at most so many, under which the most of the layers that have weights share a rule."""
    part: list[dict[str, Any]] = []
    for one in todo:
        if part and (len(part) == most or not _alike(part[0]["composite"], one["composite"], graph)):
            yield part
            part = []
        part.append(one)
    if part:
        yield part


def _alike(first: Composite, second: Composite, graph: Graph) -> bool:
    one, other = first.assign(graph), second.assign(graph)
    weighted = [node.name for node in graph if node.weight and node.inputs]
    return 2 * sum(one[name] == other[name] for name in weighted) > len(weighted)


def batch_stays_first(record: Record) -> bool:
    """Whether every example of a batch goes its own way along the first axis of all values.

    Only then are copies of a batch, one after another along that axis, what the model makes of so many copies. A batch
    with one example more tells which axis is the batch's, whatever other axis is as long; only shapes are computed.
    """
    x: Tensor = record.values[INPUT]
    meta = torch.device("meta")
    leaves = {name: value for name, value in record.values.items() if name not in record.graph.by_name}
    values = {name: value.to(meta) if isinstance(value, Tensor) else value for name, value in leaves.items()}
    values[INPUT] = x.new_empty((len(x) + 1, *x.shape[1:]), device=meta)
    for node in record.graph:
        args, named = resolve(node.args, values), {key: resolve(value, values) for key, value in node.kwargs.items()}
        try:
            with torch.no_grad():
                value = node.target(*args, **{key: meta if key == "device" else given for key, given in named.items()})
        except (RuntimeError, NotImplementedError, TypeError, ValueError):
            # Its shape depends on values: nothing is known of it.
            return False
        values[node.name] = value
        depends = node.inputs or node.kind == "choice"
        if depends and (_mixes_examples(node) or not _grown(value, record.values.get(node.name), len(x))):
            return False
    return True


def _grown(value: Any, recorded: Any, batch: int) -> bool:
    """Whether one example more made the first axis longer by one; what was overwritten has no recorded value."""
    if not isinstance(value, Tensor) or value.dim() == 0 or value.shape[0] != batch + 1:
        return False
    return recorded is None or recorded.shape == (batch, *value.shape[1:])


def _mixes_examples(node: Node) -> bool:
    """Whether an operation that keeps the axes takes values from one example to another."""
    if node.kind == "unknown" or (node.op in _OF_MATRICES and node.rank < 3):
        return True
    if node.op not in _ALONG:
        return False
    axes = node.kwargs.get("dim", node.kwargs.get("dims", node.static(_ALONG[node.op])))
    each = [axes] if isinstance(axes, int) else axes
    return not each or 0 in [axis % node.rank for axis in each]


def _check(name: str, owner: Any, what: str, more: Sequence[str] = ()) -> None:
    known = [field.name for field in dataclasses.fields(owner) if field.init and field.name != "overrides"]
    if name not in known:
        raise unknown_name(
            "parameter", name, [*known, *more], f"These are of {what}, {owner!r}; write layer:parameter for a layer's."
        )

"""One setting under many values, from one recorded forward: for curves, grids and studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from lrp_explorer.composites import Composite
from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.graph import Graph

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
    weighted = [node.name for node in graph if node.weight]
    return 2 * sum(one[name] == other[name] for name in weighted) > len(weighted)


def _check(name: str, owner: Any, what: str, more: Sequence[str] = ()) -> None:
    known = [field.name for field in dataclasses.fields(owner) if field.init]
    if name not in known:
        raise unknown_name(
            "parameter", name, [*known, *more], f"These are of {what}, {owner!r}; write layer:parameter for a layer's."
        )

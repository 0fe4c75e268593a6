"""Before anything is computed: which rule will serve which layer, and what is out of the ordinary."""

from __future__ import annotations

from torch import Tensor, nn

from lrp_explorer.composites import Composite, build
from lrp_explorer.engine.checks import check_input, check_model, traced
from lrp_explorer.graph import Graph
from lrp_explorer.results import CoverageRow, Table


def coverage(model: nn.Module, x: Tensor, composite: str | Composite = "epsilon-plus-flat") -> Table[CoverageRow]:
    """Tell which rule will serve which layer, before anything is propagated.

    Parameters
    ----------
    model, x, composite
        As for `explain`; only the shape of `x` counts.
    """
    graph = traced(check_model(model), check_input(model, x))
    return coverage_rows(graph, build(composite, getattr(model, "input_bounds", None)))


def coverage_rows(graph: Graph, composite: Composite) -> Table[CoverageRow]:
    """Rows of the coverage report, input side first."""
    rules = composite.assign(graph)
    notes: dict[str, list[str]] = {}
    for layer, note in graph.notes:
        notes.setdefault(layer, []).append(note)
    for node in graph:
        if "@" in node.name:
            notes.setdefault(node.name, []).append("module used again")
    return Table(
        [
            CoverageRow(node.name, node.op, repr(rules[node.name]), "; ".join(notes.get(node.name, [])))
            for node in graph
            if node.inputs
        ]
    )

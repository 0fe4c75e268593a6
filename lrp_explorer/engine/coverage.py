"""Before anything is computed: which rule will serve which layer, and what is out of the ordinary."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lrp_explorer import semirings
from lrp_explorer.composites import Composite, build
from lrp_explorer.engine.checks import check_input, check_model, traced
from lrp_explorer.engine.devices import pick_device
from lrp_explorer.engine.paths import has_edges
from lrp_explorer.engine.thresholds import told
from lrp_explorer.graph import Graph, Node
from lrp_explorer.graph.gates import signal_shares
from lrp_explorer.results import CoverageRow, Table
from lrp_explorer.rules import Gradient, Pass, Rule, Signal
from lrp_explorer.semirings import PathSemiring, Real, Semiring
from lrp_explorer.semirings.kernels import name_for


def coverage(
    model: nn.Module,
    x: Tensor,
    composite: str | Composite = "epsilon-plus-flat",
    semiring: str | Semiring = "real",
    device: str | torch.device = "auto",
) -> Table[CoverageRow]:
    """Tell which rule will serve which layer, before anything is propagated.

    Parameters
    ----------
    model, x, composite, semiring, device
        As for `explain`; only the shape of `x` counts.
    """
    x = check_input(check_model(model), x)
    graph = traced(model, x)
    built = build(composite, getattr(model, "input_bounds", None))
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    weights = {name: tensors[path] for name, path in graph.weights.items()}
    return coverage_rows(graph, built, semirings.build(semiring), pick_device(device, x), weights)


def coverage_rows(
    graph: Graph, composite: Composite, semiring: Semiring, device: torch.device, weights: Mapping[str, Tensor]
) -> Table[CoverageRow]:
    """Rows of the coverage report, input side first."""
    rules = composite.assign(graph)
    notes: dict[str, list[str]] = {}
    for layer, note in graph.notes:
        notes.setdefault(layer, []).append(note)
    paths = type(semiring) is not Real
    thetas = told(graph, semiring) if paths else {}
    for node in graph:
        if node.inputs:
            said = notes.setdefault(node.name, [])
            said += _of_rule(graph, node, rules[node.name])
            said += _of_paths(node, rules[node.name], semiring, device, weights) if paths else []
            said += [thetas[node.name]] if node.name in thetas else []
    return Table(
        [
            CoverageRow(node.name, node.op, repr(rules[node.name]), "; ".join(notes.get(node.name, [])))
            for node in graph
            if node.inputs
        ]
    )


def _of_rule(graph: Graph, node: Node, rule: Rule) -> list[str]:
    said = ["module used again"] if "@" in node.name else []
    if isinstance(rule, Gradient):
        said.append("fallback on request: relevance takes the way of the gradient")
    elif node.kind == "gate" and isinstance(rule, Signal):
        halved = signal_shares(graph, node) == (0.5, 0.5)
        said.append("product: half to each factor" if halved else "gate: all relevance to the signal")
    elif node.kind == "gate":
        said.append("gate")
    if node.op.endswith("log_softmax") and not isinstance(rule, Pass):
        said.append("logits minus their normaliser, which counts as a constant")
    return said


def _of_paths(
    node: Node, rule: Rule, semiring: Semiring, device: torch.device, weights: Mapping[str, Tensor]
) -> list[str]:
    """What is to be said of a layer's edges: their kernel, their pooling, or that there are none."""
    if not has_edges(node, rule):
        return [f"no edges: {type(rule).__name__} cannot be taken apart into pairs, and the walk will be refused"]
    if node.kind in ("convolution", "linear"):
        rank = {"1d": 1, "2d": 2, "3d": 3}.get(node.op[-2:], 0)
        dtype = next((w.dtype for w in weights.values() if w.dtype.is_floating_point), torch.float32)
        return [f"kernel: {name_for(semiring, rank, device, dtype)}"]
    return [f"pooling: {semiring.pooling}"] if node.kind == "max_pool" and isinstance(semiring, PathSemiring) else []

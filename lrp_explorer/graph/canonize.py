"""Rewrites that leave the function as it is and make relevance well defined."""

from __future__ import annotations

from dataclasses import replace

from lrp_explorer.graph.nodes import Graph, Node, Ref
from lrp_explorer.graph.response_norm import gather_response_norms


def canonize(graph: Graph) -> Graph:
    """Apply all rewrites."""
    return fold_batch_norms(gather_response_norms(graph))


def fold_batch_norms(graph: Graph) -> Graph:
    """Fold every batch norm that directly follows a convolution or dense layer into that layer's weights.

    Relevance of the folded layer's output is that of the batch norm's output, and both names stay known.
    A batch norm that stands elsewhere (before a convolution, after a sum or a concatenation) stays a layer of its own.
    """
    nodes = {node.name: node for node in graph}
    notes = []
    for node in graph:
        if node.kind != "batch_norm":
            continue
        source = nodes.get(node.inputs[0])
        if source is None or source.kind not in ("convolution", "linear") or not _foldable(graph, source):
            notes.append((node.name, "batch norm not folded: a layer of its own, one factor and one bias a channel"))
            continue
        nodes[source.name] = replace(source, norms=(*source.norms, node))
        nodes[node.name] = replace(node, kind="identity", op="folded", target=_same, args=(Ref(source.name),))
        notes.append((node.name, f"folded into {source.name}"))
    return graph.with_nodes(tuple(nodes[node.name] for node in graph), tuple(notes))


def _same(value: object) -> object:
    return value


def _foldable(graph: Graph, source: Node) -> bool:
    """Only where nobody else reads the layer's output, and its weights are constants in their usual place."""
    reads_constants = len(source.inputs) == 1 and source.args[0] == Ref(source.inputs[0])
    return (
        len(graph.consumers[source.name]) == 1 and source.op not in ("matmul", "bmm", "addmm", "mm") and reads_constants
    )

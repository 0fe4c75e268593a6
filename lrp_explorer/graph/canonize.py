"""Rewrites that leave the function as it is and make relevance well defined."""

from __future__ import annotations

from dataclasses import replace

from lrp_explorer.graph.layer_norm import gather_layer_norms
from lrp_explorer.graph.nodes import Graph, Node, Ref
from lrp_explorer.graph.response_norm import gather_response_norms
from lrp_explorer.graph.selections import gather_selections
from lrp_explorer.graph.spectra import gather_spectra
from lrp_explorer.graph.writes import gather_writes


def canonize(graph: Graph) -> Graph:
    """Apply all rewrites."""
    told = gather_spectra(gather_selections(gather_writes(graph)))
    return fold_batch_norms(gather_layer_norms(gather_response_norms(told)))


def fold_batch_norms(graph: Graph) -> Graph:
    """Fold every batch norm next to a convolution or dense layer into that layer's weights.

    One that directly follows such a layer is folded into it if it acts on the layer's channels (those of a dense layer
    of sequences are elsewhere), and relevance of the layer's output is that of the batch norm's. One that directly
    precedes a dense layer or a convolution without padding (padding adds zeros that the batch norm would have moved) is
    folded into that. Both names stay known. A batch norm that stands elsewhere (between a sum or a concatenation and a
    ReLU, as in DenseNet) stays a layer of its own.
    """
    nodes = {node.name: node for node in graph}
    notes = []
    for node in graph:
        if node.kind != "batch_norm":
            continue
        source, reader = nodes.get(node.inputs[0]), _sole_reader(graph, node)
        if source is not None and source.kind in ("convolution", "linear") and _foldable(graph, source):
            nodes[source.name] = replace(source, norms=(*source.norms, node))
            host = source
        elif reader is not None and _takes_before(nodes[reader.name]):
            nodes[reader.name] = replace(nodes[reader.name], before=(node,))
            host = reader
        else:
            notes.append((node.name, "batch norm not folded: a layer of its own, one factor and one bias a channel"))
            continue
        nodes[node.name] = replace(node, kind="identity", op="folded", target=_same, args=(Ref(node.inputs[0]),))
        notes.append((node.name, f"folded into {host.name}"))
    return graph.with_nodes(tuple(nodes[node.name] for node in graph), tuple(notes))


def _sole_reader(graph: Graph, node: Node) -> Node | None:
    readers = graph.readers[node.name]
    return readers[0] if len(readers) == 1 and node.name != graph.output else None


def _takes_before(reader: Node) -> bool:
    """Whether a batch norm in front can be folded in: its channels are the inputs, and no padding comes between."""
    if reader.before or reader.args[0] != Ref(reader.inputs[0]) or len(reader.inputs) != 1:
        return False
    if reader.op not in ("linear", "conv1d", "conv2d", "conv3d") or not _has_channels_second(reader):
        return False
    if reader.op == "linear":
        return True
    padding = reader.kwargs.get("padding", reader.static(4, 0))
    return padding == "valid" or (padding != "same" and not any([padding] if isinstance(padding, int) else padding))


def _same(value: object) -> object:
    return value


def _foldable(graph: Graph, source: Node) -> bool:
    """Only where nobody else reads the layer's output, and its weights are constants in their usual place."""
    reads_constants = len(source.inputs) == 1 and source.args[0] == Ref(source.inputs[0])
    usual = source.op not in ("matmul", "bmm", "addmm", "mm") and _has_channels_second(source)
    return len(graph.readers[source.name]) == 1 and usual and reads_constants


def _has_channels_second(layer: Node) -> bool:
    """Whether a layer's channels are on the second axis, as a batch norm's are.

    Those of a dense layer are on the last, and a convolution may have been given one example without a batch.
    """
    return layer.rank == len(layer.weight) > 1

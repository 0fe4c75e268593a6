"""Finds local response normalisation, which PyTorch writes as seven operations, and makes one node of it."""

from __future__ import annotations

from torch.nn import functional

from lrp_explorer.graph.nodes import Graph, Node, Ref

_MOVES = ("unsqueeze", "pad", "squeeze", "view", "reshape", "constant_pad_nd")


def gather_response_norms(graph: Graph) -> Graph:
    """Replace every x / (k + α·mean(x²))^β over a window of channels by one node of kind ``"response_norm"``."""
    found = {node.name: parts for node in graph if (parts := _match(graph, node))}
    if not found:
        return graph
    inside = {name for _, chain in found.values() for name in chain}
    nodes = tuple(
        found[node.name][0] if node.name in found else node for node in graph.nodes if node.name not in inside
    )
    return graph.with_nodes(nodes)


def _match(graph: Graph, node: Node) -> tuple[Node, list[str]] | None:
    """Return the one node, and the names of those that it stands for besides `node` itself."""
    if node.op != "div" or len(node.inputs) != 2:
        return None
    source, name = node.inputs
    steps: dict[str, Node] = {}
    chain: list[str] = []
    while name != source:
        step = graph.by_name.get(name)
        if step is None or len(graph.consumers[name]) != 1 or len(set(step.inputs)) != 1:
            return None
        role = "square" if step.inputs == (source, source) else step.op
        if role in steps and role not in _MOVES:
            return None
        steps[role] = step
        chain.append(name)
        name = step.inputs[0]
    pool = next((step for op, step in steps.items() if op.startswith("avg_pool")), None)
    if pool is None or not {"pow", "add", "mul", "square"} <= set(steps):
        return None
    alpha, offset, beta = (steps[op].static(1) for op in ("mul", "add", "pow"))
    numbers = (max(pool.args[1]), alpha, beta, offset)
    if not all(isinstance(number, (int, float)) for number in numbers):
        return None
    made = Node(
        name=node.name,
        op="local_response_norm",
        kind="response_norm",
        target=functional.local_response_norm,
        args=(Ref(source), *numbers),
        inputs=(source,),
        module=node.module,
        source=node.source,
    )
    return made, chain

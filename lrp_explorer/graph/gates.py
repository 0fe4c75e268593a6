"""Which factor of a product is a gate: a number that says how much of the other factor is let through."""

from __future__ import annotations

from lrp_explorer.graph.nodes import Graph, Node

_GATES = frozenset("sigmoid hardsigmoid softmax _softmax linalg_vector_norm var std clamp_min erf".split())
_ROOTS = frozenset("sqrt rsqrt reciprocal".split())
# What leaves a gate a gate: it is moved, scaled, or taken from 1.
_KEPT = frozenset("reshape identity scale shift concatenation".split())


def signal_shares(graph: Graph, node: Node) -> tuple[float, ...]:
    """Share of relevance of a product or quotient that each of its two factors receives.

    The signal receives all of it, the gate nothing; where neither factor is a gate, or both are, each receives half.
    The divisor of a quotient is a gate.
    """
    gates = [is_gate(graph, name) for name in node.inputs] if node.op == "mul" else [False, True]
    return tuple(0.0 if gate else 1.0 for gate in gates) if sum(gates) == 1 else (0.5, 0.5)


def is_gate(graph: Graph, name: str) -> bool:
    """Whether a value is a sigmoid, softmax or norm, whatever way it is written, moved or scaled."""
    shifted = False
    while (node := graph.by_name.get(name)) is not None and node.inputs:
        if _computes_gate(graph, node, shifted):
            return True
        if node.kind not in _KEPT or len(set(node.inputs)) != 1:
            return False
        shifted = shifted or node.kind == "shift"
        name = node.inputs[0]
    return False


def _computes_gate(graph: Graph, node: Node, shifted: bool) -> bool:
    # A constant divided by a value is that value's reciprocal.
    if node.op in _GATES or node.op in _ROOTS or (node.op == "div" and node.kind == "activation"):
        return True
    source = graph.by_name.get(node.inputs[0])
    if node.op == "pow":
        exponent = node.static(1)
        return isinstance(exponent, (int, float)) and exponent < 1
    if node.op == "tanh":
        # 1 + tanh is twice a sigmoid; tanh of what is never negative lies between 0 and 1.
        return shifted or (source is not None and source.op == "softplus")
    if node.op == "relu6":
        # relu6(x + 3) is six times the hard sigmoid.
        return source is not None and source.kind == "shift"
    return node.op in ("hardtanh", "clamp") and (node.static(1, -1.0), node.static(2, 1.0)) == (0, 1)

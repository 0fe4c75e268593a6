"""Outputs that are probabilities, or logarithms of some: found by what reaches the output value by value."""

from __future__ import annotations

from collections.abc import Mapping

from lrp_explorer.graph.nodes import INPUT, Graph, Node
from lrp_explorer.graph.ops import CHOICES

# Operations that turn scores into probabilities, or into the logarithms of these.
_SQUASHING = frozenset(
    "softmax _softmax log_softmax _log_softmax sigmoid hardsigmoid log_sigmoid logsigmoid log_sigmoid_forward".split()
)
# Kinds that act value by value, or move, join and average values: what they make of probabilities are no logits.
_THROUGH = frozenset(
    "activation average_pool concatenation gate identity interpolation max_pool reshape scale shift sum".split()
)


def probabilities_told(graph: Graph) -> str:
    """Tell that a model's output is made of probabilities, and how its logits can be explained; "" where it is not.

    A sigmoid or softmax counts where all that reaches the output with it, by operations value by value, is such a
    probability, too: the gate of a product with features is none, nor is attention, which a product of matrices ends.
    """
    reached = _reached(graph)
    found = _squashing(graph, reached)
    if not found:
        return ""
    ends = ", ".join(f"{node.op.removeprefix('_')} ({node.name!r})" for node in found)
    told = (
        f"ends in {ends}, so its output is no logits, and relevance fades as a probability nears 0 or 1. "
        "Let forward() return the logits"
    )
    if any(_by_hand(graph, node) for node in found):
        return told
    # Other operations on the way pass relevance on as they are.
    passed = [node.name for node in reached if node.kind in ("shift", "softmax")]
    overrides = ", ".join(f"{name!r}: lrp.rules.Pass()" for name in passed)
    return f"{told}; or pass over it, by " + (
        f"composite.override({{{overrides}}}) and seed='one'" if passed else "seed='one'"
    )


def _reached(graph: Graph) -> list[Node]:
    """Nodes between the output and what squashes, both included, in order of execution."""
    todo, reached = [graph.output], set()
    while todo:
        node = graph.by_name.get(todo.pop())
        if node is None or node.name in reached:
            continue
        reached.add(node.name)
        if node.kind in _THROUGH and not _squashes(graph, node):
            todo += _carriers(graph, node)
    return [node for node in graph if node.name in reached]


def _squashing(graph: Graph, reached: list[Node]) -> list[Node]:
    """Nodes that squash, where the output is made of nothing else; where it joins values, where some are made so."""
    found: dict[str, dict[str, Node]] = {}
    for node in reached:
        if _squashes(graph, node):
            found[node.name] = {node.name: node}
            continue
        parts = [found.get(name, {}) for name in _carriers(graph, node)] if node.kind in _THROUGH else []
        enough = any(parts) if node.kind == "concatenation" else bool(parts) and all(parts)
        found[node.name] = {name: squash for part in parts for name, squash in part.items()} if enough else {}
    return list(found.get(graph.output, {}).values())


def _carriers(graph: Graph, node: Node) -> list[str]:
    """Names of the inputs whose values go on; conditions only choose among them."""
    by_name: Mapping[str, Node] = graph.by_name
    return [n for n in dict.fromkeys(node.inputs) if n == INPUT or by_name[n].op not in CHOICES]


def _squashes(graph: Graph, node: Node) -> bool:
    return node.op in _SQUASHING or _by_hand(graph, node)


def _by_hand(graph: Graph, node: Node) -> bool:
    """Whether a node is the last of 1 / (1 + exp(−x)), exp(x) / Σ exp(x), x − log Σ exp(x) or relu6(x + 3)."""
    above = [graph.by_name.get(name) for name in node.inputs]
    if not above or any(source is None for source in above):
        return False
    if node.op == "sub":
        return _logarithm(graph, node.inputs[-1]) == node.inputs[0]
    if node.op == "relu6":
        return above[0].kind == "shift"  # type: ignore[union-attr]
    if node.op in ("reciprocal", "div") and node.kind == "activation":
        return above[0].kind == "shift" and _exponent(graph, above[0]) != ""  # type: ignore[union-attr]
    if node.op == "div" and node.kind == "gate" and above[0].op == "exp":  # type: ignore[union-attr]
        return _exponent(graph, above[-1]) == above[0].inputs[0]  # type: ignore[union-attr]
    return False


def _logarithm(graph: Graph, name: str) -> str:
    """Name of x where a value is log Σ exp(x), of which the sum's axes may have been put back; "" for any other."""
    node = graph.by_name.get(name)
    while node is not None and node.kind == "reshape":
        node = graph.by_name.get(node.inputs[0])
    return node.inputs[0] if node is not None and node.op == "logsumexp" else ""


def _exponent(graph: Graph, node: Node | None) -> str:
    """Name of x where a node adds something to exp(x), or adds it up; "" for any other."""
    while node is not None and node.kind in ("shift", "average_pool", "reshape") and len(node.inputs) == 1:
        node = graph.by_name.get(node.inputs[0])
    return node.inputs[0] if node is not None and node.op == "exp" else ""

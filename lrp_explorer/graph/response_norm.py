"""Finds local response normalisation, which PyTorch writes as seven operations, and makes one node of it."""

from __future__ import annotations

from typing import Any

from torch.nn import functional

from lrp_explorer.graph.nodes import Graph, Node, Ref
from lrp_explorer.graph.written_norm import written_norm

# What `torch.nn.functional.local_response_norm` computes its divisor by, from the quotient back to the square.
_SEQUENCE = ("pow", "add", "mul", "squeeze", "avg_pool2d", "pad", "unsqueeze", "mul")
_IMAGE = ("pow", "add", "mul", "view", "squeeze", "avg_pool3d", "pad", "view", "mul")
_SPELLINGS = {"constant_pad_nd": "pad", "reshape": "view", "_unsafe_view": "view"}


def gather_response_norms(graph: Graph) -> Graph:
    """Replace every x / (k + α·mean(x²))^β over a window of channels by one node of kind ``"response_norm"``.

    The very operations by which PyTorch writes it are taken for it, and any others that compute the same
    (`written_norm`); windows in space are something else.
    """
    found = {node.name: parts for node in graph if (parts := _match(graph, node) or written_norm(graph, node))}
    if not found:
        return graph
    inside = {name for _, chain in found.values() for name in chain}
    nodes = tuple(
        found[node.name][0] if node.name in found else node for node in graph.nodes if node.name not in inside
    )
    return graph.with_nodes(nodes)


def _match(graph: Graph, node: Node) -> tuple[Node, list[str]] | None:
    """Return the one node, and the names of those that it stands for besides `node` itself."""
    if node.op != "div" or len(node.inputs) != 2 or node.args != tuple(map(Ref, node.inputs)) or node.kwargs:
        return None
    source, divisor = node.inputs
    steps = _divisor(graph, source, divisor, _SEQUENCE if node.rank == 3 else _IMAGE)
    if steps is None:
        return None
    power, offset, factor, *_ = steps
    pool, padding = next((step, steps[i + 1]) for i, step in enumerate(steps) if step.op.startswith("avg_pool"))
    size = pool.args[1][0]
    numbers = (size, factor.static(1), power.static(1), offset.static(1))
    if not (all(isinstance(number, (int, float)) for number in numbers) and _over_channels(pool, padding, size)):
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
        rank=node.rank,
    )
    return made, [step.name for step in steps]


def _divisor(graph: Graph, source: str, name: str, operations: tuple[str, ...]) -> list[Node] | None:
    """Return the nodes between a value and what it is divided by, where they are these, one after another."""
    steps: list[Node] = []
    for operation in operations:
        step = graph.by_name.get(name)
        if step is None or _SPELLINGS.get(step.op, step.op) != operation or step.kwargs:
            return None
        if len(graph.readers[name]) != 1 or len(set(step.inputs)) != 1:
            return None
        steps.append(step)
        name = step.inputs[0]
    squares = steps[-1].inputs == (source, source) and all(step.args[0] == Ref(step.inputs[0]) for step in steps)
    return steps if squares and _with_axis_before_channels(steps) else None


def _with_axis_before_channels(steps: list[Node]) -> bool:
    """Whether an axis of size 1 is put in before the channels, and taken away again."""
    if any(step.args[1:] != (1,) for step in steps if step.op in ("squeeze", "unsqueeze")):
        return False
    shapes = [list(step.args[1]) for step in steps if _SPELLINGS.get(step.op, step.op) == "view"]
    return not shapes or shapes[1] == [shapes[0][0], 1, *shapes[0][1:3], -1]


def _over_channels(pool: Node, padding: Node, size: int) -> bool:
    """Whether every window holds `size` channels of one place, as many of them before as behind it, and zeros beyond.

    The channels are the first axis that is pooled.
    """
    axes = 2 if pool.op == "avg_pool2d" else 3
    space: list[Any] = [0] * (2 * axes - 2)
    return (
        tuple(pool.args[1:]) == ([size, *[1] * (axes - 1)], [1] * axes)
        and list(padding.args[1]) == [*space, size // 2, (size - 1) // 2]
        and set(padding.args[2:]) <= {"constant", None, 0}
    )

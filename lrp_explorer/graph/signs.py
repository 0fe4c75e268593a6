"""What can be proved of signs from the graph alone, so that no value has to be inspected while relevance flows."""

from __future__ import annotations

from collections.abc import Collection

from lrp_explorer.graph.layer_norm import is_centred
from lrp_explorer.graph.nodes import INPUT, Graph, Node, Ref
from lrp_explorer.graph.ops import OPS

# f(0) = 0, so where the input is zero the output is zero too.
_FIXES_ZERO = frozenset(
    "relu relu6 hardtanh clamp_min gelu silu mish tanh hardswish elu selu celu leaky_relu prelu hardshrink "
    "softshrink abs square softsign erf rrelu _prelu_kernel".split()
)
# What leaves the values of a constant as they are.
_MOVES = frozenset("lift_fresh_copy detach alias clone expand view reshape unsqueeze squeeze permute repeat".split())
# The mode of `torch.nn.functional.grid_sample` whose coefficients have either sign.
_BICUBIC = 2


def nonnegative(graph: Graph, *, input_nonnegative: bool) -> frozenset[str]:
    """Names of the values that cannot be negative, whatever the input (of which `input_nonnegative` tells the sign)."""
    known = {INPUT} if input_nonnegative else set()
    for node in graph:
        if node.inputs and _stays_nonnegative(graph, node, known):
            known.add(node.name)
    return frozenset(known)


def _stays_nonnegative(graph: Graph, node: Node, known: Collection[str]) -> bool:
    inputs = all(name in known for name in node.inputs)
    if node.kind == "identity":
        return inputs
    if node.op in ("hardtanh", "clamp", "clamp_min"):
        low = node.static(1, -1.0 if node.op == "hardtanh" else None)
        return isinstance(low, (int, float)) and low >= 0
    sign = OPS[node.op].sign if node.op in OPS else "any"
    if sign != "keeps":
        return sign == "nonnegative"
    return inputs and _constants_nonnegative(graph, node)


def _constants_nonnegative(graph: Graph, node: Node) -> bool:
    """Whether the constants that are joined, added, multiplied or padded with are known not to be negative."""
    if node.op in ("sub", "rsub"):
        return False
    if node.op in ("cat", "stack"):
        joined = (part.name for part in node.args[0] if part.name not in node.inputs)
        return all(_constant_nonnegative(graph, name) for name in joined)
    if node.op == "grid_sampler":
        return node.static(2) != _BICUBIC
    if node.op == "add":
        alpha = node.kwargs.get("alpha", node.static(2, 1))
        if not isinstance(alpha, (int, float)) or alpha < 0:
            return False
    if node.op in ("pad", "constant_pad_nd"):
        values = [value for value in node.args[2:] if isinstance(value, (int, float))]
        return all(value >= 0 for value in values)
    if node.kind in ("shift", "scale"):
        return all(isinstance(value, (int, float)) and value >= 0 for value in node.args[1:])
    return True


def _constant_nonnegative(graph: Graph, name: str) -> bool:
    """Whether a constant stands in the code and holds no negative value; one that is computed or learnt may."""
    while (node := graph.by_name.get(name)) is not None:
        if node.op not in _MOVES or not isinstance(node.args[0], Ref):
            return False
        name = node.args[0].name
    return name in graph.constants and bool((graph.constants[name] >= 0).all())


def clips_negative(node: Node) -> bool:
    """Whether the node is a ReLU: zero exactly where its input is not positive, ReLU6 included."""
    if node.op in ("hardtanh", "clamp", "clamp_min"):
        return node.static(1) == 0
    return node.op in ("relu", "relu6")


def fixes_zero(node: Node) -> bool:
    """Whether a zero input makes the output zero, for operations that act value by value or move values."""
    if node.kind in ("identity", "concatenation", "max_pool", "scale", "gate"):
        return True
    if node.kind == "layer_norm":
        return not is_centred(node)
    if node.kind == "reshape":
        return node.op not in ("pad", "constant_pad_nd") or not node.args[2:]
    if node.op in ("hardtanh", "clamp"):
        low, high = node.static(1, -1.0), node.static(2, 1.0)
        return all(isinstance(v, (int, float)) for v in (low, high)) and low <= 0 <= high
    return node.kind == "activation" and node.op in _FIXES_ZERO

"""One step down through layers without weights: relevance is moved, split, shared, or given to a winner."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lrp_explorer.engine.account import Account, divide, per_example, scaled_epsilon
from lrp_explorer.engine.maps import vjp
from lrp_explorer.engine.record import Record, resolve
from lrp_explorer.graph import Node, Ref
from lrp_explorer.rules import Average, Epsilon, Magnitude, Zero

# Operations that leave the order of the elements as it is.
SAME_ORDER = frozenset(
    "view reshape _unsafe_view flatten unflatten squeeze unsqueeze clone contiguous alias detach _to_copy dropout "
    "native_dropout feature_dropout lift_fresh_copy to".split()
)
# Functions whose value says how much of the other factor is let through.
GATES = frozenset("sigmoid hardsigmoid softmax _softmax linalg_vector_norm clamp_min sqrt rsqrt pow".split())


def value_of(node: Node, record: Record, position: int = 0) -> Any:
    """Return the node as a function of its input number `position`, the others fixed at their recorded values."""
    source = node.inputs[position]

    def function(value: Tensor) -> Tensor:
        values = {**record.values, source: value}
        kwargs = {k: value.device if k == "device" else resolve(v, values) for k, v in node.kwargs.items()}
        return node.target(*resolve(node.args, values), **kwargs)

    return function


def fit(relevance: Tensor, x: Tensor) -> Tensor:
    """Sum relevance over the axes along which `x` was broadcast."""
    if relevance.shape == x.shape:
        return relevance
    return relevance.sum_to_size(x.shape)


def move(node: Node, record: Record, relevance: Tensor, account: Account | None = None) -> list[Tensor]:
    """Take relevance back along moved values; constants among them, such as a class token or padding, keep theirs."""
    parts = _moved(node, record, relevance)
    if account is not None:
        # In one number: where windows are cut, the first axis is not that of the examples.
        account.to_bias = relevance.sum(dtype=torch.float64) - sum(part.sum(dtype=torch.float64) for part in parts)
    return parts


def _moved(node: Node, record: Record, relevance: Tensor) -> list[Tensor]:
    if node.kind in ("activation", "identity", "batch_norm"):
        return [relevance]
    x = record.value(node.inputs[0])
    if node.op in SAME_ORDER:
        return [relevance.reshape(x.shape)]
    if node.kind in ("scale", "shift"):
        return [fit(relevance, x)]
    if node.kind == "concatenation":
        return _split(node, record, relevance)
    return [vjp(value_of(node, record), x, relevance)]


def _split(node: Node, record: Record, relevance: Tensor) -> list[Tensor]:
    axis = node.kwargs.get("dim", node.static(1, 0))
    if node.op == "stack":
        parts: tuple[Tensor, ...] = relevance.unbind(axis)
    else:
        parts = relevance.split([resolve(ref, record.values).shape[axis] for ref in node.args[0]], axis)
    return [part for ref, part in zip(node.args[0], parts, strict=True) if ref.name in node.inputs]


def share_sum(
    node: Node, rule: Zero | Epsilon, record: Record, relevance: Tensor, account: Account | None
) -> list[Tensor]:
    """Share relevance of a sum among its summands, in proportion to each; a constant summand counts as a bias."""
    left, right = (resolve(arg, record.values) for arg in node.args[:2])
    alpha = node.kwargs.get("alpha", node.static(2, 1))
    signs = {"add": (1.0, alpha), "sub": (1.0, -alpha), "rsub": (-alpha, 1.0)}[node.op]
    summands = list(zip(node.args[:2], (left, right), signs, strict=True))
    data = [(arg, value, sign) for arg, value, sign in summands if isinstance(arg, Ref) and arg.name in node.inputs]
    z = record.value(node.name)
    constant = next((value * sign for arg, value, sign in summands if not _among(arg, node)), None)
    if constant is not None and rule.bias == "ignore":
        z = z - constant
    epsilon = float(rule.stabilizer) if rule.relative is None else scaled_epsilon(rule, z)
    s = divide(relevance, z, epsilon)
    if account is not None:
        account.book(relevance, s, z, epsilon)
        if constant is not None and rule.bias == "absorb":
            account.to_bias = per_example(s * constant)
    return [fit(s * value if sign == 1.0 else s * value * sign, value) for _, value, sign in data]


def by_magnitude(
    node: Node, rule: Magnitude, record: Record, relevance: Tensor, account: Account | None
) -> list[Tensor]:
    """Share relevance of a sum among its summands by their magnitudes."""
    alpha = abs(node.kwargs.get("alpha", node.static(2, 1)))
    factors = (alpha, 1) if node.op == "rsub" else (1, alpha)
    sizes = [record.value(name).abs() * factor for name, factor in zip(node.inputs, factors, strict=True)]
    total = sizes[0] + sizes[1]
    s = divide(relevance, total, rule.stabilizer)
    if account is not None:
        account.book(relevance, s, total, rule.stabilizer)
    return [fit(size * s, record.value(name)) for size, name in zip(sizes, node.inputs, strict=True)]


def by_gradient(node: Node, record: Record, relevance: Tensor, account: Account | None) -> list[Tensor]:
    """Take relevance the way of the gradient."""
    parts = [
        vjp(value_of(node, record, position), record.value(name), relevance)
        for position, name in enumerate(node.inputs)
    ]
    if account is not None:
        account.other = per_example(relevance) - sum(per_example(part) for part in parts)
    return parts


def _among(arg: Any, node: Node) -> bool:
    return isinstance(arg, Ref) and arg.name in node.inputs


def to_winner(node: Node, record: Record, relevance: Tensor) -> list[Tensor]:
    """Give relevance of every window to its largest input."""
    x = record.value(node.inputs[0])
    if node.name not in record.winners:
        return [vjp(value_of(node, record), x, relevance)]
    _, kernel, *rest = record.arguments(node)[0]
    stride, padding, dilation, ceil = (*rest, *([], 0, 1, False)[len(rest) :])
    return [
        torch.ops.aten.max_pool2d_with_indices_backward(
            relevance, x, kernel, stride or kernel, padding, dilation, ceil, record.winners[node.name]
        )
    ]


def average(node: Node, rule: Average, record: Record, relevance: Tensor, account: Account | None) -> list[Tensor]:
    """Share relevance of every window among its inputs, in proportion to each."""
    x = record.value(node.inputs[0])
    args = record.arguments(node)[0]

    def mean(value: Tensor) -> Tensor:
        if node.op.startswith("adaptive"):
            pool = {
                1: functional.adaptive_avg_pool1d,
                2: functional.adaptive_avg_pool2d,
                3: functional.adaptive_avg_pool3d,
            }
            return pool[value.dim() - 2](value, args[1])
        _, kernel, *rest = args
        stride, padding, dilation, ceil = (*rest, *([], 0, 1, False)[len(rest) :])
        if any(step != 1 for step in ([dilation] if isinstance(dilation, int) else dilation)):
            return _spread_mean(value, kernel, stride or kernel, padding, dilation)
        pool = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
        return pool[value.dim() - 2](value, kernel, stride or kernel, padding, ceil)

    z = mean(x)
    s = divide(relevance, z, rule.stabilizer)
    if account is not None:
        account.book(relevance, s, z, rule.stabilizer)
    return [vjp(mean, x, s) * x]


def _spread_mean(value: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Tensor:
    """Average over windows with gaps, which average pooling does not know, as a convolution of every channel."""
    rank = value.dim() - 2
    size = [kernel] * rank if isinstance(kernel, int) else list(kernel) * (rank // len(kernel))
    weight = value.new_full((value.shape[1], 1, *size), 1.0 / math.prod(size))
    convolution = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[rank]
    return convolution(value, weight, None, stride, padding, dilation, groups=value.shape[1])


def to_signal(node: Node, record: Record, relevance: Tensor, account: Account | None) -> list[Tensor]:
    """Give relevance of a product to its signal; where no factor is a gate, or both are, to each one half."""
    by_name = record.graph.by_name
    ops = ["" if name not in by_name else by_name[name].op for name in node.inputs]
    gates = [op in GATES for op in ops] if node.op == "mul" else [False, True]
    shares = [0.0 if gate else 1.0 for gate in gates] if sum(gates) == 1 else [0.5, 0.5]
    values = [record.value(name) for name in node.inputs]
    return [
        fit(relevance if share == 1.0 else relevance * share, value)
        for share, value in zip(shares, values, strict=True)
    ]

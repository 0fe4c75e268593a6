"""One step down through layers without weights: relevance is moved, split, shared, or given to a winner."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.account import Account, divide, per_example, scaled_epsilon, unaccounted
from lrp_explorer.engine.maps import vjp
from lrp_explorer.engine.means import averaging
from lrp_explorer.engine.record import Record, resolve
from lrp_explorer.engine.windows import first_largest, kept_axes, pooled_axes
from lrp_explorer.errors import CoverageError
from lrp_explorer.graph import Node, Ref
from lrp_explorer.graph.gates import signal_shares
from lrp_explorer.rules import Average, Epsilon, Magnitude, Zero

# Operations that leave the order of the elements as it is.
SAME_ORDER = frozenset(
    "view reshape _unsafe_view flatten unflatten squeeze unsqueeze clone contiguous alias detach _to_copy dropout "
    "native_dropout feature_dropout alpha_dropout feature_alpha_dropout lift_fresh_copy to type_as positive view_as "
    "reshape_as".split()
)


def value_of(node: Node, record: Record, position: int = 0) -> Any:
    """Return the node as a function of its input number `position`, the others fixed at their recorded values."""
    return lambda value: called(node, record, {position: value})


def called(node: Node, record: Record, given: Mapping[int, Tensor], *, without_bias: bool = False) -> Tensor:
    """Compute the node anew, with the `given` values at the inputs of these positions."""
    values = _in_type_of(given, node, record)
    # An input that is read twice is two inputs: each reading has a name of its own.
    numbers = itertools.count()
    readings = {f"{number}:{node.inputs[number]}": value for number, value in given.items()}

    def apart(argument: Any) -> Any:
        if isinstance(argument, Ref):
            if argument.name not in node.inputs:
                return argument
            reading = Ref(f"{next(numbers)}:{argument.name}")
            return reading if reading.name in readings else argument
        if isinstance(argument, (tuple, list)):
            return type(argument)(apart(item) for item in argument)
        return argument

    args, kwargs = apart(node.args), {k: apart(v) for k, v in node.kwargs.items()}
    if without_bias:
        args = (*args[:2], None, *args[3:])
        kwargs.pop("bias", None)
    values |= readings
    device = next(iter(given.values())).device
    return node.target(
        *resolve(args, values), **{k: device if k == "device" else resolve(v, values) for k, v in kwargs.items()}
    )


def _in_type_of(given: Mapping[int, Tensor], node: Node, record: Record) -> dict[str, Any]:
    """All values that a node reads; in the given ones' precision, where that is another than the recorded."""
    values = {name: record.values[name] for name in node.reads if name not in record.overwritten}
    values |= {name: record.value(name) for name in node.inputs}
    wanted = next(iter(given.values())).dtype
    if all(values[node.inputs[number]].dtype == wanted for number in given):
        return values
    real = (name for name, value in values.items() if isinstance(value, Tensor) and value.is_floating_point())
    return values | {name: values[name].to(wanted) for name in list(real)}


def fit(relevance: Tensor, x: Tensor) -> Tensor:
    """Sum relevance over the axes along which `x` was broadcast."""
    if relevance.shape == x.shape:
        return relevance
    return relevance.sum_to_size(x.shape)


def move(node: Node, record: Record, relevance: Tensor, account: Account | None = None) -> list[Tensor]:
    """Take relevance back along moved values; constants among them, such as a class token or padding, keep theirs."""
    parts = _moved(node, record, relevance)
    if account is not None:
        account.to_bias = unaccounted(relevance, parts)
    return parts


def _moved(node: Node, record: Record, relevance: Tensor) -> list[Tensor]:
    if node.kind in ("identity", "batch_norm", "softmax") or node.inputs[0] in record.overwritten:
        return [relevance]
    if node.kind == "activation":
        # A power or quotient of a value and a constant may have more axes than the value.
        return [fit(relevance, record.values[node.inputs[0]])]
    x = record.value(node.inputs[0])
    if node.op in SAME_ORDER:
        return [relevance.reshape(x.shape)]
    if node.kind in ("scale", "shift"):
        return [fit(relevance, x)]
    if node.op in ("cat", "stack"):
        return _split(node, record, relevance)
    return [vjp(value_of(node, record, i), record.value(name), relevance) for i, name in enumerate(node.inputs)]


def _split(node: Node, record: Record, relevance: Tensor) -> list[Tensor]:
    axis = node.kwargs.get("dim", node.static(1, 0))
    if node.op == "stack":
        parts: tuple[Tensor, ...] = relevance.unbind(axis)
    else:
        parts = relevance.split(joined_sizes(node, record, axis % relevance.dim()), axis)
    named = [(ref.name, part) for ref, part in zip(node.args[0], parts, strict=True) if ref.name in node.inputs]
    return [part if part.numel() else torch.zeros_like(record.value(name)) for name, part in named]


def joined_sizes(node: Node, record: Record, axis: int) -> list[int]:
    """Sizes along an axis of what is joined there; an empty vector is joined to anything, and is nothing."""
    shapes = [resolve(ref, record.values).shape for ref in node.args[0]]
    return [0 if len(shape) == 1 and shape[0] == 0 else shape[axis] for shape in shapes]


def share_sum(
    node: Node,
    rule: Zero | Epsilon,
    record: Record,
    relevance: Tensor,
    account: Account | None,
    *,
    vanishes_below: bool = False,
) -> list[Tensor]:
    """Share relevance of a sum among its summands, in proportion to each; a constant summand counts as a bias."""
    terms = summands(node, record)
    # Where relevance is zero the ReLU's output serves as well as z, and is there already.
    rectified = vanishes_below and rule.relative is None and rule.bias == "absorb"
    z = record.rectified(node) if rectified else record.value(node.name)
    constant = next((value * sign for name, value, sign in terms if name is None), None)
    if constant is not None and rule.bias == "ignore":
        z = z - constant
    epsilon = float(rule.stabilizer) if rule.relative is None else scaled_epsilon(rule, z)
    if node.op.endswith("log_softmax"):
        # The logarithm of a probability near 1 is smaller than any ε, and would leave nothing of its logit.
        epsilon = 0.0
    s = divide(relevance, z, epsilon, int(rectified))
    if account is not None:
        account.book(relevance, s, z, epsilon, int(rectified))
        if constant is not None and rule.bias == "absorb":
            account.to_bias = per_example(s * constant)
    data = [(value, sign) for name, value, sign in terms if name is not None]
    return [fit(s * value if sign == 1.0 else s * value * sign, value) for value, sign in data]


def summands(node: Node, record: Record) -> list[tuple[str | None, Any, float]]:
    """Terms of a sum: the input's name (None for a constant), its value, and its sign or factor."""
    if node.op.endswith("log_softmax"):
        # The logits minus their normaliser, which counts as a constant of the example.
        x = record.value(node.inputs[0])
        return [(node.inputs[0], x, 1.0), (None, record.value(node.name) - x, 1.0)]
    alpha = node.kwargs.get("alpha", node.static(2, 1))
    signs = {"add": (1.0, alpha), "sub": (1.0, -alpha), "rsub": (-alpha, 1.0)}[node.op]
    names = [arg.name if isinstance(arg, Ref) and arg.name in node.inputs else None for arg in node.args[:2]]
    return [
        (name, resolve(arg, record.values) if name is None else record.value(name), sign)
        for name, arg, sign in zip(names, node.args[:2], signs, strict=True)
    ]


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
    parts = [_slope(node, record, i, relevance) for i in range(len(node.inputs))]
    if account is not None:
        account.other = unaccounted(relevance, parts)
    return parts


def _slope(node: Node, record: Record, position: int, relevance: Tensor) -> Tensor:
    """Transposed Jacobian times relevance; zeros where the value takes nothing from this input but its shape."""
    x = record.value(node.inputs[position])
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        try:
            value = called(node, record, {position: leaf})
            if not value.requires_grad:
                return torch.zeros_like(x)
            (found,) = torch.autograd.grad(value, leaf, relevance, allow_unused=True)
        except (NotImplementedError, RuntimeError) as error:
            if "derivative" not in str(error) and "autograd" not in str(error):
                raise
            raise CoverageError(
                f"layer {node.name!r}: Gradient() cannot serve operation {node.op!r}, which has no derivative in "
                f"PyTorch ({str(error).splitlines()[0]}); write it by operations that have, or compute it without the "
                "model's input"
            ) from error
    return torch.zeros_like(x) if found is None else found


def to_winner(node: Node, record: Record, relevance: Tensor) -> list[Tensor]:
    """Give relevance of every window to its largest input."""
    x = record.value(node.inputs[0])
    if node.op == "amax":
        axes = pooled_axes(node, x)
        return [kept_axes(relevance, x, axes) * first_largest(x, axes)]
    if node.name not in record.winners:
        return [vjp(value_of(node, record), x, relevance)]
    _, kernel, *rest = record.arguments(node)[0]
    stride, padding, dilation, ceil = (*rest, *([], 0, 1, False)[len(rest) :])
    return [
        torch.ops.aten.max_pool2d_with_indices_backward(
            relevance, x, kernel, stride or kernel, padding, dilation, ceil, record.winners[node.name]
        )
    ]


def by_softmax(node: Node, record: Record, relevance: Tensor) -> list[Tensor]:
    """Share relevance of a soft maximum by the softmax of its inputs."""
    x = record.value(node.inputs[0])
    axes = pooled_axes(node, x)
    largest = kept_axes(record.value(node.name), x, axes)
    # Masked values are minus infinity, and take no part.
    shares = torch.where(torch.isfinite(x), (x - largest).exp(), 0.0)
    return [kept_axes(relevance, x, axes) * shares]


def average(node: Node, rule: Average, record: Record, relevance: Tensor, account: Account | None) -> list[Tensor]:
    """Share relevance of every window among its inputs, in proportion to each."""
    x = record.value(node.inputs[0])
    mean = averaging(node, record)
    z = mean(x)
    s = divide(relevance, z, rule.stabilizer)
    if account is not None:
        account.book(relevance, s, z, rule.stabilizer)
    return [vjp(mean, x, s) * x]


def to_signal(node: Node, record: Record, relevance: Tensor, account: Account | None) -> list[Tensor]:
    """Give relevance of a product to its signal; where no factor is a gate, or both are, to each one half."""
    values = [record.value(name) for name in node.inputs]
    return [
        fit(relevance if share == 1.0 else relevance * share, value)
        for share, value in zip(signal_shares(record.graph, node), values, strict=True)
    ]

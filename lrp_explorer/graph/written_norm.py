"""Local response normalisation as a user writes it, in other frameworks' conventions: found by what it computes.

TensorFlow and Keras divide by (k + α Σ x²)^β over 2r + 1 channels, ONNX by (k + α/n Σ x²)^β over n channels, of which
an even n has one more above than below; PyTorch has it the other way round. Sums over a window are written in many
ways, so they are tried: on nothing, on one channel alone, and on random values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lrp_explorer.graph.nodes import INPUT, Graph, Node, Ref

_MOST = 400
_POWERS = {"sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0}


def mirrored_response_norm(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Normalise as `torch.nn.functional.local_response_norm` does, with windows of an even size one channel higher."""
    return functional.local_response_norm(x.flip(1), size, alpha, beta, k).flip(1)


def written_norm(graph: Graph, node: Node) -> tuple[Node, list[str]] | None:
    """Return one node for x / (k + a·Σ x²)^β over a window of channels, and the names of those that it stands for.

    None where a product or quotient is anything else, where part of it is read elsewhere or depends on a weight, and
    where every window holds all channels: that is another norm.
    """
    if node.op not in ("div", "mul") or len(set(node.inputs)) != 2 or node.args != tuple(map(Ref, node.inputs)):
        return None
    pairs = [node.inputs] if node.op == "div" else [node.inputs, node.inputs[::-1]]
    for source, factor in pairs:
        base, power, steps = _power(graph, factor)
        beta = power if node.op == "div" else -power
        inside = _between(graph, source, base) if beta > 0 and not node.kwargs else None
        if inside is None or not _alone(graph, node, names := [*steps, *inside[0], *inside[1]]):
            continue
        window = _window(graph, source, base, inside[1])
        if window is not None:
            size, mirrored, alpha, k = window
            made = Node(
                name=node.name,
                op="mirrored_response_norm" if mirrored else "local_response_norm",
                kind="response_norm",
                target=mirrored_response_norm if mirrored else functional.local_response_norm,
                args=(Ref(source), size, alpha, beta, k),
                inputs=(source,),
                module=node.module,
                source=node.source,
                rank=node.rank,
            )
            return made, names
    return None


def _power(graph: Graph, name: str) -> tuple[str, float, list[str]]:
    """Take a value for a power: of which value, which one, and the nodes between."""
    power, steps = 1.0, []
    while (node := graph.by_name.get(name)) is not None and len(node.inputs) == 1:
        number = node.static(1)
        if node.op in _POWERS:
            power *= _POWERS[node.op]
        elif node.op == "pow" and node.args[0] == Ref(node.inputs[0]) and isinstance(number, (int, float)):
            power *= number
        elif not (node.op in ("mul", "div") and node.args[0] == Ref(node.inputs[0]) and number in (1, 1.0)):
            break
        steps.append(name)
        name = node.inputs[0]
    return name, power, steps


def _between(graph: Graph, source: str, base: str) -> tuple[list[str], list[str]] | None:
    """Names of what lies between the squares of a value and a sum of them, and of the squares; None for all else."""
    found, squares, left = [], [], [base]
    seen = {base}
    while left:
        node = graph.by_name.get(left.pop())
        if node is None or len(seen) > _MOST or any(name in graph.weights for name in _read(node.args)):
            return None
        if source in node.inputs:
            if not _squares(node):
                return None
            squares.append(node.name)
            continue
        found.append(node.name)
        left += [name for name in node.inputs if name not in seen]
        seen |= set(node.inputs)
    return (found, squares) if squares and found else None


def _squares(node: Node) -> bool:
    value = Ref(node.inputs[0])
    by_itself = node.op == "mul" and node.args == (value, value)
    return by_itself or node.op == "square" or (node.op == "pow" and node.args[0] == value and node.static(1) == 2)


def _alone(graph: Graph, node: Node, names: list[str]) -> bool:
    """Whether nobody else reads what the node stands for."""
    inside = {*names, node.name}
    return graph.output not in names and all(user.name in inside for name in names for user in graph.consumers[name])


def _window(graph: Graph, source: str, base: str, squares: list[str]) -> tuple[int, bool, float, float] | None:
    """Size of the window, whether it reaches one further up than down, α, and k; None where there is no such window."""
    sizes = graph.sizes.get(source, ())
    if len(sizes) < 2 or 0 in sizes or sizes[0] < 2:
        return None
    batch = graph.batch or 2

    def value(square: Tensor) -> Tensor:
        given = dict.fromkeys((source, *squares), square)
        if source != INPUT:
            given[INPUT] = square.new_zeros(batch, *graph.sizes[INPUT])
        found = _evaluate(graph, base, given)
        if not isinstance(found, Tensor) or found.shape != square.shape:
            raise ValueError("not of the same shape")
        return found.double()

    # So much that k is nothing beside it.
    much = 2.0**40
    nothing = torch.zeros(batch, *sizes, dtype=torch.float64)
    first, last = nothing.clone(), nothing.clone()
    first[:, 0], last[:, -1] = much, much
    source_of = torch.Generator().manual_seed(0)
    some = torch.rand(nothing.shape, dtype=torch.float64, generator=source_of)
    try:
        with torch.no_grad():
            k = float(value(nothing).flatten()[0])
            up, down = ((value(one) - k).movedim(1, 0).flatten(1)[:, 0] / much for one in (first, last))
            a = float(up[0])
            before, after = int((up > a / 2).sum()) - 1, int((down > a / 2).sum()) - 1
            if not (a > 0 and k >= 0 and abs(before - after) <= 1 and max(before, after) < sizes[0] - 1):
                return None
            for one in (nothing, some, some * 1e4):
                torch.testing.assert_close(value(one), k + a * _sum(one, before, after), rtol=1e-9, atol=1e-12)
    except Exception:
        # Whatever it is that these values cannot be put through, it is no sum over a window.
        return None
    size = before + after + 1
    return size, after > before, a * size, k


def _sum(x: Tensor, before: int, after: int) -> Tensor:
    """Sum over channels c − before … c + after, for every channel c."""
    padded = functional.pad(x.flatten(2), (0, 0, before, after))
    parts = [padded[:, shift : shift + x.shape[1]] for shift in range(before + after + 1)]
    return torch.stack(parts).sum(0).reshape(x.shape)


def _evaluate(graph: Graph, name: str, values: dict[str, Any]) -> Any:
    """Compute a value from those given, in double precision on the CPU."""
    if name in values:
        return values[name]
    if name in graph.constants:
        found: Any = graph.constants[name].cpu()
    else:
        node = graph.by_name[name]

        def filled(argument: Any) -> Any:
            if isinstance(argument, Ref):
                return _evaluate(graph, argument.name, values)
            if isinstance(argument, (tuple, list)):
                return type(argument)(filled(item) for item in argument)
            return argument

        kwargs = {key: "cpu" if key == "device" else filled(item) for key, item in node.kwargs.items()}
        found = node.target(*filled(node.args), **kwargs)
    if isinstance(found, Tensor) and found.is_floating_point():
        found = found.double()
    values[name] = found
    return found


def _read(argument: Any) -> Iterator[str]:
    if isinstance(argument, Ref):
        yield argument.name
    elif isinstance(argument, (tuple, list)):
        for item in argument:
            yield from _read(item)

"""From an exported program to our own `Graph`: names as in the model, kinds from the op table."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx.node import map_aggregate

from lrp_explorer.errors import ModelError
from lrp_explorer.graph.naming import aliases, module, names_of, origin
from lrp_explorer.graph.nodes import INPUT, Graph, Node, Picked, Ref
from lrp_explorer.graph.ops import BOOKKEEPING, CARRIER, CHOICES, OPS, SHAPE_ONLY, op_name
from lrp_explorer.graph.source import call_site

_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER)
# Of these operations only the first result is used at evaluation.
_FIRST_RESULT = ("_native_batch_norm_legit_no_training", "native_batch_norm", "native_layer_norm", "native_group_norm")
# Norms that, where their sixth argument says so, take the input's own mean and variance and keep count of them.
_UPDATING = ("batch_norm", "instance_norm")


def convert(program: torch.export.ExportedProgram, batch: int | None) -> Graph:
    """Translate an exported program; see `Graph` for what the parts mean."""
    calls = [node for node in program.graph.nodes if node.op == "call_function" and not _is_bookkeeping(node)]
    weights, constants, value_names = _leaves(program)
    output = _single_output(program)
    tuples = {node for node in calls if any(_is_pick(user, node) for user in node.users)}
    merged = [node for node in calls if not (node in tuples and op_name(node.target) not in _FIRST_RESULT)]
    # Of several results, those that nobody reads (such as the indices of a pooling) are no layers.
    merged = [node for node in merged if node.users or node.target is not operator.getitem]
    module_of = {node: module(node) for node in merged}
    taken = {INPUT, *weights, *constants}
    names = names_of([node for node in merged if not _is_first_pick(node)], module_of, taken)
    for node in merged:
        if _is_first_pick(node):
            names[node] = names[origin(node)]
    value_names.update(names)

    # Relevance flows to `depends`; what is `chosen` changes with the input by jumps alone, as an index does.
    depends: set[fx.Node] = {node for node in program.graph.nodes if value_names.get(node) == INPUT}
    chosen: set[fx.Node] = set()
    nodes = []
    for node in merged:
        if _is_first_pick(node):
            for known in (depends, chosen):
                known |= {node} if node.args[0] in known else set()
            continue
        nodes.append(_convert(node, value_names, depends, chosen, module_of[node]))
    if output in chosen:
        raise ModelError(_of_choices_alone(output))
    sizes = {value_names[node]: _sizes(_value(node)) for node in program.graph.nodes if node in depends}
    return Graph(tuple(nodes), value_names[output], weights, constants, aliases(nodes), batch, sizes=sizes)


def _of_choices_alone(output: fx.Node) -> str:
    stands = f" ({where})" if (where := call_site(output.meta.get("stack_trace"))) else ""
    return (
        f"the model's output, of {op_name(origin(output).target)!r}{stands}, depends on its input by choices alone: "
        "comparisons, indices, whole numbers or signs. It changes by jumps, has no slope, and nothing can be "
        "explained; let forward() return the scores that are chosen by"
    )


def _is_bookkeeping(node: fx.Node) -> bool:
    return op_name(node.target) in BOOKKEEPING


def _is_pick(user: fx.Node, node: fx.Node) -> bool:
    return user.target is operator.getitem and user.args[0] is node


def _is_first_pick(node: fx.Node) -> bool:
    return node.target is operator.getitem and op_name(origin(node).target) in _FIRST_RESULT


def _leaves(program: torch.export.ExportedProgram) -> tuple[dict[str, str], dict[str, torch.Tensor], dict[Any, str]]:
    weights: dict[str, str] = {}
    constants: dict[str, torch.Tensor] = {}
    names: dict[Any, str] = {}
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}  # type: ignore[union-attr]
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        spec = specs[node.name]
        if spec.kind in _WEIGHTS:
            weights[node.name] = str(spec.target)
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            constant = program.constants[str(spec.target)]
            assert isinstance(constant, torch.Tensor)
            constants[node.name] = constant
        elif spec.kind == InputKind.CUSTOM_OBJ:
            held = type(program.constants.get(str(spec.target))).__name__
            raise ModelError(
                f"forward() computes with an object that is no tensor ({held}, such as a random generator), but a "
                "fixed graph of tensors is expected; make what comes of it in __init__(), as a buffer"
            )
        names[node] = INPUT if spec.kind == InputKind.USER_INPUT else node.name
    return weights, constants, names


def _single_output(program: torch.export.ExportedProgram) -> fx.Node:
    spec = program.call_spec.out_spec
    values = next(node for node in program.graph.nodes if node.op == "output").args[0]
    # Models that write into their input return it too; that is not the user's output.
    kinds = [spec.kind for spec in program.graph_signature.output_specs]
    results = [value for value, kind in zip(values, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]
    if spec is None or not spec.is_leaf() or len(results) != 1 or not isinstance(results[0], fx.Node):  # type: ignore
        kind = getattr(spec.type, "__name__", None) if spec is not None else None
        given = f"a {kind}" if kind else repr(results[0]) if len(results) == 1 else "several values"
        raise ModelError(
            f"the model returns {given}, "
            "but one tensor (batch, classes) is expected. Wrap it in a module whose "
            "forward() returns the logits alone, e.g. `return self.model(x)['logits']` or `return self.model(x)[0]`"
        )
    return results[0]  # type: ignore[index]


def _convert(
    node: fx.Node,
    names: dict[Any, str],
    depends: set[fx.Node],
    chosen: set[fx.Node],
    module: tuple[str, str, str],
) -> Node:
    target: Any = node.target
    args, kwargs, parts = node.args, node.kwargs, node
    if node.target is operator.getitem and origin(node) not in names:
        # One of several results, e.g. of a split: an operation of its own.
        parts = origin(node)
        several: Any = parts.target
        target, args, kwargs = Picked(several, node.args[1]), parts.args, parts.kwargs
    elif op_name(target) in _FIRST_RESULT:
        target = Picked(target, 0)
    op = op_name(parts.target)
    if op in _UPDATING and args[5]:
        # Statistics of the input itself are taken, and would only be written to the model's running ones.
        args = (*args[:3], None, None, *args[5:])
    inputs: tuple[str, ...] = ()
    if not _is_shape(op, node):
        read = _ordered(_carriers(op, args), kwargs)
        inputs = tuple(names[n] for n in read if n in depends)
        if any(n in depends or n in chosen for n in read):
            (depends if inputs and _has_slope(op, node) else chosen).add(node)
    inputs = inputs if node in depends else ()
    convert_value = lambda value: Ref(names[value]) if isinstance(value, fx.Node) else value  # noqa: E731
    return Node(
        name=names[node],
        op=op,
        kind="choice" if node in chosen else _kind(op, inputs, node, parts, depends),
        target=target,
        args=map_aggregate(args, convert_value),  # type: ignore[arg-type]
        kwargs=map_aggregate(kwargs, convert_value),  # type: ignore[arg-type]
        inputs=inputs,
        module=module[0],
        source=call_site(node.meta.get("stack_trace")),
        rank=_axes(node.meta.get("val")),
        weight=_weight_shape(op, args, depends),
    )


def _is_shape(op: str, node: fx.Node) -> bool:
    """Whether the value is a number that comes of shapes, or a tensor that takes nothing else from its arguments."""
    number = (int, float, torch.SymInt, torch.SymFloat, torch.SymBool)
    return op in SHAPE_ONLY or isinstance(node.meta.get("val"), number)


def _has_slope(op: str, node: fx.Node) -> bool:
    """Whether the value follows its arguments; whole numbers, truth values and signs jump, and only choose."""
    value = node.meta.get("val")
    whole = isinstance(value, torch.Tensor) and not (value.dtype.is_floating_point or value.dtype.is_complex)
    return not whole and op not in CHOICES


def _carriers(op: str, args: Any) -> Any:
    """Arguments whose values are taken, in the places of all; of the others only the shape or type counts."""
    return [arg if CARRIER.get(op, i) == i else None for i, arg in enumerate(args)]


def _ordered(args: Any, kwargs: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    map_aggregate((args, dict(kwargs)), lambda v: found.append(v) if isinstance(v, fx.Node) else None)
    return found


def _kind(op: str, inputs: tuple[str, ...], node: fx.Node, parts: fx.Node, depends: set[fx.Node]) -> str:
    """Kind of an operation, by where in its arguments the values stand that depend on the model's input."""
    if not inputs:
        return "constant"
    if _is_complex(node):
        return "complex"
    entry = OPS.get(op)
    data = [i for i, arg in enumerate(_carriers(op, parts.args)) if any(n in depends for n in _ordered(arg, {}))]
    by_name = any(n in depends for n in _ordered((), parts.kwargs))
    if entry is None or (by_name and entry.data and entry.kind != "attention"):
        return "unknown"
    if not _known_use(op, parts, data):
        return "unknown"
    if op == "div" and data == [1]:
        return "activation"
    if entry.kind in ("convolution", "linear") and data != [0] and 0 in entry.data:
        return "matmul"
    if op == "matmul" and any(_rank(arg) < 2 for arg in parts.args):
        return "matmul"
    if op == "instance_norm" and _by_running_statistics(op, parts.args):
        return "batch_norm"
    return (entry.pair or "unknown") if len(inputs) > 1 else entry.kind


def _known_use(op: str, parts: fx.Node, data: list[int]) -> bool:
    """Whether the operation is used in the way that the table speaks of."""
    allowed = OPS[op].data
    if allowed and not set(data) <= set(allowed):
        return False
    if parts.kwargs.get("rounding_mode"):
        return False
    # Places in memory are places of a value only where it lies there in its own order.
    if op.startswith("as_strided") and not _value(parts.args[0]).is_contiguous():
        return False
    return OPS[op].kind != "batch_norm" or _by_running_statistics(op, parts.args)


def _by_running_statistics(op: str, args: Any) -> bool:
    """Whether a norm takes mean and variance from the model; those of the batch or example make it no linear map."""
    training = op != "_native_batch_norm_legit_no_training" and args[5]
    return not training and None not in args[3:5]


def _is_complex(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype.is_complex


def _axes(value: Any) -> int:
    """Number of axes; of several results the first counts."""
    return len(getattr(value[0] if isinstance(value, (tuple, list)) else value, "shape", ()))


def _sizes(value: Any) -> tuple[int, ...]:
    """Sizes of all axes but the first; 0 where one varies with the batch."""
    shape = getattr(value[0] if isinstance(value, (tuple, list)) else value, "shape", ())
    return tuple(n if isinstance(n, int) else 0 for n in shape[1:])


def _value(node: Any) -> Any:
    return node.meta.get("val")


def _rank(argument: Any) -> int:
    return len(getattr(_value(argument), "shape", (0, 0))) if isinstance(argument, fx.Node) else 2


def _weight_shape(op: str, args: Any, depends: set[fx.Node]) -> tuple[int, ...]:
    """Shape of the constant that a layer's input is multiplied by from the right; empty where there is none."""
    entry = OPS.get(op)
    position = 2 if op == "addmm" else 1
    if entry is None or entry.kind not in ("convolution", "linear") or len(args) <= position:
        return ()
    weight = args[position]
    if not isinstance(weight, fx.Node) or weight in depends:
        return ()
    return tuple(getattr(_value(weight), "shape", ()))

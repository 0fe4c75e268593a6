"""In-place operations turned into functional ones, without tracing the model a second time."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from lrp_explorer.graph.definitions import definitions


def make_functional(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Return the program without in-place operations.

    Nearly all models write in place only to a value that they have just computed (``relu_``, ``add_``); such an
    operation is replaced by its functional twin, and whoever reads the value later reads the twin's. Anything less
    plain is left to PyTorch's own functionalisation, which traces the program again and takes about twice as long. So
    is a program with operations that are replaced by their definition.
    """
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    defined = definitions(calls)
    if defined or any(isinstance(node.target, torch._ops.HigherOrderOperator) for node in calls):
        return program.run_decompositions(dict(defined))
    writers = [node for node in calls if _schema(node) is not None and _schema(node).is_mutable]
    order = {node: position for position, node in enumerate(program.graph.nodes)}
    if not all(_is_plain(node, order) for node in writers):
        return program.run_decompositions({})
    for node in writers:
        _replace(program.graph, node, order)
    return program


def _schema(node: fx.Node) -> Any:
    return getattr(node.target, "_schema", None)


def _twin(node: fx.Node) -> Any:
    """Return the functional spelling of an in-place operation, e.g. ``add.Tensor`` of ``add_.Tensor``; None if none."""
    name, overload = _schema(node).name.removeprefix("aten::"), node.target._overloadname  # type: ignore[union-attr]
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None) if name.endswith("_") else None
    return getattr(packet, overload, None)


def _is_plain(node: fx.Node, order: dict[fx.Node, int]) -> bool:
    """Whether the only thing written to is a value of its own, of which nobody holds a view."""
    written = node.args[0] if node.args else None
    if _twin(node) is None or not isinstance(written, fx.Node) or written.op != "call_function":
        return False
    if sum(_writes(argument) for argument in _schema(node).arguments) != 1:
        return False
    earlier = [user for user in written.users if order[user] < order[node]]
    return not _is_view(written) and not any(_is_view(user) for user in earlier)


def _writes(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _is_view(node: fx.Node) -> bool:
    """Whether the result may share memory with an argument that is not written to."""
    schema = _schema(node)
    if schema is None:
        return True
    if schema.is_mutable:
        return False
    # These return their input as it is when there is nothing to do.
    may_alias = ("reshape", "contiguous", "flatten", "dropout", "feature_dropout", "to", "pad", "expand_as")
    name = schema.name.removeprefix("aten::")
    return name in may_alias or any(result.alias_info is not None for result in schema.returns)


def _replace(graph: fx.Graph, node: fx.Node, order: dict[fx.Node, int]) -> None:
    written = node.args[0]
    assert isinstance(written, fx.Node)
    node.target = _twin(node)
    written.replace_all_uses_with(node, delete_user_cb=lambda user: user is not node and order[user] > order[node])

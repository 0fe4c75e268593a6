"""Names of operations: those of the model's own modules where an operation is a module's, else the operation's."""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

from torch import fx

from lrp_explorer.graph.nodes import Node
from lrp_explorer.graph.ops import op_name


def origin(node: fx.Node) -> fx.Node:
    """The operation itself; for one of several results (`getitem`), the operation that gives them."""
    origin = node.args[0] if node.target is operator.getitem else node
    return origin if isinstance(origin, fx.Node) else node


def module(node: fx.Node) -> tuple[str, str, str]:
    """Name of the innermost module, the same with ``@n`` for its nth further call, and its type."""
    stack = [(key, path, kind) for key, (path, kind) in (node.meta.get("nn_module_stack") or {}).items()]
    if not stack or stack[-1][1].startswith("_empty"):
        return "", "", ""
    _key, path, kind = stack[-1]
    calls = [k.rpartition("@")[2] for k, _, _ in stack if "@" in k]
    return path, f"{path}@{calls[-1]}" if calls else path, kind if isinstance(kind, str) else kind.__qualname__


def names_of(nodes: list[fx.Node], module_of: dict[fx.Node, tuple[str, str, str]], taken: set[str]) -> dict[Any, str]:
    """Give the last operation of every leaf module the module's name; name the others after themselves."""
    parents = {path.rpartition(".")[0] for path, _, _ in module_of.values() if path}
    last = {}
    for node in nodes:
        path, call, _ = module_of[node]
        if path and path not in parents:
            last[call] = node
    owner = {node: f"{call}_" if call in taken else call for call, node in last.items()}
    taken = taken | set(owner.values())
    counts: Counter[str] = Counter()
    names: dict[Any, str] = {}
    for node in nodes:
        if node in owner:
            names[node] = owner[node]
            continue
        base = op_name(origin(node).target)
        names[node] = base
        while names[node] in taken:
            counts[base] += 1
            names[node] = f"{base}_{counts[base]}"
        taken.add(names[node])
    return names


def aliases(nodes: list[Node]) -> dict[str, str]:
    """Modules made of several operations → the last of them."""
    aliases: dict[str, str] = {}
    for node in nodes:
        path = node.module
        while path and node.inputs:
            aliases[path] = node.name
            path = path.rpartition(".")[0]
    names = {node.name for node in nodes}
    return {path: name for path, name in aliases.items() if path not in names}

"""The model as a readable graph: nodes in the order of execution, each with one kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lrp_explorer.errors import unknown_name

if TYPE_CHECKING:
    from torch import Tensor

INPUT = "input"


@dataclass(frozen=True)
class Ref:
    """Stands in a node's arguments for the value of another node, a weight or a constant."""

    name: str


@dataclass(frozen=True)
class Picked:
    """One of several results of an operation, as an operation of its own."""

    operation: Callable[..., Any]
    index: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute all results, and return the one."""
        return self.operation(*args, **kwargs)[self.index]


@dataclass(frozen=True)
class Node:
    """One operation of the model.

    Attributes
    ----------
    name : str
        The module's name as in ``model.named_modules()`` where the operation is a module's own
        (``@1``, ``@2`` … mark its second, third … use); else the operation's name (``add_3``, ``cat``).
    op : str
        The operation's name in PyTorch, e.g. ``"conv2d"``.
    kind : str
        The family that decides which rule can serve; one of `lrp_explorer.graph.ops.KINDS`. Where there is nothing to
        serve, ``"constant"``, or ``"choice"`` for what changes with the model's input by jumps alone: comparisons,
        indices, whole numbers, signs, and what is computed from these.
    target : callable
        Computes the value from `args` and `kwargs`.
    args, kwargs
        Arguments, with `Ref` in place of every value computed elsewhere.
    inputs : tuple of str
        Names of those values in the arguments that depend on the model's input, in order of appearance:
        relevance goes to these and to nothing else. Empty for constants, choices and shapes.
    module, source : str
        Where the operation stands: module name and line of Python.
    norms, before : tuple of Node
        Batch norms folded into this node: those that follow it, in the order in which they act, and one that precedes.
    rank : int
        Number of axes of the value, the batch included; 0 where it is not a tensor.
    weight : tuple of int
        Shape of the constant that a convolution or dense layer multiplies its input by; empty elsewhere.
    """

    name: str
    op: str
    kind: str
    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    module: str = ""
    source: str = ""
    norms: tuple[Node, ...] = ()
    before: tuple[Node, ...] = ()
    rank: int = 0
    weight: tuple[int, ...] = ()

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of all values in the arguments, constants included, each once."""
        found: dict[str, None] = {}

        def look(argument: Any) -> None:
            if isinstance(argument, Ref):
                found[argument.name] = None
            elif isinstance(argument, (tuple, list)):
                for item in argument:
                    look(item)

        look((*self.args, *self.kwargs.values()))
        return tuple(found)

    @property
    def folded(self) -> tuple[Node, ...]:
        """Batch norms folded into this node, wherever they stood: `norms`, then `before`."""
        return *self.norms, *self.before

    def static(self, position: int, default: Any = None) -> Any:
        """Argument at `position`, or `default` where the call leaves it out."""
        return self.args[position] if len(self.args) > position else default


@dataclass(frozen=True)
class Graph:
    """The whole model: nodes in order, and where the weights come from.

    Attributes
    ----------
    nodes : tuple of Node
        In order of execution, constants and shape arithmetic included.
    output : str
        Name of the node whose value is the model's output.
    weights : mapping
        Name of a value → dotted name of the parameter or buffer in the model.
    constants : mapping
        Name of a value → tensor that stands in the code itself.
    aliases : mapping
        Names of modules made of several operations → node that computes the module's output.
    batch : int or None
        None when any batch size fits; else the only size that the model's code allows.
    notes : tuple of (layer, text)
        What was changed on the way, for the coverage report.
    sizes : mapping
        Name of a value that depends on the input, which is among them → sizes of its axes after the batch.
    """

    nodes: tuple[Node, ...]
    output: str
    weights: Mapping[str, str]
    constants: Mapping[str, Tensor]
    aliases: Mapping[str, str]
    batch: int | None = None
    notes: tuple[tuple[str, str], ...] = ()
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names through which relevance flows, input side first, the input itself included."""
        return (INPUT, *(node.name for node in self.nodes if node.inputs))

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """Name of a value → the nodes that relevance comes back from, each once."""
        users: dict[str, list[Node]] = {name: [] for name in self.layers}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                users[name].append(node)
        return {name: tuple(nodes) for name, nodes in users.items()}

    @cached_property
    def readers(self) -> Mapping[str, tuple[Node, ...]]:
        """Name of a layer → the nodes that compute with its values, choices included; not those that ask its shape."""
        users: dict[str, list[Node]] = {name: [] for name in self.layers}
        for node in self.nodes:
            for name in node.reads if node.inputs or node.kind == "choice" else ():
                if name in users:
                    users[name].append(node)
        return {name: tuple(nodes) for name, nodes in users.items()}

    def resolve(self, layer: str) -> str:
        """Turn a layer's or module's name into a name in `layers`; raise `UnknownNameError` if there is none."""
        if isinstance(layer, str) and layer in self.consumers:
            return layer
        if isinstance(layer, str) and layer in self.aliases:
            return self.aliases[layer]
        raise unknown_name(
            "layer",
            layer,
            self.layers,
            "Modules that leave no operation behind (dropout at eval, identity) have no relevance of their own.",
        )

    def with_nodes(self, nodes: tuple[Node, ...], notes: tuple[tuple[str, str], ...] = ()) -> Graph:
        """Return this graph with other nodes and further notes."""
        return replace(self, nodes=nodes, notes=self.notes + notes)

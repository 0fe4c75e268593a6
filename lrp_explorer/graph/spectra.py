"""Stretches of a model in complex numbers (Fourier transforms), each as one map from real values to real values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch.fx.node import map_aggregate

from lrp_explorer.errors import ModelError
from lrp_explorer.graph.nodes import Graph, Node, Ref

# Linear, or the size of a complex number: of degree one in the values that they are computed from.
_OF_DEGREE_ONE = frozenset(
    "stft istft view_as_real view_as_complex real imag conj _conj _conj_physical conj_physical resolve_conj "
    "resolve_neg complex abs _fft_r2c _fft_c2r _fft_c2c _to_copy to add sub neg mean sum cat stack view reshape "
    "_unsafe_view flatten permute transpose squeeze unsqueeze expand slice select narrow index index_select roll flip "
    "clone contiguous alias detach constant_pad_nd pad _neg_view".split()
)
_FOURIER = "fft_"


@dataclass(frozen=True)
class RealMap:
    """Real values computed from real values by way of complex ones.

    Attributes
    ----------
    nodes : tuple of Node
        The operations, in order.
    leaves : tuple of str
        Names of the values that they start from, in the order of the arguments.
    degree : int
        How often the data are multiplied with each other: 1 for linear maps and sizes, 2 for powers of a spectrum.
    """

    nodes: tuple[Node, ...]
    leaves: tuple[str, ...]
    degree: int

    def __call__(self, *given: Any) -> Any:
        """Compute the last of the nodes."""
        values: dict[str, Any] = dict(zip(self.leaves, given, strict=True))
        for node in self.nodes:
            args, kwargs = (_filled(part, values) for part in (node.args, dict(node.kwargs)))
            values[node.name] = node.target(*args, **kwargs)
        return values[self.nodes[-1].name]


def _filled(argument: Any, values: Mapping[str, Any]) -> Any:
    def given(part: Any) -> Any:
        return values[part.name] if isinstance(part, Ref) else part

    return map_aggregate(argument, given)


def gather_spectra(graph: Graph) -> Graph:
    """Replace every real value computed from complex ones by a map of the real values that those come from.

    Complex values carry no relevance of their own: they are passed over. What is left of them serves choices alone.
    """
    made = {node.name: node for node in graph if node.kind == "complex"}
    if not made:
        return graph
    if graph.output in made:
        raise ModelError(
            f"the model returns complex numbers (of {made[graph.output].op!r}), but real ones (batch, classes) are "
            "expected; return their size, .abs(), or their real part, .real"
        )
    degrees: dict[str, int | None] = {}
    nodes: list[Node] = []
    for node in graph:
        if node.name in made:
            degrees[node.name] = _degree(node, degrees)
            nodes.append(replace(node, kind="choice", inputs=()))
        elif any(name in made for name in node.inputs):
            nodes.append(_real(node, graph, made, _degree(node, degrees)))
        else:
            nodes.append(node)
    return graph.with_nodes(_read(nodes, graph.output))


def _degree(node: Node, known: Mapping[str, int | None]) -> int | None:
    """Degree of a value in the real ones; None where it has none that is known."""
    found = [known.get(name, 1) for name in node.inputs]
    if None in found:
        return None
    if node.op == "mul" or (node.op == "div" and node.args[1:2] != tuple(map(Ref, node.inputs[-1:]))):
        return sum(found)  # type: ignore[arg-type]
    plain = node.op in _OF_DEGREE_ONE or node.op.startswith(_FOURIER)
    return found[0] if plain and len(set(found)) == 1 else None


def _real(node: Node, graph: Graph, made: Mapping[str, Node], degree: int | None) -> Node:
    """One node for `node` and the complex ones before it."""
    inside, todo = {node.name}, [node]
    while todo:
        found = [made[name] for name in todo.pop().reads if name in made and name not in inside]
        inside |= {one.name for one in found}
        todo += found
    nodes = tuple(one for one in graph if one.name in inside)
    leaves = tuple(dict.fromkeys(name for one in nodes for name in one.reads if name not in inside))
    sources = {name for one in nodes for name in one.inputs}
    return replace(
        node,
        kind="unknown" if degree is None else "matmul",
        target=RealMap(nodes, leaves, degree or 1),
        args=tuple(map(Ref, leaves)),
        kwargs={},
        inputs=tuple(name for name in leaves if name in sources),
    )


def _read(nodes: list[Node], output: str) -> tuple[Node, ...]:
    """Leave out the complex values that nobody reads any more."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if node.kind == "choice" and node.name not in wanted:
            continue
        kept.append(node)
        wanted |= set(node.reads)
    return tuple(reversed(kept))

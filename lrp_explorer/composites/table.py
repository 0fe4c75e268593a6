"""What a composite is: an ordered table from kinds of layer to rules, with overrides by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lrp_explorer.errors import CoverageError, InputError
from lrp_explorer.graph import Graph, Node
from lrp_explorer.graph.layer_norm import takes_mean_away
from lrp_explorer.graph.signs import clips_negative
from lrp_explorer.rules import (
    Attention,
    Epsilon,
    EqualSplit,
    LRNTaylor,
    Magnitude,
    Pass,
    Rule,
    Signal,
    SoftmaxShare,
    SoftmaxTaylor,
    Winner,
)
from lrp_explorer.rules.base import check_choice

WEIGHTED = ("convolution", "linear")


@dataclass(frozen=True)
class Composite:
    """Abstract: a table from kind of layer to rule; a preset says its `table` and, if it has one, its `first` rule.

    Attributes
    ----------
    overrides : tuple of (str, Rule)
        Rules for named layers or whole modules; set by `override`.
    split : {"auto", "signed", "magnitude"}
        How sums of two branches share relevance: by their signed values (ε rule), or by magnitude. ``"auto"`` takes
        signed values where only ReLUs read the sum, as in ResNets, and magnitudes elsewhere, where branches cancel
        freely and signed shares grow without bound (transformers, linear bottlenecks; measured in docs/stability.md).
        A rule for sums in a preset's own table (`Uniform` with LRP-0 or ε) shares by signed values, and gives way to
        ``"magnitude"`` alone.
    """

    overrides: tuple[tuple[str, Rule], ...] = field(default=(), kw_only=True, repr=False)
    split: Literal["auto", "signed", "magnitude"] = field(default="auto", kw_only=True)

    def table(self) -> Mapping[str, Rule]:
        """Rule for each kind of layer; kinds left out take the base table's."""
        return {}

    def first(self) -> tuple[tuple[str, ...], Rule] | None:
        """Tell the kinds whose first member in the network takes a rule of its own, and that rule."""
        return None

    def by_depth(self, weighted: Sequence[str]) -> Mapping[str, Rule]:
        """Rules by position among the layers with weights, input side first; they go before `table` and `first`."""
        return {}

    def override(self, rules: Mapping[str, Rule]) -> Composite:
        """Return this composite with other rules on some layers.

        Parameters
        ----------
        rules : mapping
            Layer name → rule; the name of a module with several layers stands for those in it that the rule can serve.
        """
        if not isinstance(rules, Mapping):
            raise InputError(f"override takes a mapping of layer name to rule, but was given a {type(rules).__name__}")
        for name, rule in rules.items():
            if not isinstance(name, str):
                raise InputError(
                    f"override names the layer {name!r}, but a str is expected, as in model.named_modules()"
                )
            if not isinstance(rule, Rule):
                raise InputError(f"override of {name!r} is {rule!r}, but a rule such as lrp.rules.Flat() is expected")
        return dataclasses.replace(self, overrides=(*self.overrides, *rules.items()))

    def assign(self, graph: Graph) -> dict[str, Rule]:
        """Give every layer of `graph` its rule.

        Raises
        ------
        CoverageError
            For an operation without a rule; the message names the layer, its line of code and the rules that can serve.
        UnknownNameError
            When an override names no layer.
        """
        check_choice(self, "split", ("auto", "signed", "magnitude"))
        own = self.table()
        table = base_table(self.stabilizer) | dict(own)
        rules = {node.name: table[node.kind] for node in graph if node.inputs and node.kind in table}
        if "sum" not in own or self.split == "magnitude":
            rules |= {node.name: self._split(graph, node) for node in graph if node.kind == "sum"}
        first = self.first()
        if first is not None:
            node = next((node for node in graph if node.kind in first[0]), None)
            rules |= {node.name: first[1]} if node else {}
        rules |= self.by_depth([node.name for node in graph if node.kind in WEIGHTED])
        for name, rule in self.overrides:
            rules |= dict.fromkeys(_served(graph, name, rule), rule)
        for node in graph:
            if node.inputs and node.name not in rules:
                raise CoverageError(_uncovered(node))
        return rules

    def _split(self, graph: Graph, node: Node) -> Rule:
        if takes_mean_away(graph, node):
            # No two branches, but one linear map, as it is inside a layer norm.
            return Epsilon(self.stabilizer)
        rectified = all(clips_negative(user) for user in graph.consumers[node.name])
        signed = self.split == "signed" or (self.split == "auto" and rectified)
        return Epsilon(self.stabilizer) if signed else Magnitude(self.stabilizer)

    @property
    def stabilizer(self) -> float:
        """ε of layers without weights (pooling, sums)."""
        return getattr(self, "epsilon", 1e-6)


def base_table(epsilon: float) -> dict[str, Rule]:
    """Rules of layers without weights, the same in every preset unless it says otherwise."""
    share = Epsilon(epsilon)
    return {
        **dict.fromkeys(("activation", "reshape", "concatenation", "identity", "scale"), Pass()),
        **dict.fromkeys(("shift", "average_pool", "interpolation", "batch_norm", "layer_norm"), share),
        "max_pool": Winner(),
        "log_sum_exp": SoftmaxShare(),
        "gate": Signal(),
        "softmax": SoftmaxTaylor(),
        "matmul": EqualSplit(epsilon),
        "attention": Attention(epsilon),
        "response_norm": LRNTaylor(epsilon),
    }


def _served(graph: Graph, name: str, rule: Rule) -> list[str]:
    node = graph.by_name.get(name)
    if node is not None and node.inputs:
        if node.kind not in rule.kinds:
            raise InputError(
                f"{type(rule).__name__} cannot serve layer {name!r} ({node.op}, kind {node.kind!r}); "
                f"it serves {', '.join(sorted(rule.kinds))}. Rules for this layer: {_candidates(node.kind)}"
            )
        # The bare name means every use of the module; name@1 one of them.
        return [name, *(n.name for n in graph if n.inputs and n.name.startswith(f"{name}@"))]
    inside = [n for n in graph if n.inputs and n.module.startswith(f"{name}.") and n.kind in rule.kinds]
    if not inside:
        graph.resolve(name)
        raise InputError(
            f"module {name!r} holds no layer that {type(rule).__name__} can serve; it serves "
            f"{', '.join(sorted(rule.kinds))}"
        )
    return [n.name for n in inside]


def _rule_types() -> list[type[Rule]]:
    import lrp_explorer.rules as rules

    found = [getattr(rules, name) for name in rules.__all__]
    return [rule for rule in found if isinstance(rule, type) and issubclass(rule, Rule) and rule.formula]


def _candidates(kind: str) -> str:
    return ", ".join(rule.__name__ for rule in _rule_types() if kind in rule.kinds) or "none"


def _uncovered(node: Node) -> str:
    where = f" at {node.source}" if node.source else ""
    what = "has no rule" if node.kind != "unknown" else "is not in the op table (lrp_explorer/graph/ops.py)"
    return (
        f"layer {node.name!r}: operation {node.op!r}{where} {what}. "
        f"Rules that could serve it: {_candidates(node.kind)}; set one with composite.override({{{node.name!r}: …}})"
    )

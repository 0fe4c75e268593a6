"""FLOOR 1: composites, ordered tables from kinds of layer to rules, with overrides by name.

``names()`` and ``get(name)`` list the presets; `Composite.override` puts other rules on named layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lrp_explorer.errors import CoverageError, InputError
from lrp_explorer.graph import Graph, Node
from lrp_explorer.graph.signs import clips_negative
from lrp_explorer.registry import Registry
from lrp_explorer.rules import (
    AlphaBeta,
    Attention,
    Bound,
    Epsilon,
    EqualSplit,
    Flat,
    Gamma,
    LRNTaylor,
    Magnitude,
    NormIdentity,
    Pass,
    Rule,
    Signal,
    SoftmaxTaylor,
    Winner,
    ZBox,
    Zero,
    ZPlus,
)
from lrp_explorer.rules.base import check_choice, check_number

if TYPE_CHECKING:
    from torch import Tensor

Bounds = float | Sequence[float] | Bound

WEIGHTED = ("convolution", "linear")
_registry: Registry[type[Composite]] = Registry("composite")


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
        table = base_table(self.stabilizer) | dict(self.table())
        rules = {node.name: table[node.kind] for node in graph if node.inputs and node.kind in table}
        if "sum" not in self.table():
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
        **dict.fromkeys(("shift", "average_pool", "interpolation", "batch_norm"), share),
        "max_pool": Winner(),
        "gate": Signal(),
        "layer_norm": NormIdentity(),
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
        raise InputError(f"module {name!r} holds no layer that {type(rule).__name__} can serve")
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


def _preset(name: str) -> Any:
    return _registry.as_decorator(name)


@_preset("epsilon-gamma-box")
@dataclass(frozen=True)
class EpsilonGammaBox(Composite):
    """zᴮ for the first convolution, γ for the other convolutions, ε for dense layers.

    Parameters
    ----------
    low, high : float, sequence of float or Tensor
        Bounds of the input, see `lrp_explorer.rules.ZBox`.
    epsilon, gamma : float
        ε ≥ 0 of dense layers and of every denominator, γ ≥ 0 of convolutions.
    """

    low: Bounds | Tensor
    high: Bounds | Tensor
    epsilon: float = 1e-6
    gamma: float = 0.25

    def __post_init__(self) -> None:
        # Bounds hash and compare by value, so that equal composites are equal keys.
        for name in ("low", "high"):
            value = getattr(self, name)
            object.__setattr__(self, name, value if isinstance(value, Bound) else Bound(value))
        self.table()
        self.first()

    def table(self) -> Mapping[str, Rule]:
        """γ for convolutions, ε for dense layers."""
        return {"convolution": Gamma(self.gamma, self.epsilon), "linear": Epsilon(self.epsilon)}

    def first(self) -> tuple[tuple[str, ...], Rule]:
        """zᴮ for the first convolution."""
        return ("convolution",), ZBox(self.low, self.high, self.epsilon)


@_preset("epsilon-plus")
@dataclass(frozen=True)
class EpsilonPlus(Composite):
    """z⁺ for convolutions, ε for dense layers."""

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_number(self, "epsilon", 0.0)

    def table(self) -> Mapping[str, Rule]:
        """z⁺ for convolutions, ε for dense layers."""
        return {"convolution": ZPlus(self.epsilon), "linear": Epsilon(self.epsilon)}


@_preset("epsilon-plus-flat")
@dataclass(frozen=True)
class EpsilonPlusFlat(EpsilonPlus):
    """z⁺ for convolutions, ε for dense layers, flat for the first of either."""

    def first(self) -> tuple[tuple[str, ...], Rule]:
        """Flat for the first layer with weights."""
        return WEIGHTED, Flat(self.epsilon)


@_preset("epsilon-alpha2-beta1")
@dataclass(frozen=True)
class EpsilonAlpha2Beta1(Composite):
    """α2β1 for convolutions, ε for dense layers."""

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_number(self, "epsilon", 0.0)

    def table(self) -> Mapping[str, Rule]:
        """α2β1 for convolutions, ε for dense layers."""
        return {"convolution": AlphaBeta(2.0, 1.0, self.epsilon), "linear": Epsilon(self.epsilon)}


@_preset("epsilon-alpha2-beta1-flat")
@dataclass(frozen=True)
class EpsilonAlpha2Beta1Flat(EpsilonAlpha2Beta1):
    """α2β1 for convolutions, ε for dense layers, flat for the first of either."""

    def first(self) -> tuple[tuple[str, ...], Rule]:
        """Flat for the first layer with weights."""
        return WEIGHTED, Flat(self.epsilon)


@_preset("deep-taylor")
@dataclass(frozen=True)
class DeepTaylor(Composite):
    """Deep Taylor decomposition: zᴮ for the first layer, z⁺ for all others (Montavon et al. 2017).

    Parameters
    ----------
    low, high : float, sequence of float or Tensor
        Bounds of the input, see `lrp_explorer.rules.ZBox`.
    epsilon : float
        ε ≥ 0 of every denominator.
    """

    low: Bounds | Tensor
    high: Bounds | Tensor
    epsilon: float = 1e-6
    __post_init__ = EpsilonGammaBox.__post_init__

    def table(self) -> Mapping[str, Rule]:
        """z⁺ for every layer with weights."""
        return dict.fromkeys(WEIGHTED, ZPlus(self.epsilon))

    def first(self) -> tuple[tuple[str, ...], Rule]:
        """zᴮ for the first layer with weights."""
        return WEIGHTED, ZBox(self.low, self.high, self.epsilon)


@_preset("layered-lrp")
@dataclass(frozen=True)
class LayeredLRP(Composite):
    """γ for lower, ε for middle, LRP-0 for upper layers with weights (Montavon et al. 2019, sec. 10.3).

    Parameters
    ----------
    gamma : float
        γ ≥ 0 of the lower layers.
    epsilon : float
        ε of the middle layers, as a multiple of the root mean square of the layer's z.
    lower, upper : float
        Where the middle begins and ends, as shares of the number of layers with weights. The defaults put VGG-16's
        first seven convolutions below, its dense layers above.
    """

    gamma: float = 0.25
    epsilon: float = 0.25
    lower: float = 0.44
    upper: float = 0.82

    def __post_init__(self) -> None:
        check_number(self, "lower", 0.0, 1.0)
        check_number(self, "upper", self.lower, 1.0)
        Gamma(self.gamma)
        Epsilon(self.epsilon)

    @property
    def stabilizer(self) -> float:
        """Small everywhere: this composite's ε is relative and meant for layers with weights."""
        return 1e-6

    def table(self) -> Mapping[str, Rule]:
        """LRP-0 for layers with weights, as far as `by_depth` leaves them."""
        return dict.fromkeys(WEIGHTED, Zero())

    def by_depth(self, weighted: Sequence[str]) -> Mapping[str, Rule]:
        """γ below `lower`, ε up to `upper`."""
        middle = Epsilon(self.epsilon, relative="rms")
        depths = {name: (position + 0.5) / len(weighted) for position, name in enumerate(weighted)}
        return {
            name: Gamma(self.gamma) if depth < self.lower else middle
            for name, depth in depths.items()
            if depth < self.upper
        }


@_preset("uniform")
@dataclass(frozen=True)
class Uniform(Composite):
    """One rule for every layer with weights; LRP-0 and ε also for pooling, sums and the other linear layers."""

    rule: Rule = field(default_factory=Epsilon)

    def __post_init__(self) -> None:
        if not isinstance(self.rule, Rule):
            raise InputError(f"Uniform: rule is {self.rule!r}, but a rule such as lrp.rules.Epsilon() is expected")

    def table(self) -> Mapping[str, Rule]:
        """The rule, wherever it can serve."""
        kinds = self.rule.kinds if isinstance(self.rule, (Zero, Epsilon)) else self.rule.kinds & set(WEIGHTED)
        return dict.fromkeys(kinds, self.rule)


def names() -> list[str]:
    """Names of the presets."""
    return _registry.names()


def get(name: str) -> type[Composite]:
    """Look a preset's class up by name; `UnknownNameError` suggests the nearest."""
    return _registry.get(name)


def build(composite: str | Composite, bounds: tuple[Any, Any] | None = None) -> Composite:
    """Make a composite from its name, with `bounds` of the input where it needs them.

    Raises
    ------
    InputError
        When the preset needs bounds and none are known.
    """
    if isinstance(composite, Composite):
        return composite
    if not isinstance(composite, str):
        raise InputError(
            f"composite is {composite!r}, but a name ({', '.join(names())}) or an object such as "
            "lrp.composites.EpsilonPlus() is expected; lrp.composites.Uniform(rule) puts one rule everywhere"
        )
    preset = get(composite)
    if not {"low", "high"} <= {f.name for f in dataclasses.fields(preset)}:
        return preset()
    if bounds is None:
        raise InputError(
            f"composite {composite!r} needs the bounds of the input in the model's units: pass "
            f"lrp.composites.{preset.__name__}(low=…, high=…), or set model.input_bounds = (low, high)"
        )
    return preset(*bounds)  # type: ignore[call-arg]

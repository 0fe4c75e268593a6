"""The presets by name, each a table of a few lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lrp_explorer.composites.table import WEIGHTED, Composite
from lrp_explorer.errors import InputError
from lrp_explorer.registry import Registry
from lrp_explorer.rules import AlphaBeta, Bound, Epsilon, Flat, Gamma, Rule, ZBox, Zero, ZPlus
from lrp_explorer.rules.base import check_number

if TYPE_CHECKING:
    from torch import Tensor

Bounds = float | Sequence[float] | Bound
_registry: Registry[type[Composite]] = Registry("composite")


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
        for name in {"epsilon", "gamma"} & {f.name for f in dataclasses.fields(self)}:
            check_number(self, name, 0.0)
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
        check_number(self, "gamma", 0.0)
        check_number(self, "epsilon", 0.0)

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
    """One rule for every layer with weights; LRP-0 and ε also for pooling, sums and the other linear layers.

    So sums share by signed values with either of these, unless ``split="magnitude"`` asks for magnitudes.
    """

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

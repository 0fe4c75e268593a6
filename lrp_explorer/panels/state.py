"""What the user has chosen, without a widget: panels link to it, tests and notebooks set it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import traitlets

from lrp_explorer import composites, semirings
from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.panels import algebra, parameters

VIEWS = ("beside", "overlay")


@dataclass(frozen=True)
class Request:
    """One moment of the state, as a worker takes it: what is to be explained, and how.

    Attributes
    ----------
    model, data : str
        Names in the catalogue.
    example : int
        Position in the data set.
    target : int or None
        Class to be explained; None for the predicted one.
    composite, rule : str
        See `lrp_explorer.panels.parameters`.
    numbers : tuple of (str, float)
        Parameters of the composite.
    semiring : str
        Name of the semiring.
    options : tuple of (str, value)
        Its parameters, as far as they need a propagation of their own.
    start : tuple of int or None
        Row and column (or the neuron) of the input from which the best path is wanted.
    """

    model: str
    data: str
    example: int
    target: int | None
    composite: str
    rule: str
    numbers: tuple[tuple[str, float], ...]
    semiring: str = algebra.REAL
    options: tuple[tuple[str, Any], ...] = ()
    start: tuple[int, ...] | None = None

    @property
    def topic(self) -> tuple[str, str, int]:
        """What one recorded forward serves; a job of another topic is out of date."""
        return self.model, self.data, self.example


class ExplainState(traitlets.HasTraits):
    """State of the Explain panel.

    Another model, data set or example brings the class back to the predicted one. Each composite keeps its own
    numbers: one may return to it and find them.

    Parameters
    ----------
    **traits
        First values, by name.
    """

    model = traitlets.Unicode()
    data = traitlets.Unicode()
    example = traitlets.Int(0, min=0)
    target = traitlets.Int(None, allow_none=True, min=0)
    composite = traitlets.Unicode("epsilon-gamma-box")
    rule = traitlets.Unicode("Epsilon")
    numbers = traitlets.Dict(value_trait=traitlets.Float(), key_trait=traitlets.Unicode())
    layer = traitlets.Unicode()
    view = traitlets.Enum(VIEWS, "beside")
    semiring = traitlets.Unicode(algebra.REAL)
    theta = traitlets.Float(1e-9)
    absolute = traitlets.Bool(False)
    pooling = traitlets.Enum([value for _, value in algebra.POOLINGS], "average")
    normalise = traitlets.Enum([value for _, value in algebra.NORMALISES], "max")
    join = traitlets.Unicode()
    start = traitlets.Tuple(default_value=None, allow_none=True)

    EXPLAINED = ("model", "data", "example", "target", "composite", "rule", "numbers")
    EXPLAINED += ("semiring", "theta", "absolute", "pooling", "normalise", "start")
    """Traits that the relevance may depend on; the others only choose what is shown of it."""
    OPTIONS = ("theta", "absolute", "pooling", "normalise")
    """Traits that are parameters of semirings."""

    def __init__(self, **traits: Any) -> None:
        self._remembered: dict[tuple[str, str], dict[str, float]] = {}
        # These would be undone by the first values of the others.
        numbers, target, start = traits.pop("numbers", {}), traits.pop("target", None), traits.pop("start", None)
        super().__init__(**traits)
        self.target, self.start = target, start
        self.numbers = parameters.defaults(self.composite, self.rule)
        for name, value in numbers.items():
            self.set_number(name, value)

    def request(self) -> Request:
        """Freeze the present moment."""
        numbers = tuple(self.numbers.items())
        asked = (self.model, self.data, self.example, self.target, self.composite, self.rule, numbers)
        if self.semiring == algebra.REAL:
            return Request(*asked)
        taken = algebra.choices(self.semiring)
        if algebra.compares(self.semiring):
            # Compared with what is kept, whatever it is.
            taken = taken - {"theta"}
        options = tuple((name, getattr(self, name)) for name in self.OPTIONS if name in taken)
        start = self.start if self.semiring == "viterbi" else None
        return Request(*asked, self.semiring, options, start)

    def check(self) -> None:
        """Raise `InputError` if a number of the composite is out of its range."""
        # Bounds are known when the model is opened; any will do here.
        parameters.build(self.composite, self.rule, self.numbers, (0.0, 1.0))

    def set_number(self, name: str, value: float) -> None:
        """Set one parameter of the present composite; one that it does not have is left alone."""
        if name in self.numbers:
            self.numbers = {**self.numbers, name: float(value)}

    @traitlets.validate("composite")
    def _known_composite(self, proposal: dict[str, Any]) -> str:
        composites.get(proposal["value"])
        return proposal["value"]

    @traitlets.validate("rule")
    def _known_rule(self, proposal: dict[str, Any]) -> str:
        parameters.rule_type(proposal["value"])
        return proposal["value"]

    @traitlets.validate("semiring")
    def _known_semiring(self, proposal: dict[str, Any]) -> str:
        semirings.get(proposal["value"])
        return proposal["value"]

    @traitlets.validate("theta")
    def _positive(self, proposal: dict[str, Any]) -> float:
        if not (math.isfinite(proposal["value"]) and proposal["value"] > 0):
            raise InputError(f"theta is {proposal['value']!r}, but a positive number is expected")
        return proposal["value"]

    @traitlets.observe("model", "data", "example")
    def _follow_prediction(self, _: Any) -> None:
        self.target = None
        self.start = None

    @traitlets.observe("semiring")
    def _join_as_usual(self, change: dict[str, Any]) -> None:
        joins = list(algebra.reading(change["new"]).joins)
        before = list(algebra.reading(change["old"]).joins) if change["old"] else joins
        if joins != before or self.join not in joins:
            self.join = joins[0]

    @traitlets.observe("numbers")
    def _remember(self, change: dict[str, Any]) -> None:
        self._remembered[self.composite, self.rule] = change["new"]

    @traitlets.observe("composite", "rule")
    def _recall(self, _: Any) -> None:
        default = parameters.defaults(self.composite, self.rule)
        self.numbers = self._remembered.get((self.composite, self.rule), default)


def first_state(model: str, data: str, given: Mapping[str, Any]) -> ExplainState:
    """Make the state that a user's call describes.

    Raises
    ------
    UnknownNameError, InputError
        For a trait or number that there is not, and for a value that it cannot have.
    """
    known = [name for name in ExplainState.class_trait_names() if name not in ("model", "data")]
    for name in given:
        if name not in known:
            raise unknown_name("setting of the explorer", name, known)
    numbers = given.get("numbers", {})
    if not isinstance(numbers, Mapping):
        raise InputError(f"numbers is {numbers!r}, but a mapping of parameter to number is expected")
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"numbers[{name!r}] is {value!r} ({type(value).__name__}), but a number is expected")
    try:
        state = ExplainState(model=model, data=data, **given)
    except traitlets.TraitError as error:
        raise InputError(str(error)) from error
    for name in numbers:
        if name not in state.numbers:
            raise unknown_name(f"number of {state.composite}", name, state.numbers)
    state.check()
    return state

"""What the user has chosen, without a widget: panels link to it, tests and notebooks set it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import traitlets

from lrp_explorer import composites
from lrp_explorer.panels import parameters

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
    """

    model: str
    data: str
    example: int
    target: int | None
    composite: str
    rule: str
    numbers: tuple[tuple[str, float], ...]

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

    EXPLAINED = ("model", "data", "example", "target", "composite", "rule", "numbers")
    """Traits that the relevance depends on; the others only choose what is shown of it."""

    def __init__(self, **traits: Any) -> None:
        self._remembered: dict[tuple[str, str], dict[str, float]] = {}
        # These two would be undone by the first values of the others.
        numbers, target = traits.pop("numbers", {}), traits.pop("target", None)
        super().__init__(**traits)
        self.target = target
        self.numbers = parameters.defaults(self.composite, self.rule)
        for name, value in numbers.items():
            self.set_number(name, value)

    def request(self) -> Request:
        """Freeze the present moment."""
        numbers = tuple(self.numbers.items())
        return Request(self.model, self.data, self.example, self.target, self.composite, self.rule, numbers)

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

    @traitlets.observe("model", "data", "example")
    def _follow_prediction(self, _: Any) -> None:
        self.target = None

    @traitlets.observe("numbers")
    def _remember(self, change: dict[str, Any]) -> None:
        self._remembered[self.composite, self.rule] = change["new"]

    @traitlets.observe("composite", "rule")
    def _recall(self, _: Any) -> None:
        default = parameters.defaults(self.composite, self.rule)
        self.numbers = self._remembered.get((self.composite, self.rule), default)

"""Card of the Explain panel: how relevance is propagated; composite, its numbers, and its rules explained."""

from __future__ import annotations

import html
from collections import Counter
from math import log10
from typing import Any

import ipywidgets

from lrp_explorer import semirings
from lrp_explorer.panels import frame, parameters, rulebook
from lrp_explorer.panels.explanation import Explanation
from lrp_explorer.panels.parameters import PARAMETERS, Parameter
from lrp_explorer.panels.state import ExplainState
from lrp_explorer.panels.subject import Guard

ALWAYS_SHOWN = ("epsilon", "gamma")
"""These keep their place when a composite has no use for them, so that the card does not jump."""


class Propagation:
    """Composite and sliders, linked to the state; parameters as for `Subject`."""

    def __init__(self, state: ExplainState, guarded: Guard) -> None:
        self._state = state
        self._idle: set[str] = set()
        self.composite = ipywidgets.Dropdown(
            description="Composite", options=parameters.offered_composites(), value=state.composite
        )
        self.semiring = ipywidgets.Dropdown(description="Semiring", options=semirings.names(), value=state.semiring)
        self.asks = ipywidgets.HTML()
        self.rule = ipywidgets.Dropdown(description="Rule", options=parameters.offered_rules(), value=state.rule)
        self.about = ipywidgets.HTML()
        self.sliders = {name: _slider(parameter) for name, parameter in PARAMETERS.items()}
        self.hints = {name: ipywidgets.HTML() for name in PARAMETERS}
        self.rules = ipywidgets.HTML()
        title = ipywidgets.HTML(frame.heading("Propagation"))
        pairs = [widget for name in PARAMETERS for widget in (self.sliders[name], self.hints[name])]
        self.card = frame.card(
            [title, self.semiring, self.asks, self.composite, self.about, self.rule, *pairs, self.rules], "propagation"
        )
        self._link(guarded)
        self._follow()

    def show(self, explanation: Explanation) -> None:
        """Explain the rules that served this network."""
        self._idle = {name for name, parameter in PARAMETERS.items() if _idle(parameter, explanation)}
        self._hint()
        counts = Counter(row.rule.split("(")[0] for row in explanation.coverage)
        title = "The one rule at work" if len(counts) == 1 else f"The {len(counts)} rules at work, explained"
        page = rulebook.page(counts.items()) + rulebook.semiring_page(explanation.request.semiring)
        self.rules.value = f'<details class="lrp-explained"><summary>{title}</summary>{page}</details>'

    def _link(self, guarded: Guard) -> None:
        def choose(change: dict[str, Any]) -> None:
            setattr(self._state, fields[change["owner"]], change["new"])

        fields = {self.composite: "composite", self.rule: "rule", self.semiring: "semiring"}
        self.semiring.observe(guarded(choose), "value")
        self.composite.observe(guarded(choose), "value")
        self.rule.observe(guarded(choose), "value")
        for name, slider in self.sliders.items():
            slider.observe(guarded(lambda change, name=name: self._state.set_number(name, change["new"])), "value")
        self._state.observe(guarded(lambda _: self._follow()), ["composite", "rule", "numbers", "semiring"])

    def _follow(self) -> None:
        state = self._state
        self.composite.value, self.rule.value = state.composite, state.rule
        self._follow_semiring()
        self.about.value = f'<p class="lrp-fact">{rulebook.composite_line(state.composite)}</p>'
        self.rule.layout.display = "" if parameters.takes_rule(state.composite) else "none"
        for name, parameter in PARAMETERS.items():
            used = name in state.numbers
            slider = self.sliders[name]
            slider.disabled = not used
            shown = "" if used or name in ALWAYS_SHOWN else "none"
            slider.layout.display = self.hints[name].layout.display = shown
            if used:
                slider.value = parameter.clip(state.numbers[name])
        self._hint()

    def _follow_semiring(self) -> None:
        # One that was registered since is offered from then on.
        if self._state.semiring not in self.semiring.options:
            self.semiring.options = semirings.names()
        self.semiring.value = self._state.semiring
        asked = html.escape(rulebook.semiring_line(self._state.semiring))
        self.asks.value = f'<p class="lrp-hint" title="{asked}">{asked}</p>'

    def _hint(self) -> None:
        for name, parameter in PARAMETERS.items():
            text = f"{parameter.valid} · {parameter.meaning}"
            if name not in self._state.numbers:
                text = "not used by this composite"
            elif name in self._idle:
                text = f"no layer of this network has a rule with {parameter.symbol}"
            self.hints[name].value = f'<p class="lrp-hint" title="{html.escape(text)}">{html.escape(text)}</p>'


def _slider(parameter: Parameter) -> ipywidgets.FloatSlider | ipywidgets.FloatLogSlider:
    if parameter.logarithmic:
        return ipywidgets.FloatLogSlider(
            description=parameter.symbol,
            base=10,
            min=log10(parameter.low),
            max=log10(parameter.high),
            step=parameter.step,
            readout_format=".1e",
        )
    return ipywidgets.FloatSlider(
        description=parameter.symbol,
        min=parameter.low,
        max=parameter.high,
        step=parameter.step,
        readout_format=".2f",
    )


def _idle(parameter: Parameter, explanation: Explanation) -> bool:
    """Tell whether no rule at work has the number."""
    places = [f"{field}=" for field in parameter.fields]
    return bool(places) and not any(place in row.rule for place in places for row in explanation.coverage)

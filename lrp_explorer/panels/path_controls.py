"""Controls of the Explain panel for relevance over paths: threshold, edges, pooling, and how channels are joined."""

from __future__ import annotations

import html
from math import log10
from typing import Any

import ipywidgets

from lrp_explorer.panels import algebra, frame
from lrp_explorer.panels.state import ExplainState
from lrp_explorer.panels.subject import Guard


class PathControls:
    """What a semiring lets one choose, linked to the state; parameters as for `Subject`."""

    def __init__(self, state: ExplainState, guarded: Guard) -> None:
        self._state = state
        ends = [log10(theta) for theta in (algebra.THETAS[0], algebra.THETAS[-1])]
        self.theta = ipywidgets.FloatLogSlider(
            description="θ", base=10, min=ends[0], max=ends[1], step=0.1, readout_format=".1e", value=state.theta
        )
        self.hint = ipywidgets.HTML()
        self.choices = {
            "absolute": ipywidgets.Dropdown(description="Edges", options=algebra.EDGES),
            "normalise": ipywidgets.Dropdown(description="Divided", options=algebra.NORMALISES),
            "pooling": ipywidgets.Dropdown(description="Pooling", options=algebra.POOLINGS),
        }
        self.join = frame.Picker(description="Channels", options=[("", "")])
        self.box = ipywidgets.VBox([self.theta, self.hint, *self.choices.values(), self.join])
        self.box.add_class("lrp-path-controls")
        self._link(guarded)
        self._follow()

    def _link(self, guarded: Guard) -> None:
        def write(name: str) -> Any:
            return guarded(lambda change: setattr(self._state, name, change["new"]))

        self.theta.observe(write("theta"), "value")
        for name, choice in self.choices.items():
            choice.observe(write(name), "value")
        self.join.observe(guarded(self._choose_join), "value")
        watched = ["semiring", "theta", "join", *self.choices]
        self._state.observe(guarded(lambda _: self._follow()), watched)

    def _choose_join(self, change: dict[str, Any]) -> None:
        if not self.join.refilling and change["new"] is not None:
            self._state.join = change["new"]

    def _follow(self) -> None:
        state = self._state
        name = state.semiring
        self.box.layout.display = "none" if name == algebra.REAL else ""
        taken = algebra.choices(name)
        compared = algebra.compares(name)
        self.theta.layout.display = "" if compared or "theta" in taken else "none"
        self.theta.value = min(max(state.theta, algebra.THETAS[0]), algebra.THETAS[-1])
        for field, choice in self.choices.items():
            choice.value = getattr(state, field)
            choice.layout.display = "" if field in taken else "none"
        joins = algebra.reading(name).joins
        options = [(label, join) for join, label in joins.items()]
        if list(self.join.options) != options:
            self.join.refill(options, state.join if state.join in joins else options[0][1])
        elif state.join in joins:
            self.join.value = state.join
        text = _hint(name)
        self.hint.value = f'<p class="lrp-hint" title="{html.escape(text)}">{html.escape(text)}</p>'


def _hint(semiring: str) -> str:
    if algebra.compares(semiring):
        return "moves without a propagation: all θ at once"
    if semiring == "counting":
        return "edges below θ are none · propagates anew"
    if semiring == "viterbi":
        return "click a pixel of the map: its best path"
    return "cost = −log strength; grey: no path" if semiring == "tropical" else "elements as they are"

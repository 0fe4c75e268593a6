"""Card of the Explain panel: which class is explained; the leading ones as bars to click, any one from a list."""

from __future__ import annotations

from typing import Any

import ipywidgets

from lrp_explorer.figures import probabilities, theme
from lrp_explorer.panels import frame
from lrp_explorer.panels.explanation import Explanation, top
from lrp_explorer.panels.pane import PlotlyPane
from lrp_explorer.panels.state import ExplainState
from lrp_explorer.panels.subject import Guard

PREDICTED = -1
HEIGHT = 132


class Classes:
    """The class to be explained, linked to the state; parameters as for `Subject`."""

    def __init__(self, state: ExplainState, guarded: Guard) -> None:
        self._state = state
        self._known: tuple[int, tuple[str, ...]] | None = None
        self.pane = PlotlyPane(theme.blank(), height=HEIGHT, description="Most probable classes")
        self.choice = frame.Picker(description="Explain", options=[("the predicted class", PREDICTED)])
        title = ipywidgets.HTML(frame.heading("Class", "click a bar to explain it"))
        self.card = frame.card([title, self.pane, self.choice], "classes")
        self.pane.on_click(guarded(self._click))
        self.choice.observe(guarded(self._choose), "value")
        state.observe(guarded(lambda _: self._follow()), "target")

    def show(self, explanation: Explanation) -> None:
        """Show the leading classes of an explanation."""
        numbers = top(explanation)
        self._list(len(explanation.logits), explanation.example.classes)
        self.pane.show(probabilities.bars(numbers), description=numbers.describe())

    def _list(self, count: int, names: tuple[str, ...]) -> None:
        if self._known == (count, names):
            return
        self._known = (count, names)
        options = [("the predicted class", PREDICTED)]
        for index in range(count):
            name = probabilities.class_name(names, index)
            options.append((name if name == str(index) or not names else f"{index} · {name}", index))
        value = PREDICTED if self._state.target is None else self._state.target
        self.choice.refill(options, value if value < count else PREDICTED)

    def _click(self, point: dict[str, Any]) -> None:
        self._state.target = int(point["customdata"])

    def _choose(self, change: dict[str, Any]) -> None:
        if not self.choice.refilling and change["new"] is not None:
            self._state.target = None if change["new"] == PREDICTED else change["new"]

    def _follow(self) -> None:
        value = PREDICTED if self._state.target is None else self._state.target
        if value in [index for _, index in self.choice.options]:
            self.choice.value = value

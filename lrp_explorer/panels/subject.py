"""Card of the Explain panel: which model, which data set, which example."""

from __future__ import annotations

import html
import random
from collections.abc import Callable
from typing import Any

import ipywidgets

from lrp_explorer.panels import frame
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.explanation import Example
from lrp_explorer.panels.state import ExplainState

Guard = Callable[[Callable[..., None]], Callable[..., None]]


class Subject:
    """Pickers of model, data set and example, linked to the state.

    Parameters
    ----------
    state : ExplainState
        Written when the user picks, and followed when it changes from elsewhere.
    catalogue : Catalogue
        What can be picked.
    guarded : callable
        Wraps callbacks, see `Panel.guarded`.
    """

    def __init__(self, state: ExplainState, catalogue: Catalogue, guarded: Guard) -> None:
        self._state, self._catalogue = state, catalogue
        self._count: int | None = None
        self.model = ipywidgets.Dropdown(description="Model", options=catalogue.models(), value=state.model)
        self.data = frame.Picker(description="Data", options=[state.data], value=state.data)
        self.number = ipywidgets.BoundedIntText(description="Example", value=state.example, min=0, max=state.example)
        self.about = ipywidgets.HTML()
        self.label = ipywidgets.HTML()
        self.previous = ipywidgets.Button(icon="chevron-left", tooltip="Previous example")
        self.next = ipywidgets.Button(icon="chevron-right", tooltip="Next example")
        self.random = ipywidgets.Button(icon="random", tooltip="Any example")
        buttons = frame.row([self.previous, self.number, self.next, self.random], "example")
        title = ipywidgets.HTML(frame.heading("What is explained"))
        self.card = frame.card([title, self.model, self.about, self.data, buttons, self.label], "subject")
        self._link(guarded)
        self._follow_model()

    def show(self, example: Example) -> None:
        """Show what is known of the example once it has been opened."""
        self._count = example.count
        self.number.max = max(example.count - 1, 0)
        self.number.value = self._state.example
        self._count_label(example)

    def _link(self, guarded: Guard) -> None:
        def write(name: str) -> Callable[[Any], None]:
            return guarded(lambda change: setattr(self._state, name, change["new"]))

        self.model.observe(write("model"), "value")
        self.data.observe(guarded(self._choose_data), "value")
        self.number.observe(write("example"), "value")
        self.previous.on_click(guarded(lambda _: self._step(-1)))
        self.next.on_click(guarded(lambda _: self._step(1)))
        self.random.on_click(guarded(lambda _: self._jump()))
        self._state.observe(guarded(lambda _: self._follow_model()), "model")
        self._state.observe(guarded(lambda _: self._follow_data()), "data")
        self._state.observe(guarded(lambda _: self._follow_example()), "example")

    def _choose_data(self, change: dict[str, Any]) -> None:
        if not self.data.refilling:
            self._state.data = change["new"]

    def _step(self, by: int) -> None:
        if self._count:
            self._state.example = (self._state.example + by) % self._count

    def _jump(self) -> None:
        if self._count and self._count > 1:
            other = random.randrange(self._count - 1)
            self._state.example = other + (other >= self._state.example)

    def _follow_model(self) -> None:
        self.model.value = self._state.model
        fitting = self._catalogue.datasets(self._state.model)
        keep = self._state.data if self._state.data in fitting else fitting[0]
        self.data.refill(fitting, keep)
        self._state.data = keep
        self.about.value = _about(self._catalogue.card(self._state.model))

    def _follow_data(self) -> None:
        self._count = None
        self._state.example = 0
        if self._state.data in self.data.options:
            self.data.value = self._state.data

    def _follow_example(self) -> None:
        self.number.max = max(self.number.max, self._state.example)
        self.number.value = self._state.example

    def _count_label(self, example: Example) -> None:
        of = f"of {example.count:,}".replace(",", " ")
        what = f"label <b>{html.escape(example.label)}</b>" if example.label else html.escape(example.caption)
        self.label.value = f'<p class="lrp-fact" title="{html.escape(example.caption)}"><i>{of}</i>{what}</p>'


def _about(card: Any) -> str:
    if card is None:
        return '<p class="lrp-fact">your own model</p>'
    accuracy = "" if card.accuracy is None else f" · {card.accuracy:.1%} correct on test data"
    return f'<p class="lrp-fact">{html.escape(card.title)}{accuracy}</p>'

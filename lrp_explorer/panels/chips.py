"""Buttons of which any number is pressed, in a row that breaks where it is full."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets


class Chips(ipywidgets.HBox):
    """Buttons of which any number is pressed.

    Parameters
    ----------
    label : str
        Stands before them.
    changed : callable
        Called with the values pressed, in their order, when the user has pressed one.
    """

    def __init__(self, label: str, changed: Callable[[tuple[Any, ...]], None]) -> None:
        self._label = ipywidgets.HTML(f"<span>{html.escape(label)}</span>")
        super().__init__([self._label])
        self.add_class("lrp-chips")
        self._changed, self._filling = changed, False
        self._values: list[Any] = []
        self.buttons: list[ipywidgets.ToggleButton] = []

    def offer(self, options: Sequence[tuple[str, Any]], pressed: Sequence[Any]) -> None:
        """Show these buttons."""
        old = self.buttons
        self._values = [value for _, value in options]
        self.buttons = [ipywidgets.ToggleButton(description=name, tooltip=name) for name, _ in options]
        for button in self.buttons:
            button.observe(lambda _: self._press(), "value")
        self.press(pressed)
        self.children = [self._label, *self.buttons]
        for button in old:
            button.close()

    def press(self, pressed: Sequence[Any]) -> None:
        """Press these and release the others, without telling anybody."""
        self._filling = True
        try:
            for button, value in zip(self.buttons, self._values, strict=True):
                button.value = value in pressed
        finally:
            self._filling = False

    def _press(self) -> None:
        if not self._filling:
            pairs = zip(self.buttons, self._values, strict=True)
            self._changed(tuple(value for button, value in pairs if button.value))

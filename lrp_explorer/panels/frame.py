"""The look shared by all panels: one style sheet, cards with a heading, names for what screen readers cannot name."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import anywidget
import ipywidgets

from lrp_explorer.panels.channel import source


class Frame(anywidget.AnyWidget):
    """Invisible: brings the style sheet to the page, names its controls, and says when a page has come up.

    Parameters
    ----------
    shown : callable
        Called without arguments each time a browser has rendered the panel around this widget.
    """

    _esm = source("frame.js")
    _css = source("frame.css", "masks.css")

    def __init__(self, shown: Callable[[], None]) -> None:
        super().__init__()
        self.on_msg(lambda _widget, content, _buffers: shown() if content.get("kind") == "shown" else None)


def resend(widget: ipywidgets.Widget) -> None:
    """Send the whole state of a widget and all within it once more.

    A page that opens asks for the state of all widgets, and listens to them a moment (on a busy machine: seconds)
    later. What changes in between reaches nobody, unless it is said again.
    """
    for one in _within(widget):
        one.send_state()


def _within(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    # Drawing widgets look after themselves, see `LiveWidget`.
    if isinstance(widget, anywidget.AnyWidget):
        return
    yield widget
    for name in ("layout", "style"):
        part: Any = getattr(widget, name, None)
        if isinstance(part, ipywidgets.Widget):
            yield part
    for child in getattr(widget, "children", ()):
        yield from _within(child)


def quieten(widget: ipywidgets.Widget) -> None:
    """Give every widget within that has no tooltip an empty one: its label would show ``null`` on hover."""
    for one in _within(widget):
        if one.has_trait("tooltip") and one.tooltip is None:  # type: ignore[attr-defined]
            one.tooltip = ""  # type: ignore[attr-defined]


def heading(text: str = "", detail: str = "") -> str:
    """Give the markup of a card's heading: what it shows, then its numbers in a paler ink."""
    return f"<h2>{html.escape(text)}<small>{html.escape(detail)}</small></h2>"


def notes(said: Sequence[str], of: str) -> str:
    """Give the markup of notes that can be unfolded; nothing where there are none."""
    if not said:
        return ""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in said)
    count = "1 note" if len(said) == 1 else f"{len(said)} notes"
    return f'<details class="lrp-notes"><summary>{count} on {html.escape(of)}</summary><ul>{items}</ul></details>'


def card(children: Sequence[ipywidgets.Widget], name: str) -> ipywidgets.VBox:
    """Put widgets on a card; `name` becomes its class `lrp-card-<name>`."""
    box = ipywidgets.VBox(list(children))
    box.add_class("lrp-card")
    box.add_class(f"lrp-card-{name}")
    return box


def row(children: Sequence[ipywidgets.Widget], name: str) -> ipywidgets.HBox:
    """Put widgets beside each other; `name` becomes the class `lrp-<name>`."""
    box = ipywidgets.HBox(list(children))
    box.add_class(f"lrp-{name}")
    return box


class Picker(ipywidgets.Dropdown):
    """A dropdown whose options can be replaced without its observers being told of a choice that nobody made.

    Attributes
    ----------
    refilling : bool
        True while `refill` works; observers of `value` are to do nothing then.
    """

    refilling = False

    def refill(self, options: Sequence[Any], value: Any) -> None:
        """Replace the options and select `value`, one of the new ones."""
        self.refilling = True
        try:
            # The first option is selected in between, always.
            self.options = options
            self.value = value
        finally:
            self.refilling = False

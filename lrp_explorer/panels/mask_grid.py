"""Card with the grid of masks: the slider of θ that moves all of them, pages of classes, maps or channels."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets

from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.samples import Samples
from lrp_explorer.figures import masks
from lrp_explorer.panels import frame, mask_reading
from lrp_explorer.panels.drawing import Drawing
from lrp_explorer.panels.mask_reading import View
from lrp_explorer.panels.mask_state import MaskRequest, MaskState
from lrp_explorer.panels.subject import Guard


class MaskGrid:
    """The grid, and how it is read.

    Parameters
    ----------
    state : MaskState
        What is looked at; followed by `MaskStage`, which draws everything anew when it changes.
    guarded : callable
        Wraps callbacks, see `Panel.guarded`.
    """

    def __init__(self, state: MaskState, guarded: Guard) -> None:
        self._state = state
        self._view: View | None = None
        self._pages = 1
        self._moving = False
        self.drawing = Drawing(330, "Masks of each class")
        self.theta = ipywidgets.FloatLogSlider(
            description="θ", min=-4, max=0, step=0.01, readout_format=".2e", disabled=True
        )
        self.hint = ipywidgets.HTML()
        self.view = ipywidgets.ToggleButtons(options=[("Maps", False), ("Channels", True)], value=state.channels)
        self.previous = ipywidgets.Button(icon="chevron-left", tooltip="Classes before these")
        self.next = ipywidgets.Button(icon="chevron-right", tooltip="Classes after these")
        self.shown = ipywidgets.HTML()
        self.pager = frame.row([self.previous, self.shown, self.next], "pager")
        head = frame.row([self.drawing.heading, self.pager, self.view], "head")
        slide = frame.row([self.theta, self.hint], "theta")
        self.card = frame.card([head, slide, self.drawing.pane], "grid")
        self._hide(self.pager, True)
        self._hide(self.view, True)
        self._link(guarded)

    def fit(self, found: Masks, request: MaskRequest, samples: Samples | None) -> None:
        """Fit slider and pages to the masks that are to be shown."""
        ends = mask_reading.thresholds(found, request, samples)
        self.theta.disabled = ends is None
        self.hint.value = _hint(_meaning(found, request, samples, ends is not None))
        if ends is not None:
            # Until the user has moved it, it stands where there is most to be seen.
            self._move(*ends[:2], ends[2] if self._state.theta is None else self._state.theta)
        self._pages = len(mask_reading.pages(found))
        if self._state.page >= self._pages:
            self._state.page = 0

    def show(self, found: Masks, request: MaskRequest, samples: Samples | None) -> View:
        """Draw masks as they are at the present θ; a comparison, no relevance is computed."""
        theta = None if self.theta.disabled else self.theta.value
        view = mask_reading.view(found, request, self._state.page, theta, self._state.channels, samples)
        self._view = view
        cells, place = view.cells, view.place(self._state.selected)
        self.drawing.show(
            masks.structure(cells),
            lambda: masks.grid(cells, place),
            masks.restyle(cells),
            cells.describe(),
            layout=masks.relabel(cells) | masks.reframe(cells, place),
        )
        words = f"{request.model} on {request.data} · {request.layer} · {request.composite} · {request.semiring}"
        self.drawing.heading.value = frame.heading("Masks of each class", words)
        self._hide(self.view, not view.deep)
        self._tell_page(found)
        return view

    def follow(self) -> None:
        """Bring the widgets to what the state says."""
        theta = self._state.theta
        if theta is not None and not self.theta.disabled:
            self._move(self.theta.min, self.theta.max, theta)
        self.view.value = self._state.channels

    def _link(self, guarded: Guard) -> None:
        self.theta.observe(guarded(self._slide), "value")
        self.view.observe(guarded(lambda change: setattr(self._state, "channels", change["new"])), "value")
        self.previous.on_click(guarded(lambda _: self._turn(-1)))
        self.next.on_click(guarded(lambda _: self._turn(1)))
        self.drawing.pane.on_click(guarded(self._click))

    def _slide(self, change: dict[str, Any]) -> None:
        if not self._moving:
            self._state.theta = change["new"]

    def _turn(self, by: int) -> None:
        self._state.page = (self._state.page + by) % self._pages

    def _click(self, point: dict[str, Any]) -> None:
        if self._view is not None:
            row, column = masks.place(self._view.cells, point["x"], point["y"])
            self._state.selected = self._view.cells.reductions[row], self._view.masks.classes[column]

    def _move(self, low: float, high: float, theta: float) -> None:
        """Set ends and value of the slider, which is no choice of the user's."""
        self._moving = True
        try:
            # The ends may not cross on the way.
            self.theta.min, self.theta.max = min(low, self.theta.min), max(high, self.theta.max)
            self.theta.value = min(max(theta, 10.0**low), 10.0**high)
            self.theta.min, self.theta.max = low, high
        finally:
            self._moving = False

    def _tell_page(self, found: Masks) -> None:
        pages = mask_reading.pages(found)
        self._hide(self.pager, len(pages) == 1)
        rows = pages[self._state.page]
        self.shown.value = f'<p class="lrp-fact">classes {rows[0] + 1}–{rows[-1] + 1} of {pages[-1][-1] + 1}</p>'

    @staticmethod
    def _hide(widget: Any, hidden: bool) -> None:
        widget.layout.display = "none" if hidden else ""


def _meaning(found: Masks, request: MaskRequest, samples: Samples | None, compared: bool) -> str:
    """Say what the slider does to the masks."""
    if not compared:
        truth = any(array.dtype == bool for array in found.arrays.values())
        return "relevance is yes or no here: its θ is that of the edges" if truth else "no mask here depends on θ"
    stays = mask_reading.stays(found, request, samples)
    but = f"; not {', '.join(stays)}: {found.criterion.describe()}" if stays else ""
    if request.semiring == "bottleneck":
        return f"Boolean masks for every θ, from one pass{but}"
    return f"relevant where {'the cost is ≤' if found.criterion.cost else 'R ≥'} θ{but}"


def _hint(text: str) -> str:
    said = html.escape(text)
    return f'<p class="lrp-hint" title="{said}">{said}</p>'

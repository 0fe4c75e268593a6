"""The drawing half of the Masks panel: the grid, one mask large beside its mean image, and a masked example."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets
import numpy as np

from lrp_explorer.analyses.masking import Masked, strongest
from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.mean_image import MeanImages
from lrp_explorer.figures import mask_cells, mask_views, masks, probabilities, theme
from lrp_explorer.panels import frame
from lrp_explorer.panels.mask_controls import decades
from lrp_explorer.panels.mask_reading import deep, narrowed, reading
from lrp_explorer.panels.mask_state import MaskRequest, MaskState
from lrp_explorer.panels.pane import PlotlyPane
from lrp_explorer.panels.subject import Guard


@dataclass(frozen=True)
class Shown:
    """What is on the stage: a request and the masks so far, as they are at the present θ."""

    request: MaskRequest
    masks: Masks
    images: MeanImages | None = None


class Sheet:
    """A pane that draws anew when the structure changes, and restyles several traces otherwise."""

    def __init__(self, height: int, description: str) -> None:
        self.pane = PlotlyPane(theme.blank(), height=height, description=description)
        self._structure: Hashable = None

    def show(
        self, structure: Hashable, draw: Any, changes: list[dict[str, Any]] | None, layout: dict[str, Any], words: str
    ) -> None:
        """Bring the pane up to date; parameters as for `lrp_explorer.panels.stage.Drawing.show`, for all traces."""
        if structure != self._structure or changes is None:
            self.pane.show(draw(), description=words)
            self._structure = structure
            return
        for trace, change in enumerate(changes):
            self.pane.restyle(change, trace=trace, layout=layout if trace == 0 else None)
        self.pane.description = words


class MaskStage:
    """All drawings of the Masks panel.

    Parameters
    ----------
    state : MaskState
        What is looked at: θ, the selected cell, maps or channels, and how masks are put on the example.
    guarded : callable
        Wraps callbacks, see `Panel.guarded`.
    """

    def __init__(self, state: MaskState, guarded: Guard) -> None:
        self._state = state
        self._shown: Shown | None = None
        self._cells: mask_cells.Cells | None = None
        self._moving = False
        self.grid = Sheet(330, "Masks: a column for each class, a row for each reduction")
        self.large = Sheet(200, "One mask, the mean image of its examples, and the difference")
        self.effect = Sheet(200, "The masked example, and what the model says")
        self.grid_heading, self.large_heading, self.effect_heading = (ipywidgets.HTML() for _ in range(3))
        self.theta = ipywidgets.FloatLogSlider(
            description="θ", min=-4, max=0, step=0.01, readout_format=".2e", disabled=True
        )
        self.hint = ipywidgets.HTML()
        self.view = ipywidgets.ToggleButtons(options=[("Maps", False), ("Channels", True)], value=state.channels)
        self.action = ipywidgets.ToggleButtons(options=[("Keep", "keep"), ("Remove", "remove")], value=state.action)
        self.fill = ipywidgets.ToggleButtons(options=[("Mean", "mean"), ("0", "zero")], value=state.fill)
        self.share = ipywidgets.FloatSlider(description="Strongest", min=0, max=1, step=0.01, readout_format=".0%")
        self.box = ipywidgets.VBox(self._cards())
        self.box.add_class("lrp-stage")
        self._link(guarded)

    def show(self, request: MaskRequest, found: Masks, images: MeanImages | None) -> None:
        """Show masks, and the mean images of the same examples if they are known."""
        self.box.remove_class("lrp-stale")
        self._shown = Shown(request, narrowed(found), images)
        self._range(found)
        self.paint()

    def stale(self) -> None:
        """Dim what is shown: it is not what the controls say."""
        self.box.add_class("lrp-stale")

    def paint(self) -> None:
        """Draw what is known at the present θ; a comparison, no computation."""
        if self._shown is None:
            return
        cells, arrays = self._current(self._shown)
        self._cells = cells
        place = self._place(cells)
        self.grid.show(
            masks.structure(cells),
            lambda: masks.grid(cells, place),
            masks.restyle(cells),
            masks.relabel(cells) | masks.reframe(cells, place),
            cells.describe(),
        )
        request = self._shown.request
        words = f"{request.model} on {request.data} · {request.layer} · {request.composite} · {request.semiring}"
        self.grid_heading.value = frame.heading("Masks of each class", words + _left(self._shown.masks))
        self.view.layout.visibility = "visible" if deep(arrays) else "hidden"
        self._paint_large(self._shown, cells, place)

    def _paint_large(self, shown: Shown, cells: mask_cells.Cells, place: tuple[int, int]) -> None:
        row, column = place
        reduction, chosen = cells.reductions[row], shown.masks.classes[column]
        image = self._image(shown, chosen, cells)
        shape = shown.masks.arrays[shown.request.layer, reduction].shape
        large = mask_views.Large(
            values=cells.values[row][column],
            scale=cells.scale_of(row),
            limit=cells.limit_of(row),
            count=cells.counts[column],
            level=self._level(shown, cells, place),
            image=image,
            unit="channel" if cells.bars and len(shape) == 4 and shape[2:] != (1, 1) else "neuron",
        )
        self.large.show(
            (mask_views.structure(large), cells.bars),
            lambda: mask_views.large(large),
            mask_views.restyle(large),
            {},
            large.describe(),
        )
        detail = f"n = {large.count}" + (f" · {shown.masks.criterion.describe()}" if large.scale.truth else "")
        self.large_heading.value = frame.heading(f"{cells.names[column]} · {reduction}", detail)
        truth = large.scale.truth
        self.share.layout.visibility = "hidden" if truth else "visible"

    def _level(self, shown: Shown, cells: mask_cells.Cells, place: tuple[int, int]) -> np.ndarray | None:
        """Give what decides a map of truth values, of its strongest channel."""
        row, column = place
        level = shown.masks.levels.get((shown.request.layer, cells.reductions[row]))
        if level is None or cells.bars or level.ndim != 4:
            return None
        return level[column].min(0) if shown.masks.criterion.cost else level[column].max(0)

    def mask(self) -> np.ndarray | None:
        """Give the selected mask of the input as truth values ``(height, width)``; None where there is none."""
        if self._shown is None or self._cells is None or self._shown.request.layer != "input" or self._cells.bars:
            return None
        row, column = self._place(self._cells)
        values = self._cells.values[row][column]
        if self._cells.kinds[row] == "truth":
            return values > 0
        return strongest(values, self._state.share, lowest=self._cells.scale_of(row).falling)

    def show_effect(self, masked: Masked, picture: np.ndarray, names: tuple[str, ...]) -> None:
        """Show the masked example and what the model says to it."""
        told = [probabilities.class_name(names, index) for index in masked.predictions]
        shares = [probabilities.softmax(logits).max() for logits in (masked.before, masked.after)]
        words = f"“{told[0]}” {shares[0]:.0%} → “{told[1]}” {shares[1]:.0%}"
        self.effect_heading.value = frame.heading(words, f"{masked.share:.0%} of pixels replaced")
        self.effect.show(
            object(), lambda: mask_views.effect(picture, masked.before, masked.after, names), None, {},
            f"The masked example: {masked.share:.0%} of its pixels are replaced. Prediction {words}.",
        )  # fmt: skip

    def no_effect(self, why: str) -> None:
        """Say why no mask can be put on the example."""
        self.effect_heading.value = frame.heading("Masked example", why)
        self.effect.show(("none", why), theme.blank, None, {}, why)

    def _cards(self) -> list[ipywidgets.Widget]:
        self.grid_heading.value = frame.heading("Masks of each class")
        self.large_heading.value = frame.heading("One mask", "click a mask to enlarge it")
        self.effect_heading.value = frame.heading("Masked example")
        head = frame.row([self.grid_heading, self.view], "head")
        slide = frame.row([self.theta, self.hint], "theta")
        bottom = frame.row(
            [
                frame.card([self.large_heading, self.large.pane], "large"),
                frame.card(
                    [
                        self.effect_heading,
                        frame.row([self.action, self.fill, self.share], "effect"),
                        self.effect.pane,
                    ],
                    "effect",
                ),
            ],
            "bottom",
        )
        return [frame.card([head, slide, self.grid.pane], "grid"), bottom]

    def _link(self, guarded: Guard) -> None:
        state = self._state
        for name, widget in (("action", self.action), ("fill", self.fill), ("share", self.share)):
            widget.observe(guarded(lambda change, name=name: setattr(state, name, change["new"])), "value")
            state.observe(guarded(lambda change, w=widget: setattr(w, "value", change["new"])), name)
        self.share.value = state.share
        self.view.observe(guarded(lambda change: setattr(state, "channels", change["new"])), "value")
        self.theta.observe(guarded(self._slide), "value")
        state.observe(guarded(lambda change: setattr(self.view, "value", change["new"])), "channels")
        state.observe(guarded(lambda _: self._follow()), ["theta", "selected", "channels"])
        self.grid.pane.on_click(guarded(self._click))

    def _slide(self, change: dict[str, Any]) -> None:
        if not self._moving:
            self._state.theta = change["new"]

    def _follow(self) -> None:
        theta = self._state.theta
        if theta is not None and not self.theta.disabled and self.theta.value != theta:
            self._move(theta)
        self.paint()

    def _move(self, theta: float) -> None:
        self._moving = True
        try:
            self.theta.value = theta
        finally:
            self._moving = False

    def _click(self, point: dict[str, Any]) -> None:
        if self._cells is None or self._shown is None:
            return
        row, column = masks.place(self._cells, point["x"], point["y"])
        self._state.selected = self._cells.reductions[row], self._shown.masks.classes[column]

    def _place(self, cells: mask_cells.Cells) -> tuple[int, int]:
        assert self._shown is not None
        reduction, chosen = self._state.selected
        row = cells.reductions.index(reduction) if reduction in cells.reductions else 0
        classes = self._shown.masks.classes
        return row, classes.index(chosen) if chosen in classes else 0

    def _range(self, found: Masks) -> None:
        """Fit the slider to what decides the masks; it is of no use where nothing does."""
        positive = [level[np.isfinite(level) & (level > 0)] for level in found.levels.values()]
        values = np.concatenate(positive) if positive else np.empty(0)
        self.theta.disabled = not values.size
        if not values.size:
            truth = any(array.dtype == bool for array in found.arrays.values())
            self.hint.value = _hint("relevance is yes or no here: its θ is that of the edges" if truth else "")
            return
        every = "Boolean masks for every θ, from one pass" if self._of_edges(found) else "relevant where R ≥ θ"
        self.hint.value = _hint("relevant where the cost is ≤ θ" if found.criterion.cost else every)
        low, high = decades(float(values.max()))
        if self._state.theta is None:
            self._state.theta = float(np.quantile(values, 0.5))
        self._moving = True
        try:
            # The ends may not cross on the way.
            self.theta.min, self.theta.max = min(low, self.theta.min), max(high, self.theta.max)
            self.theta.value = min(max(self._state.theta, 10.0**low), 10.0**high)
            self.theta.min, self.theta.max = low, high
        finally:
            self._moving = False

    def _of_edges(self, found: Masks) -> bool:
        return self._shown is not None and self._shown.request.semiring == "bottleneck"

    def _current(self, shown: Shown) -> tuple[mask_cells.Cells, dict[str, np.ndarray]]:
        """Give the masks at the present θ, as cells."""
        found, layer = shown.masks, shown.request.layer
        at = found.at(self.theta.value) if found.levels and not self.theta.disabled else found
        arrays = {
            reduction: at.arrays.get((layer, reduction), found.arrays[layer, reduction])
            for reduction in found.reductions
        }
        if at is not found:
            self._shown = replace(shown, masks=replace(found, criterion=at.criterion))
        scale, join = reading(shown.request.semiring)
        channels = self._state.channels and deep(arrays)
        return mask_cells.cells(arrays, found.names, found.counts, scale, join, channels), arrays

    def _image(self, shown: Shown, chosen: int | str, cells: mask_cells.Cells) -> np.ndarray | None:
        if shown.images is None or shown.request.layer != "input" or cells.bars or chosen not in shown.images.classes:
            return None
        image = shown.images.of(chosen)
        image = image.mean(0) if image.ndim == 3 else image
        return image if image.shape == cells.values[0].shape[1:] else None


def _left(found: Masks) -> str:
    skipped = f" · {found.skipped} skipped" if found.skipped else ""
    return skipped + "".join(f" · {note}" for note in found.notes)


def _hint(text: str) -> str:
    return f'<p class="lrp-hint">{text}</p>'

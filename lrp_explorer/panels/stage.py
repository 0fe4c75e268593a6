"""The drawing half of the Explain panel: input and heatmap, one layer large, the strip of layers, the sums."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import ipywidgets
import plotly.graph_objects as go

from lrp_explorer.figures import conservation, heatmap, layers, theme
from lrp_explorer.figures.probabilities import class_name
from lrp_explorer.panels import frame
from lrp_explorer.panels.explanation import Explanation
from lrp_explorer.panels.pane import PlotlyPane
from lrp_explorer.panels.state import ExplainState
from lrp_explorer.panels.subject import Guard
from lrp_explorer.panels.thumbnails import ThumbnailStrip

VIEWS = [("Beside", "beside"), ("Overlay", "overlay")]


class Drawing:
    """A pane with a heading; draws anew when the structure changes, and only the values otherwise."""

    def __init__(self, height: int, description: str) -> None:
        self.heading = ipywidgets.HTML(frame.heading(description))
        self.pane = PlotlyPane(theme.blank(), height=height, description=description)
        self._structure: Hashable = None

    def show(self, structure: Hashable, draw: Any, changes: dict[str, Any] | None, trace: int, words: str) -> None:
        """Bring the pane up to date.

        Parameters
        ----------
        structure : hashable
            All that cannot be changed by `changes`.
        draw : callable
            Makes the whole figure, when the structure is another one.
        changes : dict or None
            What is restyled in `trace` while the structure stays; None to draw the whole in any case.
        trace : int
            See `changes`.
        words : str
            The text alternative.
        """
        if structure == self._structure and changes is not None:
            self.pane.restyle(changes, trace=trace)
            self.pane.description = words
        else:
            figure: go.Figure = draw()
            self.pane.show(figure, description=words)
            self._structure = structure


class Stage:
    """All drawings of the Explain panel; parameters as for `Subject`."""

    def __init__(self, state: ExplainState, guarded: Guard) -> None:
        self._state = state
        self._shown: Explanation | None = None
        self._filling = False
        self.input = Drawing(264, "Input and its relevance")
        self.layer = Drawing(264, "Relevance of one layer")
        self.sums = Drawing(150, "Relevance sum of each layer")
        self.view = ipywidgets.ToggleButtons(options=VIEWS, value=state.view)
        self.strip = ThumbnailStrip(size=56, description="Relevance of every layer, input first: choose one")
        self.strip_heading = ipywidgets.HTML(frame.heading("All layers", "channels summed; click one to enlarge it"))
        self.box = ipywidgets.VBox(self._cards())
        self.box.add_class("lrp-stage")
        self.view.observe(guarded(lambda change: setattr(state, "view", change["new"])), "value")
        self.strip.observe(guarded(self._select), "selected")
        self.sums.pane.on_click(guarded(self._click))
        state.observe(guarded(lambda _: self._again()), ["view", "layer"])

    def show(self, explanation: Explanation) -> None:
        """Draw an explanation, the heatmap first."""
        self._shown = explanation
        self.box.remove_class("lrp-stale")
        self._show_input(explanation)
        self._show_layer(explanation)
        self._show_strip(explanation)
        self._show_sums(explanation)

    def stale(self) -> None:
        """Dim what is shown: it is not what the controls say."""
        self.box.add_class("lrp-stale")

    def _cards(self) -> list[ipywidgets.Widget]:
        head = frame.row([self.input.heading, self.view], "head")
        top = frame.row(
            [frame.card([head, self.input.pane], "input"), frame.card([self.layer.heading, self.layer.pane], "layer")],
            "top",
        )
        strip = frame.card([self.strip_heading, self.strip], "strip")
        return [top, strip, frame.card([self.sums.heading, self.sums.pane], "sums")]

    def _show_input(self, shown: Explanation) -> None:
        layer, picture = shown.layers[0], shown.example.picture
        self.input.heading.value = frame.heading(
            f"Relevance for “{class_name(shown.example.classes, shown.target)}”", f"sum {layer.total:.4g}"
        )
        if layer.kind == "vector" or picture is None:
            self.view.layout.visibility = "hidden"
            structure = ("vector", layer.shape)
            self.input.show(structure, lambda: layers.large(layer), layers.restyle(layer), 0, layer.describe())
            return
        self.view.layout.visibility = "visible"
        numbers = heatmap.info(layer.values, layer.limit)
        draw = heatmap.overlay if self._state.view == "overlay" else heatmap.explanation
        self.input.show(
            (self._state.view, shown.request.topic),
            lambda: draw(picture, layer.values, limit=layer.limit),
            heatmap.restyle(numbers),
            1,
            numbers.describe(),
        )

    def _show_layer(self, shown: Explanation) -> None:
        layer = shown.layer(self._state.layer)
        size = " × ".join(str(n) for n in layer.shape)
        self.layer.heading.value = frame.heading(f"Layer {layer.name}", f"{size} · sum {layer.total:.4g}")
        names = shown.example.classes if layer is shown.layers[-1] else ()
        self.layer.show(
            (layer.name, layer.kind, layer.values.shape, names),
            lambda: layers.large(layer, names),
            layers.restyle(layer),
            0,
            layer.describe(),
        )

    def _show_strip(self, shown: Explanation) -> None:
        items = []
        for layer in shown.layers:
            picture = layers.thumbnail(layer) if layer.kind == "vector" else layer.values / layer.limit
            items.append((layer.name, "×".join(str(n) for n in layer.shape), picture))
        names = [layer.name for layer in shown.layers]
        # The strip may move its selection by itself when it has fewer pictures: that is not the user's choice.
        self._filling = True
        try:
            self.strip.set(items)
            self.strip.selected = names.index(shown.layer(self._state.layer).name)
        finally:
            self._filling = False

    def _show_sums(self, shown: Explanation) -> None:
        chosen = shown.layer(self._state.layer).name
        numbers = shown.sums
        kept = "" if not numbers.start else f"{numbers.kept[0]:.1%} of f(x) = {numbers.start:.4g} reach the input"
        self.sums.heading.value = frame.heading("Relevance sum of each layer", kept)
        self.sums.show(
            (numbers.names, numbers.start),
            lambda: conservation.draw(numbers, chosen),
            conservation.restyle(numbers, chosen),
            1,
            numbers.describe(),
        )

    def _again(self) -> None:
        self.view.value = self._state.view
        if self._shown is not None:
            self.show(self._shown)

    def _select(self, change: dict[str, Any]) -> None:
        if self._shown is not None and not self._filling and 0 <= change["new"] < len(self._shown.layers):
            self._state.layer = self._shown.layers[change["new"]].name

    def _click(self, point: dict[str, Any]) -> None:
        if self._shown is not None and point["curveNumber"] == 1:
            self._state.layer = self._shown.layers[int(point["pointIndex"])].name

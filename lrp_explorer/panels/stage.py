"""The drawing half of the Explain panel: input and heatmap, one layer large, the strip of layers, the sums."""

from __future__ import annotations

from math import prod
from typing import Any

import ipywidgets

from lrp_explorer.figures import best_path, conservation, heatmap, layers, thresholds
from lrp_explorer.figures.probabilities import class_name
from lrp_explorer.panels import algebra, frame
from lrp_explorer.panels.drawing import Drawing
from lrp_explorer.panels.explanation import Explanation
from lrp_explorer.panels.path_controls import PathControls
from lrp_explorer.panels.state import ExplainState
from lrp_explorer.panels.subject import Guard
from lrp_explorer.panels.thumbnails import ThumbnailStrip

VIEWS = [("Beside", "beside"), ("Overlay", "overlay")]


class Stage:
    """All drawings of the Explain panel; parameters as for `Subject`."""

    def __init__(self, state: ExplainState, guarded: Guard) -> None:
        self._state = state
        self._whole: Explanation | None = None
        self._shown: Explanation | None = None
        self._filling = False
        self.input = Drawing(264, "Input and its relevance")
        self.layer = Drawing(264, "Relevance of one layer")
        self.sums = Drawing(150, "Relevance sum of each layer")
        self.controls = PathControls(state, guarded)
        self.view = ipywidgets.ToggleButtons(options=VIEWS, value=state.view)
        self.strip = ThumbnailStrip(size=56, description="Relevance of every layer, input first: choose one")
        self.strip_heading = ipywidgets.HTML(frame.heading("All layers", "channels summed; click one to enlarge it"))
        self.box = ipywidgets.VBox(self._cards())
        self.box.add_class("lrp-stage")
        self.view.observe(guarded(lambda change: setattr(state, "view", change["new"])), "value")
        self.strip.observe(guarded(self._select), "selected")
        self.sums.pane.on_click(guarded(self._click))
        self.input.pane.on_click(guarded(self._click_input))
        state.observe(guarded(lambda _: self._again()), ["view", "layer", "join"])
        state.observe(guarded(lambda _: self._compare()), "theta")

    def show(self, explanation: Explanation) -> None:
        """Draw an explanation, the heatmap first."""
        self._whole = explanation
        # Read at the present threshold, which may have moved since this was asked for.
        shown = explanation.read(explanation.request.semiring, self._state.theta, self._state.join)
        self._shown = shown
        self.box.remove_class("lrp-stale")
        self._show_input(shown)
        self._show_layer(shown)
        self._show_strip(shown)
        self._show_sums(shown)

    def stale(self) -> None:
        """Dim what is shown: it is not what the controls say."""
        self.box.add_class("lrp-stale")

    def _cards(self) -> list[ipywidgets.Widget]:
        head = frame.row([self.input.heading, self.view], "head")
        top = frame.row(
            [frame.card([head, self.input.pane], "input"), frame.card([self.layer.heading, self.layer.pane], "layer")],
            "top",
        )
        below = frame.row([self.controls.box, self.sums.pane], "below")
        strip = frame.card([self.strip_heading, self.strip], "strip")
        return [top, strip, frame.card([self.sums.heading, below], "sums")]

    def _show_input(self, shown: Explanation) -> None:
        layer, picture = shown.layers[0], shown.example.picture
        self.input.heading.value = frame.heading(
            f"Relevance for “{class_name(shown.example.classes, shown.target)}”", layer.detail
        )
        if picture is None or picture.shape[:2] != layer.values.shape:
            self.view.layout.visibility = "hidden"
            structure = (layer.kind, layer.values.shape, layer.scale)
            self.input.show(structure, lambda: layers.large(layer), layers.restyle(layer), layer.describe())
            return
        self.view.layout.visibility = "visible"
        numbers = heatmap.info(layer.values, layer.limit, scale=layer.scale)
        draw = heatmap.overlay if self._state.view == "overlay" else heatmap.explanation
        places = _places(shown)
        self.input.show(
            (self._state.view, shown.request.topic, layer.scale, places),
            lambda: best_path.mark(draw(picture, layer.values, limit=layer.limit, scale=layer.scale), places),
            heatmap.restyle(numbers),
            numbers.describe(),
            trace=1,
        )

    def _show_layer(self, shown: Explanation) -> None:
        layer = shown.layer(self._state.layer)
        size = " × ".join(str(n) for n in layer.shape)
        self.layer.heading.value = frame.heading(f"Layer {layer.name}", f"{size} · {layer.detail}")
        names = shown.example.classes if layer is shown.layers[-1] else ()
        self.layer.show(
            (layer.name, layer.kind, layer.values.shape, names, layer.scale),
            lambda: layers.large(layer, names),
            layers.restyle(layer),
            layer.describe(),
        )

    def _show_strip(self, shown: Explanation) -> None:
        items = []
        for layer in shown.layers:
            vector = layer.kind == "vector"
            picture = layers.thumbnail(layer) if vector else layer.scale.positions(layer.values, layer.limit)
            items.append((layer.name, "×".join(str(n) for n in layer.shape), picture))
        names = [layer.name for layer in shown.layers]
        # The strip may move its selection by itself when it has fewer pictures: that is not the user's choice.
        self._filling = True
        try:
            self.strip.set(items, shown.layers[0].scale)
            self.strip.selected = names.index(shown.layer(self._state.layer).name)
        finally:
            self._filling = False
        joined = "channels summed"
        if shown.paths is not None:
            way = algebra.reading(shown.request.semiring)
            joined = f"channels joined by {way.joins.get(self._state.join, next(iter(way.joins.values())))}"
        self.strip_heading.value = frame.heading("All layers", f"{joined}; click one to enlarge it")

    def _show_sums(self, shown: Explanation) -> None:
        chosen = shown.layer(self._state.layer).name
        if shown.paths is None:
            self._show_conservation(shown, chosen)
        elif shown.paths.influence is not None:
            self._show_influence(shown, chosen)
        else:
            self._show_levels(shown, chosen)

    def _show_conservation(self, shown: Explanation, chosen: str) -> None:
        numbers = shown.sums
        assert numbers is not None
        kept = "" if not numbers.start else f"{numbers.kept[0]:.1%} of f(x) = {numbers.start:.4g} reach the input"
        self.sums.heading.value = frame.heading("Relevance sum of each layer", kept)
        self.sums.show(
            ("sums", numbers.names, numbers.start),
            lambda: conservation.draw(numbers, chosen),
            conservation.restyle(numbers, chosen),
            numbers.describe(),
            trace=1,
        )

    def _show_influence(self, shown: Explanation, chosen: str) -> None:
        assert shown.paths is not None
        numbers, theta = shown.paths.influence, self._state.theta
        assert numbers is not None
        share = numbers.at(theta)[numbers.names.index(chosen)]
        self.sums.heading.value = frame.heading(
            "Influence of the threshold: share of relevant neurons", f"θ = {theta:.1e}: {share:.1%} of {chosen}"
        )
        self.sums.show(
            ("influence", numbers, chosen),
            lambda: thresholds.draw(numbers, theta, chosen),
            thresholds.restyle(theta),
            numbers.describe(theta),
        )

    def _show_levels(self, shown: Explanation, chosen: str) -> None:
        assert shown.paths is not None
        numbers = shown.paths.level_info(shown.request.semiring, shown.steps)
        self.sums.heading.value = frame.heading(f"{numbers.quantity[0].upper()}{numbers.quantity[1:]}", _path(shown))
        self.sums.show(
            "levels",
            lambda: best_path.draw(numbers, chosen),
            # Another range of values, or another path: no number of a slider is behind it.
            None,
            numbers.describe(),
        )

    def _compare(self) -> None:
        """Read what is kept at another threshold."""
        if self._whole is not None and algebra.compares(self._whole.request.semiring):
            self.show(self._whole)

    def _again(self) -> None:
        self.view.value = self._state.view
        if self._whole is not None:
            self.show(self._whole)

    def _select(self, change: dict[str, Any]) -> None:
        if self._shown is not None and not self._filling and 0 <= change["new"] < len(self._shown.layers):
            self._state.layer = self._shown.layers[change["new"]].name

    def _click(self, point: dict[str, Any]) -> None:
        shown = self._shown
        if shown is None:
            return
        curve, number = point["curveNumber"], point["pointIndex"]
        if shown.paths is not None and shown.paths.influence is not None:
            name = shown.paths.names[curve - 1] if curve else self._state.layer
        elif shown.paths is not None:
            name = shown.steps[int(number)].layer if curve else shown.layers[int(number)].name
        else:
            name = shown.layers[int(number)].name if curve == 1 else self._state.layer
        self._state.layer = name

    def _click_input(self, point: dict[str, Any]) -> None:
        shown = self._shown
        if shown is None or self._state.semiring != "viterbi":
            return
        layer, column = shown.layers[0], int(point["x"])
        if layer.kind == "vector":
            self._state.start = (column,)
        elif layer.kind == "tokens":
            height, width = layer.values.shape
            # A class token is left out of the square.
            first = prod(layer.shape[:-1]) - height * width
            self._state.start = (first + int(point["y"]) * width + column,)
        else:
            self._state.start = (int(point["y"]), column)


def _places(shown: Explanation) -> tuple[tuple[float, float], ...]:
    """Where the best path runs over the picture."""
    if not shown.steps or shown.paths is None or shown.example.picture is None:
        return ()
    shapes = dict(zip(shown.paths.names, shown.paths.shapes, strict=True))
    height, width = shown.example.picture.shape[:2]
    return tuple(best_path.positions(shown.steps, shapes, (height, width)))


def _path(shown: Explanation) -> str:
    start = shown.request.start
    if start is None:
        return "click a pixel of the map for its best path" if shown.request.semiring == "viterbi" else ""
    one = "token" if shown.layers[0].kind == "tokens" else "neuron"
    where = f"row {start[0]}, column {start[1]}" if len(start) == 2 else f"{one} {start[0]}"
    if not shown.steps:
        return f"no path leads from {where}"
    return f"best path from {where}: strength {shown.steps[0].strength:.4g}"

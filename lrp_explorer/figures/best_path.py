"""Paths through the layers: one number for each layer, and the best path itself, as a track and on the picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.figures import conservation, theme


class Step(Protocol):
    """One neuron on a path; `lrp_explorer.results.PathStep` is one."""

    @property
    def layer(self) -> str:
        """The layer whose output the neuron is."""
        ...

    @property
    def index(self) -> tuple[int, ...]:
        """Its place there, without the batch."""
        ...

    @property
    def strength(self) -> float:
        """Of the best path from here to the target."""
        ...

    @property
    def edge(self) -> float:
        """Of the edge that leads on from here."""
        ...


@dataclass(frozen=True)
class LevelsInfo:
    """One number for each layer.

    Attributes
    ----------
    names : tuple of str
        Layers, input side first.
    values : ndarray of float64
        Shape `(layers,)`: strength of the best path, cost of the cheapest one, log₁₀ of the number of paths, …
    quantity : str
        What a value is called.
    logarithmic : bool
        Whether the values span so much that their axis is logarithmic.
    steps : tuple of Step
        A path to be drawn above them, input side first; none where empty.
    """

    names: tuple[str, ...]
    values: np.ndarray
    quantity: str
    logarithmic: bool
    steps: tuple[Step, ...] = ()

    def describe(self) -> str:
        """Say in words what is shown."""
        text = f"{self.quantity.capitalize()} in each layer: {self.values[0]:.3g} in {self.names[0]}"
        text += f", {self.values[-1]:.3g} in {self.names[-1]}."
        if self.steps:
            places = "; ".join(f"{step.layer} {place(step)}" for step in self.steps)
            text += f" The path chosen, of strength {self.steps[0].strength:.3g}: {places}."
        return text


def info(
    names: Sequence[str], values: Sequence[float] | np.ndarray, quantity: str, steps: Iterable[Step] = ()
) -> LevelsInfo:
    """Collect the numbers of the figure; see `LevelsInfo` for the parameters.

    Raises
    ------
    InputError
        If there is no layer, or not as many values as names.
    """
    levels = conservation.one_each(names, values, "values")
    path = tuple(steps)
    every = np.concatenate([levels, [step.strength for step in path]])
    finite = every[np.isfinite(every)]
    wide = finite.size > 0 and finite.min() > 0 and finite.max() > 1e3 * finite.min()
    return LevelsInfo(tuple(names), levels, quantity, bool(wide), path)


def strengths(
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    steps: Iterable[Step] = (),
    chosen: str | None = None,
    title: str = "",
) -> go.Figure:
    """Draw the strength of the best path from each layer to the target, and one path over it.

    Parameters
    ----------
    names : sequence of str
        Layers, input side first.
    values : sequence of float
        Largest Viterbi relevance of each layer.
    steps : iterable of Step
        A path, as ``session.best_path`` gives it.
    chosen : str, optional
        The layer to be marked.
    title : str
        Shown above.
    """
    return draw(info(names, values, "strength of the best path", steps), chosen, title)


def draw(numbers: LevelsInfo, chosen: str | None = None, title: str = "") -> go.Figure:
    """Draw the numbers of `info`: trace 0 a bar for each layer, trace 1 the path."""
    fig = theme.figure(title, dragmode=False, bargap=0.25)
    fig.add_trace(
        go.Bar(
            x=list(range(len(numbers.names))),
            **restyle(numbers, chosen),
            marker_cornerradius=2,
            hovertext=[theme.text(n) for n in numbers.names],
            hovertemplate=f"%{{hovertext}}<br>{numbers.quantity} %{{y:.4g}}<extra></extra>",
        )
    )
    order = {name: position for position, name in enumerate(numbers.names)}
    steps = [step for step in numbers.steps if step.layer in order]
    words = [f"{theme.text(s.layer)}, {place(s)}<br>strength {s.strength:.4g} · next edge {s.edge:.4g}" for s in steps]
    fig.add_trace(
        go.Scatter(
            x=[order[step.layer] for step in steps],
            y=[step.strength for step in steps],
            mode="lines+markers",
            line={"color": theme.POSITIVE, "width": 2},
            marker={"size": 7, "color": theme.POSITIVE},
            hovertext=words,
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    fig.update_layout(conservation.layer_axis(numbers.names, bool(title)))
    # Long names leave little height.
    few = {"nticks": 3} if len(numbers.names) > 14 else {}
    fig.update_layout(yaxis=theme.value_axis() | _range(numbers) | few, margin_r=16)
    return fig


def _range(numbers: LevelsInfo) -> dict[str, Any]:
    every = np.array([*numbers.values, *(step.strength for step in numbers.steps)])
    every = every[np.isfinite(every)]
    low, high = float(every.min(initial=0.0)), float(every.max(initial=0.0))
    if numbers.logarithmic:
        low, high = np.log10([every.min(), every.max()])
        return {"type": "log", "range": [low - 0.3, high + 0.1]}
    return {"range": [1.08 * low, 1.08 * high or 1.0]}


def restyle(numbers: LevelsInfo, chosen: str | None = None) -> dict[str, Any]:
    """Give what changes in trace 0 when only the values or the chosen layer change."""
    inks = theme.highlighted(numbers.names, chosen)
    return {"y": np.where(np.isfinite(numbers.values), numbers.values, np.nan), "marker.color": inks}


def place(step: Step) -> str:
    """Say where a neuron is: ``channel 3, row 5, column 7``, or ``neuron 12``."""
    words = {1: ("neuron",), 2: ("row", "column"), 3: ("channel", "row", "column")}.get(len(step.index))
    if words is None:
        return str(step.index)
    return ", ".join(f"{word} {number}" for word, number in zip(words, step.index, strict=True))


def positions(
    steps: Iterable[Step], shapes: dict[str, tuple[int, ...]], picture: tuple[int, int]
) -> list[tuple[float, float]]:
    """Give where a path runs over the picture: its neurons of layers with places, in the picture's pixels.

    Parameters
    ----------
    steps : iterable of Step
        The path, input side first.
    shapes : dict
        Layer → its shape without the batch; `(channels, height, width)` have places.
    picture : tuple of int
        Height and width of the picture.

    Returns
    -------
    list of (float, float)
        Row and column. A neuron of a smaller layer stands in the middle of the pixels that it shares out.
    """
    found = []
    for step in steps:
        shape = shapes.get(step.layer, ())
        if len(shape) != 3 or len(step.index) != 3 or shape[1:] == (1, 1):
            continue
        row, column = ((i + 0.5) * n / m - 0.5 for i, n, m in zip(step.index[1:], picture, shape[1:], strict=True))
        found.append((row, column))
    return found


def mark(fig: go.Figure, places: Sequence[tuple[float, float]]) -> go.Figure:
    """Draw a path over every map of a figure of `heatmap`; its first neuron, in the input, is marked."""
    if not places:
        return fig
    rows, columns = [row for row, _ in places], [column for _, column in places]
    traces: Any = fig.data
    for across, down in dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in traces):
        fig.add_trace(
            go.Scatter(
                x=columns,
                y=rows,
                xaxis=across,
                yaxis=down,
                mode="lines+markers",
                line={"color": theme.POSITIVE, "width": 2},
                marker={
                    "size": [9] + [6] * (len(places) - 1),
                    "color": [theme.PAPER] + [theme.POSITIVE] * (len(places) - 1),
                    "line": {"color": theme.POSITIVE, "width": 2},
                },
                hoverinfo="skip",
                showlegend=False,
            )
        )
    return fig

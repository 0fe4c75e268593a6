"""Influence of thresholds: how many neurons of each layer are relevant when edges must reach θ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.errors import InputError
from lrp_explorer.figures import theme
from lrp_explorer.figures.scales import SEQUENTIAL, Scale


@dataclass(frozen=True, eq=False)
class InfluenceInfo:
    """Share of relevant neurons against the threshold.

    Attributes
    ----------
    names : tuple of str
        Layers, input side first.
    thetas : ndarray of float64
        Shape `(n,)`, growing, each greater than zero.
    shares : ndarray of float64
        Shape `(layers, n)`, each in [0, 1].
    """

    names: tuple[str, ...]
    thetas: np.ndarray
    shares: np.ndarray

    def at(self, theta: float) -> np.ndarray:
        """Give each layer's share at θ `(layers,)`; between two thresholds, on a straight line over log θ."""
        place = np.log(theta)
        return np.array([np.interp(place, np.log(self.thetas), line) for line in self.shares])

    def describe(self, theta: float) -> str:
        """Say in words what is shown."""
        shares = self.at(theta)
        return (
            f"Share of relevant neurons against the threshold θ, a line for each of {len(self.names)} layers. At "
            f"θ = {theta:.2g}: {shares[0]:.1%} of {self.names[0]}, {shares[-1]:.1%} of {self.names[-1]}."
        )


def info(names: Sequence[str], thetas: Sequence[float] | np.ndarray, shares: np.ndarray) -> InfluenceInfo:
    """Check the numbers of the figure; see `InfluenceInfo` for the parameters.

    Raises
    ------
    InputError
        If the shapes do not fit, the thresholds do not grow from above zero, or a share is outside [0, 1].
    """
    grid, lines = np.asarray(thetas, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if not names or lines.shape != (len(names), len(grid)) or len(grid) < 2:
        raise InputError(
            f"shares of shape {lines.shape} were given for {len(names)} layers and {len(grid)} thresholds; expected "
            "(layers, thresholds), at least one layer and two thresholds"
        )
    if not (grid[0] > 0 and (np.diff(grid) > 0).all() and np.isfinite(grid[-1])):
        raise InputError(f"thresholds run from {grid[0]!r} to {grid[-1]!r}; expected finite, growing ones above zero")
    if not ((lines >= 0) & (lines <= 1)).all():
        raise InputError(f"shares run from {lines.min()!r} to {lines.max()!r}; expected [0, 1]")
    return InfluenceInfo(tuple(names), grid, lines)


def influence(
    names: Sequence[str],
    thetas: Sequence[float] | np.ndarray,
    shares: np.ndarray,
    theta: float | None = None,
    chosen: str | None = None,
    title: str = "",
) -> go.Figure:
    """Draw the share of relevant neurons in every layer against θ.

    Parameters
    ----------
    names : sequence of str
        Layers, input side first.
    thetas : sequence of float
        Thresholds, growing, each greater than zero.
    shares : ndarray
        Shape `(layers, thresholds)`: ``rel.influence(thetas)``, a row for each layer.
    theta : float, optional
        The threshold to be marked.
    chosen : str, optional
        The layer to be marked.
    title : str
        Shown above.
    """
    return draw(info(names, thetas, shares), theta, chosen, title)


def draw(numbers: InfluenceInfo, theta: float | None = None, chosen: str | None = None, title: str = "") -> go.Figure:
    """Draw the numbers of `info`: trace 0 marks the threshold, then a line for each layer, from pale to dark."""
    fig = theme.figure(title, dragmode=False, hovermode="closest")
    fig.add_trace(go.Scatter(**restyle(theta), y=[0, 1.02], mode="lines", line=theme.MARK, hoverinfo="skip"))
    depth = Scale("depth", SEQUENTIAL).table(0.22 + 0.7 * np.linspace(0, 1, len(numbers.names)))
    for name, line, ink in zip(numbers.names, numbers.shares, depth, strict=True):
        colour = theme.POSITIVE if name == chosen else "rgb({},{},{})".format(*ink)
        fig.add_trace(
            go.Scatter(
                x=numbers.thetas,
                y=line,
                mode="lines",
                line={"color": colour, "width": 3 if name == chosen else 1.3},
                name=theme.text(name),
                hovertemplate=f"{theme.text(name)}<br>θ = %{{x:.2g}}: %{{y:.1%}} relevant<extra></extra>",
            )
        )
    _axes(fig, numbers, chosen, bool(title))
    return fig


def restyle(theta: float | None) -> dict[str, Any]:
    """Give what changes in trace 0 when only the threshold moves."""
    return {"x": [] if theta is None else [theta, theta]}


def _axes(fig: go.Figure, numbers: InfluenceInfo, chosen: str | None, titled: bool) -> None:
    powers = np.log10(numbers.thetas[[0, -1]])
    note = {"xref": "paper", "yref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "showarrow": False}
    notes = [
        note | {"y": 0.5, "text": "pale: near the input", "font": {"size": 11, "color": theme.MUTED}},
        note | {"y": 0.28, "text": "dark: near the output", "font": {"size": 11, "color": theme.MUTED}},
    ]
    if chosen in numbers.names:
        text = theme.shorten(chosen, 18)
        notes.append(note | {"y": 0.86, "text": f"<b>{text}</b>", "font": {"size": 11, "color": theme.POSITIVE}})
    fig.update_layout(
        margin={"l": 44, "r": 136, "t": 30 if titled else 8, "b": 42, "autoexpand": False},
        xaxis={
            "type": "log",
            "range": powers.tolist(),
            "dtick": 2 if powers[1] - powers[0] > 6 else 1,
            "exponentformat": "power",
            "showgrid": True,
            "gridcolor": theme.RULE,
            "zeroline": False,
            "color": theme.MUTED,
            "tickfont": {"size": 10},
            "title": {"text": "threshold θ", "standoff": 4, "font": {"size": 11}},
        },
        yaxis=theme.value_axis()
        | {"range": [0, 1.02], "tickvals": [0, 0.5, 1], "tickformat": ".0%", "zeroline": False},
        annotations=notes,
    )

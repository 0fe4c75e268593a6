"""The relevance of a layer without places: one bar for each neuron, one outline where they are too many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.figures import theme
from lrp_explorer.figures.scales import SIGNED, Scale

MOST_BARS = 400
"""Beyond so many neurons single bars cannot be told apart; one filled outline per sign is drawn instead."""


def draw(values: np.ndarray, names: Sequence[str] = (), title: str = "", scale: Scale = SIGNED) -> go.Figure:
    """Draw the relevance of the neurons.

    Parameters
    ----------
    values : ndarray
        Shape `(neurons,)`, in units of the model's output.
    names : sequence of str
        Names of the neurons (the classes, for the last layer); used where their number fits.
    title : str
        Shown above.
    scale : Scale
        What the values are.
    """
    return _bars(values, names, title, scale) if len(values) <= MOST_BARS else _outline(values, title, scale)


def restyle(values: np.ndarray, scale: Scale = SIGNED) -> dict[str, Any] | None:
    """Give what changes in the drawn vector when only its values change; None where it must be drawn anew."""
    return {"y": values, "marker.color": _inks(values, scale)} if len(values) <= MOST_BARS else None


def paint(values: np.ndarray, limit: float, side: int, scale: Scale = SIGNED) -> np.ndarray:
    """Paint a vector as columns from the middle line: up for relevance in favour, down for relevance against.

    Parameters
    ----------
    values : ndarray
        Shape `(neurons,)`.
    limit : float
        Absolute value that reaches the edge.
    side : int
        Height and width of the picture in pixels.
    scale : Scale
        What the values are; columns of an unsigned quantity rise from the ground.

    Returns
    -------
    ndarray of uint8
        Shape `(side, side, 3)`. A column that stands for many neurons shows the strongest, so that none is lost.
    """
    shares = scale.heights(values, limit)
    if len(values) < side:
        heights = shares[np.arange(side) * len(values) // side]
    else:
        heights = np.array([part[np.argmax(np.abs(part))] for part in np.array_split(shares, side)])
    middle = side / 2 if scale.signed else side
    centres = (middle - (np.arange(side) + 0.5))[:, None]
    reach = (heights * middle)[None, :]
    picture = np.full((side, side, 3), 255, dtype=np.uint8)
    picture[(centres > 0) & (centres <= reach)] = theme.rgb(scale.ink(1.0))
    picture[(centres < 0) & (centres >= reach)] = theme.rgb(scale.ink(-1.0))
    return picture


def _inks(values: np.ndarray, scale: Scale) -> list[str]:
    return [scale.ink(value) for value in values]


def _bars(values: np.ndarray, names: Sequence[str], title: str, scale: Scale) -> go.Figure:
    count = len(values)
    named = len(names) == count
    fig = _figure(title, count, bargap=0.15 if count < 80 else 0)
    fig.add_trace(
        go.Bar(
            x=np.arange(count),
            y=values,
            marker={"color": _inks(values, scale), "line": {"width": 0}},
            hovertext=[theme.text(n) for n in names] if named else [f"neuron {i}" for i in range(count)],
            hovertemplate=f"%{{hovertext}}<br>{scale.quantity} %{{y:.4g}}<extra></extra>",
        )
    )
    if named and count <= 20:
        ticks = [theme.shorten(n, 12) for n in names]
        slanted = any(len(tick) > 4 for tick in ticks)
        fig.update_xaxes(tickvals=list(range(count)), ticktext=ticks, tickangle=-45 if slanted else 0, title=None)
        fig.update_layout(margin_b=72 if slanted else 28)
    return fig


def _outline(values: np.ndarray, title: str, scale: Scale) -> go.Figure:
    fig = _figure(title, len(values), hovermode="x")
    places = np.arange(len(values))
    hover = f"neuron %{{x}}<br>{scale.quantity} %{{y:.4g}}<extra></extra>"
    parts = [(theme.POSITIVE, values.clip(min=0)), (theme.NEGATIVE, values.clip(max=0))]
    for ink, part in parts if scale.signed else [(scale.ink(1.0), values)]:
        line = {"color": ink, "width": 1, "shape": "hvh"}
        fig.add_trace(go.Scatter(x=places, y=part, mode="lines", line=line, fill="tozeroy", hovertemplate=hover))
    return fig


def _figure(title: str, count: int, **layout: Any) -> go.Figure:
    fig = theme.figure(title, **layout)
    fig.update_layout(
        margin={"l": 56, "r": 16, "t": 30 if title else 12, "b": 44, "autoexpand": False},
        xaxis={
            "range": [-0.6, count - 0.4],
            "title": {"text": "neuron", "standoff": 6, "font": {"size": 12}},
            "showgrid": False,
            "zeroline": False,
            "color": theme.MUTED,
        },
        yaxis=theme.value_axis(),
    )
    return fig

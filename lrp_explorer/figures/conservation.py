"""What becomes of the sum of relevance on its way from the output to the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.errors import InputError
from lrp_explorer.figures import theme

MOST_LABELS = 40
"""So many names can stand below the axis; of more layers every second, third, … is named, all on hover."""


@dataclass(frozen=True)
class SumsInfo:
    """The sum of relevance in every layer.

    Attributes
    ----------
    names : tuple of str
        Layers, input side first.
    sums : ndarray of float64
        Shape `(layers,)`, in units of the model's output.
    start : float
        What was put in at the output: f(x) of the explained class for the seed `"logit"`.
    kept : ndarray of float64
        `sums / start`, NaN where `start` is zero.
    """

    names: tuple[str, ...]
    sums: np.ndarray
    start: float
    kept: np.ndarray

    def describe(self) -> str:
        """Say in words what is shown."""
        share = "" if np.isnan(self.kept[0]) else f" ({self.kept[0]:.1%} of the start)"
        return (
            f"Relevance starts with {self.start:.3g} at the output; {self.sums[0]:.3g}{share} reaches {self.names[0]}."
        )


def info(names: Sequence[str], sums: Sequence[float] | np.ndarray, start: float) -> SumsInfo:
    """Compute how much of the start is left in each layer; see `SumsInfo` for the parameters.

    Raises
    ------
    InputError
        If there is no layer, or not as many sums as names.
    """
    values = one_each(names, sums, "sums")
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = values / start if start else np.full_like(values, np.nan)
    return SumsInfo(tuple(names), values, float(start), kept)


def one_each(names: Sequence[str], values: Sequence[float] | np.ndarray, what: str) -> np.ndarray:
    """Give one number for each layer as an array `(layers,)`, or raise `InputError` if there are not as many."""
    found = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(names) != len(found) or not names:
        raise InputError(
            f"{len(names)} names and {len(found)} {what} were given; expected as many of each, at least one"
        )
    return found


def sums(
    names: Sequence[str], sums: Sequence[float] | np.ndarray, start: float, chosen: str | None = None, title: str = ""
) -> go.Figure:
    """Draw the relevance sum per layer with a line at the start value.

    Parameters
    ----------
    names : sequence of str
        Layers, input side first.
    sums : sequence of float
        Sum of each layer's relevance for one example.
    start : float
        f(x) of the explained class.
    chosen : str, optional
        The layer to be marked.
    title : str
        Shown above.
    """
    return draw(info(names, sums, start), chosen, title)


def draw(numbers: SumsInfo, chosen: str | None = None, title: str = "") -> go.Figure:
    """Draw the numbers of `info`: trace 0 the line at the start value, trace 1 a bar for each layer."""
    count = len(numbers.names)
    fig = theme.figure(title, dragmode=False, bargap=0.25)
    fig.add_trace(
        go.Scatter(
            x=[-0.5, count - 0.5],
            y=[numbers.start] * 2,
            mode="lines",
            line=theme.MARK,
            hoverinfo="skip",
        )
    )
    changes = restyle(numbers, chosen)
    fig.add_trace(
        go.Bar(
            x=list(range(count)),
            y=changes["y"],
            customdata=changes["customdata"],
            marker={"color": changes["marker.color"], "cornerradius": 2},
            hovertext=[theme.text(n) for n in numbers.names],
            hovertemplate="%{hovertext}<br>sum %{y:.4g}%{customdata}<extra></extra>",
        )
    )
    fig.update_layout(layer_axis(numbers.names, bool(title)), annotations=[_start(numbers)])
    fig.update_layout(yaxis=theme.value_axis() | {"rangemode": "tozero"})
    return fig


def restyle(numbers: SumsInfo, chosen: str | None = None) -> dict[str, Any]:
    """Give what changes in trace 1 when only the sums or the chosen layer change."""
    shares = ["" if np.isnan(k) else f"<br>{k:.1%} of the start" for k in numbers.kept]
    inks = theme.highlighted(numbers.names, chosen)
    return {"y": theme.narrow(numbers.sums), "customdata": shares, "marker.color": inks}


def layer_axis(names: Sequence[str], titled: bool = False) -> dict[str, Any]:
    """Give margins and a horizontal axis that carries one bar for each layer."""
    count = len(names)
    step = -(-count // MOST_LABELS)
    # Counted from the output, so that the last layer always keeps its name.
    named = list(range(count))[::-1][::step][::-1]
    labels = [theme.shorten(names[i], 14) for i in named]
    slanted = count > 14 or max(map(len, labels)) * count > 130
    return {
        "margin": {
            "l": 56,
            "r": 96,
            "t": 30 if titled else 14,
            "b": 16 + 4 * max(map(len, labels)) if slanted else 28,
            "autoexpand": False,
        },
        "xaxis": {
            "range": [-0.6, count - 0.4],
            "tickvals": named,
            "ticktext": labels,
            "tickangle": -45 if slanted else 0,
            "tickfont": {"size": 10 if count > 24 else 11},
            "showgrid": False,
            "zeroline": False,
            "color": theme.MUTED,
        },
    }


def _start(numbers: SumsInfo) -> dict[str, Any]:
    return {
        "x": 1,
        "xref": "paper",
        "xanchor": "left",
        "xshift": 6,
        "y": numbers.start,
        "yref": "y",
        "text": f"f(x) = {numbers.start:.4g}",
        "showarrow": False,
        "font": {"size": 11, "color": theme.INK},
    }

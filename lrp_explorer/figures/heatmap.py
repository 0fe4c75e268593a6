"""An image and its relevance: beside each other, one over the other, or the image alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.errors import InputError
from lrp_explorer.figures import pictures, theme
from lrp_explorer.figures.scales import SIGNED, Scale


@dataclass(frozen=True)
class HeatmapInfo:
    """The numbers of one heatmap.

    Attributes
    ----------
    relevance : ndarray of float32
        Shape `(height, width)`, in units of the model's output; NaN where there is no value.
    limit : float
        The colour range is [−limit, limit], or [0, limit] of an unsigned scale.
    total, positive, negative : float
        Sum of all relevance, of the relevance above zero, and of that below zero.
    strongest : tuple of int
        Row and column of the largest absolute relevance.
    scale : Scale
        What the values are, and their colours.
    """

    relevance: np.ndarray
    limit: float
    total: float
    positive: float
    negative: float
    strongest: tuple[int, int]
    scale: Scale = SIGNED

    def describe(self) -> str:
        """Say in words what the map shows, for those who do not see it."""
        row, column = self.strongest
        if not self.scale.signed:
            found = np.count_nonzero(self.scale.reached(self.relevance))
            what = "relevant" if self.scale.truth else "with a path"
            end = "" if self.scale.truth else f": {self.scale.quantity} {self.relevance[row, column]:.3g}"
            return (
                f"Heatmap of {self.relevance.shape[0]} by {self.relevance.shape[1]} values of {self.scale.quantity}, "
                f"{found / self.relevance.size:.1%} of them {what}. Strongest at row {row}, column {column}{end}."
            )
        return (
            f"Heatmap of {self.relevance.shape[0]} by {self.relevance.shape[1]} values, sum {self.total:.3g}: "
            f"{self.positive:.3g} in favour, {self.negative:.3g} against. "
            f"Strongest at row {row}, column {column}: {self.relevance[row, column]:.3g}."
        )


def info(
    relevance: np.ndarray, limit: float | None = None, quantile: float = 1.0, scale: Scale = SIGNED
) -> HeatmapInfo:
    """Compute the numbers of a heatmap.

    Parameters
    ----------
    relevance : ndarray
        Shape `(height, width)`; relevance summed over the channels.
    limit : float, optional
        Fixed end of the colour range; without it, it is taken from the values by `theme.limit`.
    quantile : float, default 1.0
        See `theme.limit`.
    scale : Scale
        What the values are; relevance, which has signs, by default.

    Raises
    ------
    InputError
        If the shape is another one.
    """
    values = np.asarray(relevance, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise InputError(
            f"relevance of shape {values.shape} was given; expected (height, width): sum over the channels, "
            "choose one example"
        )
    row, column = np.unravel_index(scale.strongest(values), values.shape)
    return HeatmapInfo(
        relevance=theme.narrow(values),
        limit=scale.limit(values, quantile) if limit is None else float(limit),
        total=float(values.sum()),
        positive=float(values[values > 0].sum()),
        negative=float(values[values < 0].sum()),
        strongest=(int(row), int(column)),
        scale=scale,
    )


def image(picture: np.ndarray, title: str = "") -> go.Figure:
    """Draw the picture alone; `picture` is `(height, width)` or `(height, width, 3)`, uint8."""
    fig = theme.figure(title)
    fig.add_trace(pictures.trace(picture))
    return _square(fig, np.asarray(picture).shape[:2], title)


def alone(
    relevance: np.ndarray,
    title: str = "",
    limit: float | None = None,
    quantile: float = 1.0,
    scale: Scale = SIGNED,
) -> go.Figure:
    """Draw the heatmap alone; parameters as for `info`."""
    numbers = info(relevance, limit, quantile, scale)
    fig = theme.figure(title)
    fig.add_trace(_map(numbers))
    return _square(fig, numbers.relevance.shape, title)


def explanation(
    image: np.ndarray,
    relevance: np.ndarray,
    title: str = "",
    limit: float | None = None,
    quantile: float = 1.0,
    scale: Scale = SIGNED,
) -> go.Figure:
    """Draw an image beside its heatmap: zooming one zooms the other, both tell their values on hover.

    Parameters
    ----------
    image : ndarray of uint8
        Shape `(height, width)` or `(height, width, 3)`. Trace 0 of the figure.
    relevance : ndarray
        Shape `(height, width)`, the same two as the image. Trace 1 of the figure.
    title : str
        Shown above.
    limit, quantile, scale
        See `info`.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    numbers = info(relevance, limit, quantile, scale)
    _fits(image, numbers)
    fig = theme.figure(title)
    fig.add_trace(pictures.trace(image, xaxis="x", yaxis="y"))
    fig.add_trace(_map(numbers, xaxis="x2", yaxis="y2"))
    _square(fig, numbers.relevance.shape, title)
    fig.update_layout(
        xaxis_domain=[0, 0.49],
        xaxis2=_axis(numbers.relevance.shape[1]) | {"domain": [0.51, 1], "matches": "x", "anchor": "y2"},
        yaxis2=_axis(numbers.relevance.shape[0], down=True) | {"matches": "y", "anchor": "x2"},
    )
    return fig


def overlay(
    image: np.ndarray,
    relevance: np.ndarray,
    title: str = "",
    limit: float | None = None,
    opacity: float = 0.85,
    quantile: float = 1.0,
    scale: Scale = SIGNED,
) -> go.Figure:
    """Draw the heatmap over the picture in grey; where nothing is relevant the picture shines through.

    Parameters are those of `explanation`; `opacity` in [0, 1] is that of the strongest relevance. The heatmap is
    trace 1, as in `explanation`.
    """
    if not 0.0 <= opacity <= 1.0:
        raise InputError(f"opacity is {opacity!r}; expected a number in [0, 1]")
    numbers = info(relevance, limit, quantile, scale)
    _fits(image, numbers)
    grey = pictures.as_rgb(image).astype(np.float64) @ [0.299, 0.587, 0.114]
    # A lighter grey keeps both ends of the colour scale readable above it.
    fig = theme.figure(title)
    fig.add_trace(pictures.trace((96 + grey * 159 / 255).astype(np.uint8)))
    fig.add_trace(_map(numbers, colorscale=scale.transparent(opacity)))
    return _square(fig, numbers.relevance.shape, title)


def restyle(numbers: HeatmapInfo) -> dict[str, Any]:
    """Give what changes in a drawn heatmap when only its values change."""
    return {"z": numbers.relevance, "zmin": numbers.scale.low(numbers.limit), "zmax": numbers.limit}


def _map(numbers: HeatmapInfo, **options: Any) -> go.Heatmap:
    scale = numbers.scale
    ticks = {"tickvals": [0.25, 0.75], "ticktext": ["no", "yes"], "outlinewidth": 1} if scale.truth else {}
    hover = f"row %{{y}}, column %{{x}}<br>{scale.quantity} %{{z:.4g}}<extra></extra>"
    return go.Heatmap(
        **restyle(numbers),
        **{"colorscale": scale.colorscale(), "hovertemplate": hover} | options,
        colorbar=theme.colourbar(scale.quantity, x=1.0, xpad=8, len=1.0, ypad=0, **ticks),
        hoverongaps=False,
    )


def _axis(length: int, down: bool = False) -> dict[str, Any]:
    ends = [-0.5, length - 0.5]
    return {
        "range": ends[::-1] if down else ends,
        "showgrid": False,
        "zeroline": False,
        "showticklabels": False,
        "ticks": "",
        "constrain": "domain",
        "showline": True,
        "mirror": True,
        "linecolor": theme.RULE,
    }


def _square(fig: go.Figure, shape: tuple[int, ...], title: str) -> go.Figure:
    """Make pixels square, the first row the upper one, and leave room for the colour bar's numbers."""
    # Seen where a map has no value.
    fig.update_layout(plot_bgcolor=theme.NOTHING)
    fig.update_layout(
        xaxis=_axis(shape[1]),
        yaxis=_axis(shape[0], down=True) | {"scaleanchor": "x"},
        margin={"l": 8, "r": 76, "t": 30 if title else 8, "b": 8, "autoexpand": False},
        dragmode="zoom",
    )
    return fig


def _fits(image: np.ndarray, numbers: HeatmapInfo) -> None:
    if np.asarray(image).shape[:2] != numbers.relevance.shape:
        raise InputError(
            f"the image is {np.asarray(image).shape[:2]}, the relevance {numbers.relevance.shape} (height, width); "
            "give the image as the model saw it"
        )

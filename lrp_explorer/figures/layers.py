"""The relevance inside the network: a strip of all layers, and one layer large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lrp_explorer.errors import InputError
from lrp_explorer.figures import heatmap, pictures, theme, vectors
from lrp_explorer.figures.scales import SIGNED, Scale

Kind = Literal["map", "tokens", "vector"]


@dataclass(frozen=True)
class LayerInfo:
    """The relevance of one layer, brought to what can be drawn.

    Attributes
    ----------
    name : str
        Name of the layer.
    kind : str
        `"map"`: values `(height, width)`, channels summed. `"tokens"`: values on the grid of the tokens, features
        summed. `"vector"`: values `(neurons,)`.
    values : ndarray of float32
        See `kind`; in units of the model's output; NaN where there is no value.
    shape : tuple of int
        Shape of the layer before summing, without the batch.
    limit : float
        The colour range is [−limit, limit], or [0, limit] of an unsigned scale.
    total : float
        Sum of the layer's relevance.
    scale : Scale
        What the values are, and their colours.
    said : str
        The layer in a few words, where its sum says nothing.
    """

    name: str
    kind: Kind
    values: np.ndarray
    shape: tuple[int, ...]
    limit: float
    total: float
    scale: Scale = SIGNED
    said: str = ""

    @property
    def detail(self) -> str:
        """The layer in a few words: its sum, unless something else was said of it."""
        return self.said or f"sum {self.total:.4g}"

    def describe(self) -> str:
        """Say in words what is shown."""
        size = " × ".join(str(n) for n in self.shape)
        strongest = self.scale.strongest(self.values)
        if self.kind == "vector":
            where = f"neuron {strongest}"
        else:
            row, column = divmod(strongest, self.values.shape[1])
            where = f"row {row}, column {column}"
        if not self.scale.signed:
            return (
                f"Layer {self.name} ({size}), {self.scale.quantity}: {self.detail}. "
                f"Strongest at {where}: {self.values.reshape(-1)[strongest]:.3g}."
            )
        return (
            f"Relevance of layer {self.name} ({size}), sum {self.total:.3g}. "
            f"Strongest at {where}: {self.values.reshape(-1)[strongest]:.3g}."
        )


def summed_axis(shape: tuple[int, ...]) -> int | None:
    """Tell which axis of a layer is summed before it is drawn: the channels or the features; None for a vector.

    Parameters
    ----------
    shape : tuple of int
        `(neurons,)`, `(tokens, features)`, `(channels, height, width)` or, where the first two are equal and the last
        differs, `(height, width, channels)`. A map of one pixel is a vector that kept its axes, as after pooling.
    """
    if len(shape) == 2:
        return 1
    if len(shape) != 3 or shape[1:] == (1, 1):
        return None
    return 2 if shape[0] == shape[1] != shape[2] else 0


def info(
    name: str,
    relevance: np.ndarray,
    limit: float | None = None,
    quantile: float = 1.0,
    shape: tuple[int, ...] | None = None,
    scale: Scale = SIGNED,
    said: str = "",
) -> LayerInfo:
    """Bring the relevance of one layer to what can be drawn.

    Parameters
    ----------
    name : str
        Name of the layer.
    relevance : ndarray
        One example, without the batch axis; shapes as for `summed_axis`.
    limit, quantile : float
        See `theme.limit`; a given `limit` is taken as it is.
    shape : tuple of int, optional
        The layer's own shape, where `relevance` comes with its `summed_axis` already summed (or joined in another way)
        to length 1.
    scale, said
        See `LayerInfo`.

    Raises
    ------
    InputError
        If the relevance has no axis, more than three, or an empty one.
    """
    values = np.asarray(relevance, dtype=np.float64)
    shape = tuple(shape or values.shape)
    if len(shape) != values.ndim or not 1 <= values.ndim <= 3 or not values.size:
        raise InputError(
            f"relevance of layer {name!r} has shape {values.shape}; expected (neurons,), (tokens, features) or "
            "(channels, height, width): choose one example of the batch"
        )
    axis = summed_axis(shape)
    kind: Kind = "vector" if axis is None else "tokens" if values.ndim == 2 else "map"
    shown = values.reshape(-1) if axis is None else values.sum(axis=axis)
    if kind == "tokens":
        shown = _token_grid(shown)
    return LayerInfo(
        name=name,
        kind=kind,
        values=theme.narrow(shown),
        shape=shape,
        limit=scale.limit(shown, quantile) if limit is None else float(limit),
        total=float(values.sum()),
        scale=scale,
        said=said,
    )


def _token_grid(tokens: np.ndarray) -> np.ndarray:
    """Lay tokens out as the square they were cut from; a class token in front is left out of the square."""
    for skipped in (0, 1):
        side = math.isqrt(len(tokens) - skipped)
        if side > 1 and side * side == len(tokens) - skipped:
            return tokens[skipped:].reshape(side, side)
    return tokens[None, :]


def large(layer: LayerInfo, names: Sequence[str] = (), title: str = "") -> go.Figure:
    """Draw one layer large.

    Parameters
    ----------
    layer : LayerInfo
        See `info`.
    names : sequence of str
        Names of the neurons of a vector layer (the classes, for the last one); used where their number fits.
    title : str
        Shown above.
    """
    if layer.kind != "vector":
        fig = heatmap.alone(layer.values, title, limit=layer.limit, scale=layer.scale)
        if layer.kind == "tokens" and layer.values.shape[0] == 1:
            fig.update_traces(hovertemplate=f"token %{{x}}<br>{layer.scale.quantity} %{{z:.4g}}<extra></extra>")
            fig.update_layout(yaxis={"scaleanchor": None})
        return fig
    return vectors.draw(layer.values, names, title, layer.scale)


def restyle(layer: LayerInfo) -> dict[str, Any] | None:
    """Give what changes in the drawn layer when only its values change; None where it must be drawn anew."""
    if layer.kind == "vector":
        return vectors.restyle(layer.values, layer.scale)
    return {"z": layer.values, "zmin": layer.scale.low(layer.limit), "zmax": layer.limit}


def thumbnail(layer: LayerInfo, side: int = 56) -> np.ndarray:
    """Paint a layer small.

    Parameters
    ----------
    layer : LayerInfo
        See `info`.
    side : int, default 56
        Height and width in pixels of the picture of a vector layer; maps keep their own size, a pixel per value.

    Returns
    -------
    ndarray of uint8
        Shape `(height, width, 3)`. Maps in the layer's scale; a vector as columns from the middle line, up for
        relevance in favour and down for relevance against, or from the ground where nothing is against.
    """
    if layer.kind == "vector":
        return vectors.paint(layer.values, layer.limit, side, layer.scale)
    if layer.scale.signed:
        return theme.colours(layer.values, layer.limit)
    return layer.scale.table(layer.values / layer.limit)


def strip(names: Sequence[str], maps: Sequence[np.ndarray], columns: int = 10, title: str = "") -> go.Figure:
    """Draw all layers small, in the order given, each with its own colour range.

    Parameters
    ----------
    names : sequence of str
        Names of the layers.
    maps : sequence of ndarray
        Relevance of each layer for one example, shapes as for `info`.
    columns : int, default 10
        How many stand in one row.
    title : str
        Shown above.

    Raises
    ------
    InputError
        If there is no layer, or not as many maps as names.
    """
    if len(names) != len(maps) or not names:
        raise InputError(f"{len(names)} names and {len(maps)} maps were given; expected as many of each, at least one")
    wide = min(columns, len(names))
    high = -(-len(names) // wide)
    labels = [theme.shorten(name, 18) for name in names]
    fig = make_subplots(
        rows=high, cols=wide, subplot_titles=labels, horizontal_spacing=0.01, vertical_spacing=0.1 / high
    )
    fig.update_layout(theme.figure(title).layout)
    for place, (name, relevance) in enumerate(zip(names, maps, strict=True)):
        layer = info(name, relevance)
        row, column = place // wide + 1, place % wide + 1
        hover = theme.text(layer.describe()) + "<extra></extra>"
        tile = go.Image(source=pictures.as_address(thumbnail(layer)), hovertemplate=hover)
        fig.add_trace(tile, row=row, col=column)
        fig.update_xaxes(visible=False, constrain="domain", row=row, col=column)
        fig.update_yaxes(visible=False, constrain="domain", row=row, col=column)
    fig.update_annotations(font={"size": 10, "color": theme.MUTED})
    top = 52 if title else 28
    fig.update_layout(margin={"l": 8, "r": 8, "t": top, "b": 8, "autoexpand": False}, height=top + 16 + 120 * high)
    return fig

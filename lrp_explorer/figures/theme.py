"""One look for every figure: fonts, inks, and one zero-centred colour scale that the colour-blind can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

FONT = "Inter, 'Segoe UI', system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
INK = "#1f2933"
MUTED = "#5b6770"
RULE = "#dfe4e8"
PAPER = "#ffffff"
NOTHING = "#eceff1"
"""Where a map has no value at all: no path leads there."""
ACCENT = "#0f766e"
ACCENT_SOFT = "#a7d5cf"
ACCENT_PALE = "#d9ebe8"
MARK = {"color": INK, "width": 1.2, "dash": "4px,3px"}
"""The line at a value that others are compared with."""
POSITIVE = "#a31900"
NEGATIVE = "#1254ac"

DIVERGING: tuple[tuple[float, str], ...] = (
    (0.000, "#013477"),
    (0.091, "#1254ac"),
    (0.197, "#4780d2"),
    (0.318, "#90b3e7"),
    (0.424, "#d0dff6"),
    (0.500, "#ffffff"),
    (0.576, "#f9d5cd"),
    (0.682, "#ee9685"),
    (0.803, "#d24f39"),
    (0.909, "#a31900"),
    (1.000, "#6a1003"),
)
"""Blue (against) over white (nothing) to red (for): position in [0, 1] → colour.

Built in OKLCh with hues 258° and 32°: lightness falls in a straight line from 1.0 at the centre to 0.34 at both
ends, so equal strength looks equally strong whatever its sign, also in grey print and under any colour blindness.
"""


def limit(values: np.ndarray, quantile: float = 1.0) -> float:
    """Give the L of the symmetric colour range [−L, L] that puts zero on white.

    Parameters
    ----------
    values : ndarray
        Relevance of any shape, in units of the model's output.
    quantile : float, default 1.0
        Share of the absolute values that must fit below L, in (0, 1]; below 1.0 a few outliers saturate.

    Returns
    -------
    float
        Greater than zero; 1.0 where every value is zero (or there is none), so that a scale can always be drawn.

    Raises
    ------
    ValueError
        If `quantile` is outside (0, 1].
    """
    if not 0.0 < quantile <= 1.0:
        raise ValueError(f"quantile is {quantile!r}; expected a share in (0, 1], e.g. 0.995")
    sizes = np.abs(np.asarray(values, dtype=np.float64))
    sizes = sizes[np.isfinite(sizes)]
    largest = float(sizes.max(initial=0.0))
    if largest == 0.0:
        return 1.0
    if quantile < 1.0:
        # A sparse map can have a quantile of zero: its few values are then what must be seen.
        return float(np.quantile(sizes, quantile)) or largest
    return largest


def narrow(values: np.ndarray) -> np.ndarray:
    """Bring values to float32, as they go to the browser; what is beyond its range stays at its ends."""
    end = np.finfo(np.float32).max
    return np.ascontiguousarray(np.clip(values, -end, end), dtype=np.float32)


def rgb(colour: str) -> tuple[int, int, int]:
    """Split `"#rrggbb"` into red, green and blue, each 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def colours(values: np.ndarray, limit: float) -> np.ndarray:
    """Paint values with the diverging scale.

    Parameters
    ----------
    values : ndarray
        Any shape; beyond ±`limit` the end colours are taken, NaN becomes white.
    limit : float
        L of the range [−L, L], greater than zero.

    Returns
    -------
    ndarray of uint8
        Shape of `values` plus one axis of length 3 (red, green, blue).
    """
    position = np.nan_to_num(np.asarray(values, dtype=np.float64) / limit, nan=0.0) / 2 + 0.5
    stops = np.array([stop for stop, _ in DIVERGING])
    table = np.array([rgb(colour) for _, colour in DIVERGING], dtype=np.float64)
    channels = [np.interp(position, stops, table[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def transparent_scale(opacity: float) -> list[list[Any]]:
    """Give the diverging scale with an alpha that grows from 0 at zero to `opacity` at both ends."""
    scale: list[list[Any]] = []
    for stop, colour in DIVERGING:
        red, green, blue = rgb(colour)
        scale.append([stop, f"rgba({red},{green},{blue},{opacity * abs(2 * stop - 1):.3f})"])
    return scale


def text(name: str) -> str:
    """Make a name safe inside a figure: Plotly would read `<` as the beginning of a tag."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shorten(name: str, length: int) -> str:
    """Abbreviate a layer's name for a figure: `abbreviate`, made safe as `text` does."""
    return text(abbreviate(name, length))


def abbreviate(name: str, length: int) -> str:
    """Bring a layer's name to at most `length` characters.

    What stands before the last dot is abbreviated from the left, a word to its first letter and its digits; if that is
    not enough, the end is cut: `features.3.expand1x1_activation` becomes `f.3.expand1x1…`.
    """
    parts = name.split(".")
    for place in range(len(parts) - 1):
        if len(".".join(parts)) <= length:
            break
        word = parts[place]
        parts[place] = word[:1] + "".join(sign for sign in word[1:] if sign.isdigit())
    short = ".".join(parts)
    return short if len(short) <= length else short[: length - 1] + "…"


def colourbar(title: str = "relevance", **position: Any) -> dict[str, Any]:
    """Give the settings of the colour bar that all maps share; its width never changes with the numbers."""
    return {
        "thickness": 10,
        "outlinewidth": 0,
        "outlinecolor": RULE,
        "tickfont": {"size": 11, "color": MUTED},
        "exponentformat": "power",
        "nticks": 5,
        "title": {"text": title, "side": "right", "font": {"size": 11, "color": MUTED}},
    } | position


def highlighted(names: Sequence[str], chosen: str | None) -> list[str]:
    """Give the colour of the bar of each layer: strong for the one that is chosen."""
    return [ACCENT if name == chosen else ACCENT_SOFT for name in names]


def value_axis() -> dict[str, Any]:
    """Give the settings of a vertical axis that carries relevance."""
    return {
        "gridcolor": RULE,
        "zerolinecolor": MUTED,
        "exponentformat": "power",
        "nticks": 6,
        "color": MUTED,
    }


def figure(title: str = "", **layout: Any) -> go.Figure:
    """Start an empty figure in the house style.

    Margins do not follow the labels (`autoexpand` is off): nothing moves while numbers change.

    Parameters
    ----------
    title : str
        Shown small at the upper left; empty for none.
    **layout
        Any further `plotly.graph_objects.Layout` property.
    """
    style = {
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 48, "r": 16, "t": 30 if title else 12, "b": 32, "autoexpand": False},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": RULE, "font": {"family": FONT, "size": 12, "color": INK}},
        "showlegend": False,
        "template": "none",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": ACCENT},
        "uirevision": "kept",
    }
    if title:
        style["title"] = {
            "text": title,
            "x": 0.0,
            "xref": "container",
            "xanchor": "left",
            "pad": {"l": 8},
            "y": 1.0,
            "yref": "container",
            "yanchor": "top",
            "font": {"size": 13, "color": INK},
        }
        style["title"]["pad"]["t"] = 8
    return go.Figure(layout=style | layout)


def blank(said: str = "") -> go.Figure:
    """Give an empty sheet, for the time before there is anything to show; `said` tells why in its middle."""
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False, "font": {"color": MUTED}}
    notes = [place | {"text": text(said)}] if said else []
    return figure(xaxis={"visible": False}, yaxis={"visible": False}, annotations=notes)

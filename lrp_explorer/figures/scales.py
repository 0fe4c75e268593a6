"""What the values of a map are called, which range they have, and which colours they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lrp_explorer.figures import theme

SEQUENTIAL: tuple[tuple[float, str], ...] = (
    (0.000, "#ffffff"),
    (0.125, "#baefe8"),
    (0.250, "#82dad0"),
    (0.375, "#53c1b6"),
    (0.500, "#2ca79c"),
    (0.625, "#148b81"),
    (0.750, "#146f67"),
    (0.875, "#1b534e"),
    (1.000, "#1c3935"),
)
"""White (nothing) to dark green (most), for what is never negative; built in OKLCh with hue 186°, lightness falling in
a straight line, and of a hue of its own: nothing here speaks for or against a class."""

_TRUTH = ((0.0, "#ffffff"), (0.5, "#ffffff"), (0.5, theme.ACCENT), (1.0, theme.ACCENT))
# The cheapest path is the strongest; nothing is so pale that it could be taken for no path.
_COST = tuple((1 - stop, colour) for stop, colour in reversed(SEQUENTIAL[1:-1]))
_COST = ((0.0, _COST[0][1]), *_COST, (1.0, _COST[-1][1]))
_COUNT = ((0.0, "#d8f6f2"), *SEQUENTIAL[1:])


@dataclass(frozen=True)
class Scale:
    """A quantity and its colours.

    Attributes
    ----------
    quantity : str
        What a value is called, on hover and beside the colour bar.
    stops : tuple of (float, str)
        Position in [0, 1] → colour.
    signed : bool
        Whether the range is [−limit, limit]; else it is [0, limit].
    falling : bool
        Whether small values are the strong ones, as costs are.
    truth : bool
        Whether the values are 0 and 1, no and yes.
    blank : bool
        Whether NaN alone means no path, and 0 is a value like others.
    """

    quantity: str
    stops: tuple[tuple[float, str], ...] = SEQUENTIAL
    signed: bool = False
    falling: bool = False
    truth: bool = False
    blank: bool = False

    def reached(self, values: np.ndarray) -> np.ndarray:
        """Tell where paths lead."""
        return ~np.isnan(values) if self.blank else np.nan_to_num(values, nan=0.0) != 0

    def limit(self, values: np.ndarray, quantile: float = 1.0) -> float:
        """Give the end of the colour range, see `theme.limit`; 1 for truth values."""
        return 1.0 if self.truth else theme.limit(values, quantile)

    def low(self, limit: float) -> float:
        """Give the beginning of the colour range."""
        return -limit if self.signed else 0.0

    def ink(self, value: float) -> str:
        """Give the colour of a bar."""
        if not self.signed:
            return theme.ACCENT
        return theme.NEGATIVE if value < 0 else theme.POSITIVE

    def table(self, position: np.ndarray) -> np.ndarray:
        """Paint positions in [0, 1]: uint8, one more axis of length 3; NaN takes the colour of no path."""
        stops = np.array([stop for stop, _ in self.stops])
        inks = np.array([theme.rgb(colour) for _, colour in self.stops], dtype=np.float64)
        channels = [np.interp(np.nan_to_num(position), stops, inks[:, channel]) for channel in range(3)]
        painted = np.round(np.stack(channels, axis=-1)).astype(np.uint8)
        painted[np.isnan(position)] = theme.rgb(theme.NOTHING)
        return painted

    def strongest(self, values: np.ndarray) -> int:
        """Give the flat position of the strongest value: the largest, by absolute value, or the cheapest."""
        sizes = np.abs(np.asarray(values, dtype=np.float64)).reshape(-1)
        none = np.inf if self.falling else -np.inf
        sizes = np.where(np.isnan(sizes), none, sizes)
        return int(np.argmin(sizes) if self.falling else np.argmax(sizes))

    def positions(self, values: np.ndarray, limit: float) -> np.ndarray:
        """Bring values to [−1, 1], those of an unsigned quantity to [0, 1], with −1 for no path."""
        shares = np.asarray(values, dtype=np.float64) / limit
        return shares if self.signed else np.where(np.isnan(shares), -1.0, shares)

    def heights(self, values: np.ndarray, limit: float) -> np.ndarray:
        """Bring the values of a vector to heights of columns in [−1, 1]; what has a value is never without height."""
        shares = np.asarray(values, dtype=np.float64) / limit
        if self.blank:
            shares = 1 - 0.85 * shares if self.falling else 0.15 + 0.85 * shares
        return np.nan_to_num(shares)

    def strip_table(self) -> np.ndarray:
        """Paint what `positions` gives: 256 steps from −1 to 1, of which step 128 is zero, ``(256, 3)``."""
        steps = (np.arange(256) - 128) / 127
        if self.signed:
            return theme.colours(steps, 1.0)
        return self.table(np.where(steps < 0, np.nan, steps))

    def colorscale(self) -> list[list[Any]]:
        """Write the scale as Plotly reads it."""
        return [list(stop) for stop in self.stops]

    def transparent(self, opacity: float) -> list[list[Any]]:
        """Write the scale with an alpha that grows with strength up to `opacity`."""
        if self.signed:
            return theme.transparent_scale(opacity)
        scale: list[list[Any]] = []
        for stop, colour in self.stops:
            red, green, blue = theme.rgb(colour)
            strength = 1 - 0.8 * stop if self.falling else float(colour != "#ffffff") if self.truth else stop
            scale.append([stop, f"rgba({red},{green},{blue},{opacity * strength:.3f})"])
        return scale


SIGNED = Scale("relevance", theme.DIVERGING, signed=True)
TRUTH = Scale("relevant", _TRUTH, truth=True)
COUNT = Scale("log₁₀ of paths", _COUNT, blank=True)
STRENGTH = Scale("strength")
WEAKEST = Scale("weakest edge")
COST = Scale("cost", _COST, falling=True, blank=True)
ELEMENT = Scale("element")

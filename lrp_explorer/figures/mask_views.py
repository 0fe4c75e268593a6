"""One mask large, beside the mean image of its examples and the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.errors import InputError
from lrp_explorer.figures import theme, vectors
from lrp_explorer.figures.scales import SIGNED, Scale

GREY = [[0.0, "#111418"], [1.0, "#ffffff"]]


@dataclass(frozen=True)
class Large:
    """One mask as it is enlarged.

    Attributes
    ----------
    values : ndarray
        ``(height, width)``, or ``(neurons,)``; NaN: no value.
    scale : Scale
        Quantity and colours.
    limit : float
        End of the colour range.
    count : int
        Examples behind it.
    level : ndarray, optional
        For truth values: what was compared with the threshold, of the shape of `values`.
    image : ndarray, optional
        Mean image of the same examples, ``(height, width)``, in units of the input.
    unit : str
        What a value of a row of bars belongs to.
    """

    values: np.ndarray
    scale: Scale
    limit: float
    count: int
    level: np.ndarray | None = None
    image: np.ndarray | None = None
    unit: str = "neuron"

    def describe(self) -> str:
        """Say in words what is shown."""
        shape = " by ".join(map(str, self.values.shape))
        if self.scale.truth:
            what = f"{np.nan_to_num(self.values).mean():.1%} of them relevant"
        else:
            place = np.unravel_index(self.scale.strongest(self.values), self.values.shape)
            what = f"the strongest at {', '.join(map(str, map(int, place)))}: {self.values[place]:.3g}"
        beside = ", beside the mean image of the same examples and the difference" if self.image is not None else ""
        return f"Mask of {shape} values of {self.count} examples, {what}{beside}."


def difference(values: np.ndarray, image: np.ndarray, limit: float) -> np.ndarray:
    """Give mask minus mean image, each brought to a largest value of 1; above zero where the mask has more.

    Parameters
    ----------
    values : ndarray
        ``(height, width)``; divided by `limit`.
    image : ndarray
        ``(height, width)``; its least value becomes 0, its largest 1.
    limit : float
        Greater than zero.
    """
    if values.shape != image.shape:
        raise InputError(f"the mask is {values.shape}, the mean image {image.shape}; expected the same")
    low, high = float(image.min()), float(image.max())
    return np.nan_to_num(values) / limit - (image - low) / ((high - low) or 1.0)


def large(mask: Large) -> go.Figure:
    """Draw a mask large: alone, or in three maps (mask, mean image, difference) that zoom together."""
    if mask.values.ndim == 1:
        return _row(mask)
    fig = theme.figure()
    shown = [_mask(mask)] if mask.image is None else [_mask(mask), _image(mask.image), _difference(mask, mask.image)]
    titles = (mask.scale.quantity, "mean image", "mask − mean image")
    count = len(shown)
    for place, trace in enumerate(shown):
        axis = "" if place == 0 else str(place + 1)
        fig.add_trace(trace.update(xaxis=f"x{axis}", yaxis=f"y{axis}"))
        begin = place / count
        high, wide = mask.values.shape
        follow = {} if place == 0 else {"matches": "x"}
        plain = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False, "showline": True}
        plain |= {"mirror": True, "linecolor": theme.RULE, "constrain": "domain"}
        fig.update_layout(
            {
                f"xaxis{axis}": plain
                | {"range": [-0.5, wide - 0.5], "domain": [begin, begin + (0.94 / count if count > 1 else 1)]}
                | follow,
                f"yaxis{axis}": plain
                | {"range": [high - 0.5, -0.5], "anchor": f"x{axis}", "scaleanchor": f"x{axis}"}
                | ({} if place == 0 else {"matches": "y"}),
            }
        )
        if count > 1:
            fig.add_annotation(
                text=titles[place], x=begin + 0.47 / count, y=1.0, xref="paper", yref="paper", yanchor="bottom",
                xanchor="center", showarrow=False, font={"size": 11, "color": theme.MUTED},
            )  # fmt: skip
    fig.update_layout(margin={"l": 4, "r": 4, "t": 20 if count > 1 else 6, "b": 4, "autoexpand": False})
    return fig


def _row(mask: Large) -> go.Figure:
    fig = vectors.draw(np.nan_to_num(mask.values), scale=mask.scale)
    ends = [1.05 * mask.scale.low(mask.limit), 1.05 * mask.limit]
    fig.update_layout(xaxis_title_text=mask.unit, yaxis_range=ends, yaxis_title_text=mask.scale.quantity)
    if len(mask.values) <= 12:
        fig.update_xaxes(dtick=1)
    if len(mask.values) <= vectors.MOST_BARS:
        fig.update_traces(hovertext=[f"{mask.unit} {i}, n = {mask.count}" for i in range(len(mask.values))])
    return fig


def restyle(mask: Large) -> list[dict[str, Any]] | None:
    """Give what changes in each trace when only values change; None where it is drawn anew."""
    if mask.values.ndim == 1:
        return None
    changes: list[dict[str, Any]] = [_values(mask)]
    if mask.image is not None:
        other = difference(mask.values, mask.image, mask.limit)
        changes += [{"z": np.float32(mask.image)}, {"z": np.float32(other)}]
    return changes


def structure(mask: Large) -> tuple[Any, ...]:
    """Give all that `restyle` cannot change."""
    return mask.values.shape, mask.scale, mask.image is None, mask.level is None


def _values(mask: Large) -> dict[str, Any]:
    level = mask.values if mask.level is None else mask.level
    told = np.stack([np.nan_to_num(level), np.full(level.shape, mask.count)], axis=-1)
    return {
        "z": np.float32(mask.values),
        "customdata": np.float32(told),
        "zmin": mask.scale.low(mask.limit),
        "zmax": mask.limit,
    }


def _mask(mask: Large) -> go.Heatmap:
    what = f"{mask.scale.quantity} %{{z:.4g}}"
    if mask.level is not None:
        what += "<br>decided by %{customdata[0]:.4g}"
    return go.Heatmap(
        **_values(mask),
        colorscale=mask.scale.colorscale(),
        showscale=False,
        hoverongaps=False,
        hovertemplate=f"row %{{y}}, column %{{x}}<br>{what}<br>n = %{{customdata[1]}}<extra></extra>",
    )


def _image(image: np.ndarray) -> go.Heatmap:
    hover = "row %{y}, column %{x}<br>mean of the inputs %{z:.4g}<extra></extra>"
    return go.Heatmap(z=np.float32(image), colorscale=GREY, showscale=False, hovertemplate=hover)


def _difference(mask: Large, image: np.ndarray) -> go.Heatmap:
    return go.Heatmap(
        z=np.float32(difference(mask.values, image, mask.limit)),
        zmin=-1,
        zmax=1,
        colorscale=SIGNED.colorscale(),
        showscale=False,
        hovertemplate="row %{y}, column %{x}<br>mask − image, each of largest 1: %{z:.3g}<extra></extra>",
    )

"""A mask put on an example: the masked picture, and what the model says before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.figures import pictures, probabilities, theme


def effect(picture: np.ndarray, before: np.ndarray, after: np.ndarray, names: Sequence[str] = ()) -> go.Figure:
    """Draw a masked example, and the probabilities of its leading classes before and after.

    Parameters
    ----------
    picture : ndarray of uint8
        ``(height, width)`` or ``(height, width, 3)``.
    before, after : ndarray
        Logits ``(classes,)``.
    names : sequence of str
        Of the classes.
    """
    shown = leading(before, after)
    shares = [probabilities.of(logits)[list(shown)] for logits in (before, after)]
    fig = theme.figure(barmode="group", bargap=0.25, bargroupgap=0.05)
    fig.add_trace(pictures.trace(picture))
    labels = [probabilities.class_name(names, index) for index in shown]
    for word, share, ink in zip(("before", "masked"), shares, (theme.ACCENT_SOFT, theme.ACCENT), strict=True):
        hover = [f"{theme.text(label)} {word}: {value:.2%}" for label, value in zip(labels, share, strict=True)]
        fig.add_trace(
            go.Bar(
                x=share, y=list(range(len(shown))), orientation="h", marker={"color": ink}, name=word,
                hovertext=hover, hovertemplate="%{hovertext}<extra></extra>", xaxis="x2", yaxis="y2",
            )
        )  # fmt: skip
    high, wide = picture.shape[:2]
    bare = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False, "constrain": "domain"}
    fig.update_layout(
        xaxis=bare | {"range": [-0.5, wide - 0.5], "domain": [0, 0.42]},
        yaxis=bare | {"range": [high - 0.5, -0.5], "scaleanchor": "x"},
        xaxis2={"range": [0, 1], "domain": [0.58, 1], "anchor": "y2", "tickformat": ".0%", "tickvals": [0, 0.5, 1]}
        | {"gridcolor": theme.RULE, "zeroline": False, "color": theme.MUTED},
        yaxis2={"range": [len(shown) - 0.5, -0.5], "anchor": "x2", "tickvals": list(range(len(shown)))}
        | {"ticktext": [theme.shorten(label, 10) for label in labels], "zeroline": False, "showgrid": False},
        showlegend=True,
        legend={"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.0, "yanchor": "bottom", "font": {"size": 11}},
        margin={"l": 4, "r": 24, "t": 24, "b": 22, "autoexpand": False},
    )
    return fig


def leading(before: np.ndarray, after: np.ndarray, k: int = 3) -> tuple[int, ...]:
    """Give the `k` most probable classes before, then those of the masked example that are not among them."""
    first, then = (probabilities.info(logits, k=k).classes for logits in (before, after))
    return (*first, *(index for index in then if index not in first))

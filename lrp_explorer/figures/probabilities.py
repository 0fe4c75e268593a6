"""The classes a model believes in most, as bars that can be clicked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.errors import InputError
from lrp_explorer.figures import theme


@dataclass(frozen=True)
class TopInfo:
    """The leading classes of one example, the most probable first.

    Attributes
    ----------
    classes : tuple of int
        Index of each class.
    names : tuple of str
        Name of each class.
    probabilities : ndarray of float64
        See `of`; shape `(k,)`, each in [0, 1].
    chosen : int or None
        The class that is explained, whether it is among the leading ones or not.
    """

    classes: tuple[int, ...]
    names: tuple[str, ...]
    probabilities: np.ndarray
    chosen: int | None

    def describe(self) -> str:
        """Say in words what the bars show."""
        shares = (f"{n} {p:.1%}" for n, p in zip(self.names, self.probabilities, strict=True))
        return "Most probable classes: " + ", ".join(shares) + "."


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits `(classes,)` into probabilities of the same shape, without overflow."""
    wide = np.asarray(logits, dtype=np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def of(logits: np.ndarray) -> np.ndarray:
    """Turn logits `(classes,)` into probabilities: their softmax; of a single logit, the sigmoid."""
    wide = np.asarray(logits, dtype=np.float64)
    if wide.shape[-1] > 1:
        return softmax(wide)
    # The sigmoid is the softmax beside a logit of 0.
    return softmax(np.concatenate([wide, np.zeros_like(wide)], axis=-1))[..., :1]


def info(logits: np.ndarray, names: Sequence[str] = (), k: int = 5, chosen: int | None = None) -> TopInfo:
    """Find the `k` most probable classes.

    Parameters
    ----------
    logits : ndarray
        Shape `(classes,)`.
    names : sequence of str
        Names of the classes; where there is none the class is called by its index.
    k : int, default 5
        How many; fewer where the model has fewer classes.
    chosen : int, optional
        The class that is explained.

    Raises
    ------
    InputError
        If the shape is another one.
    """
    logits = np.asarray(logits)
    if logits.ndim != 1 or not logits.size:
        raise InputError(f"logits of shape {logits.shape} were given; expected (classes,): choose one example")
    shares = of(logits)
    # A stable sort names the lower class first where two are equal.
    order = np.argsort(-shares, kind="stable")[:k]
    return TopInfo(
        classes=tuple(int(i) for i in order),
        names=tuple(class_name(names, int(i)) for i in order),
        probabilities=shares[order],
        chosen=chosen,
    )


def class_name(names: Sequence[str], index: int) -> str:
    """Give the name of a class, or `class 7` where it has none."""
    return names[index] if 0 <= index < len(names) and names[index] else f"class {index}"


def bars(numbers: TopInfo, title: str = "") -> go.Figure:
    """Draw the classes as horizontal bars; a click anywhere on a row carries the class index as `customdata`."""
    rows = list(range(len(numbers.classes)))
    inks = [theme.ACCENT_SOFT if index == numbers.chosen else theme.ACCENT_PALE for index in numbers.classes]
    fig = theme.figure(title, barmode="overlay", bargap=0.18, dragmode=False, hovermode="closest")
    common = {"y": rows, "orientation": "h", "customdata": list(numbers.classes), "width": 0.82}
    hover = [f"{theme.text(n)}: {p:.2%}" for n, p in zip(numbers.names, numbers.probabilities, strict=True)]
    fig.add_trace(
        go.Bar(x=numbers.probabilities, marker={"color": inks, "cornerradius": 3}, hoverinfo="skip", **common)
    )
    # The pale row behind is what is clicked: a bar of 0.1 % is too thin for a finger.
    fig.add_trace(
        go.Bar(
            x=np.ones(len(rows)),
            marker={"color": "rgba(91,103,112,0.07)", "cornerradius": 3},
            hovertext=hover,
            hovertemplate="%{hovertext}<br>click to explain<extra></extra>",
            **common,
        )
    )
    fig.update_layout(
        xaxis={"range": [0, 1], "visible": False, "fixedrange": True},
        yaxis={"range": [len(rows) - 0.5, -0.5], "visible": False, "fixedrange": True},
        annotations=_labels(numbers),
        margin={"l": 2, "r": 2, "t": 30 if title else 2, "b": 2, "autoexpand": False},
    )
    return fig


def _labels(numbers: TopInfo) -> list[dict[str, object]]:
    labels: list[dict[str, object]] = []
    for row, (index, name, share) in enumerate(zip(numbers.classes, numbers.names, numbers.probabilities, strict=True)):
        short = theme.text(name if len(name) <= 30 else name[:29] + "…")
        text, percent = short, f"{share:.1%}"
        if index == numbers.chosen:
            text, percent = f"<b>{text}</b>", f"<b>{percent}</b>"
        plain = {"y": row, "showarrow": False, "captureevents": False}
        labels.append(plain | {"x": 0, "xanchor": "left", "xshift": 6, "text": text})
        labels.append(plain | {"x": 1, "xanchor": "right", "xshift": -6, "text": percent})
    return labels

"""The pane that shows a Plotly figure, in a notebook, in JupyterLab and in Voilà, without a network.

Plotly.js is taken from the installed `plotly` package and sent once per page; the panes share it. A pane sends a figure
as it is, arrays as binary buffers, and afterwards only what changed.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, cast

import ipywidgets
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs_version

from lrp_explorer.errors import InputError
from lrp_explorer.panels.channel import LiveWidget, pack, source, unpack


class PlotlyAsset(ipywidgets.Widget):
    """Plotly.js itself, compressed; a model without a view that every pane of the kernel refers to."""

    version = traitlets.Unicode().tag(sync=True)
    code = traitlets.Bytes().tag(sync=True)


@cache
def _compressed() -> bytes:
    code = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return gzip.compress(code, 6)


_PATH = re.compile(r"[A-Za-z_]\w*(\[\d+\])*(\.[A-Za-z_]\w*(\[\d+\])*)*")
_asset: PlotlyAsset | None = None


def plotly_asset() -> PlotlyAsset:
    """Give the one asset of this kernel; a new one if it was closed (``Widget.close_all()``)."""
    global _asset
    if _asset is None or _asset.comm is None:
        _asset = PlotlyAsset(version=get_plotlyjs_version(), code=_compressed())
    return _asset


class PlotlyPane(LiveWidget):
    """A Plotly figure that is cheap to update and never goes stale.

    Parameters
    ----------
    figure : go.Figure, optional
        What to show first; an empty pane of the same height otherwise.
    height : int
        In pixels; the width is that of the container, and follows it.
    description : str
        What the figure shows, in words: read out by screen readers.

    Examples
    --------
    >>> import numpy as np
    >>> pane = PlotlyPane(go.Figure(go.Heatmap(z=np.zeros((28, 28)))), height=320, description="relevance of the input")
    >>> pane.restyle({"z": np.ones((28, 28))})
    """

    _esm = source("channel.js", "plotly.js", "pane.js")
    _css = source("pane.css")
    _asset = traitlets.Instance(PlotlyAsset).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(
        self, figure: go.Figure | None = None, height: int = 400, description: str = "", **kwargs: Any
    ) -> None:
        state = {**_parts(figure), "height": _checked_height(height), "description": description}
        super().__init__(state, _asset=plotly_asset(), **kwargs)
        self._clicked: list[Callable[[dict[str, Any]], None]] = []
        self._receivers["click"] = self._click

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self._state["height"]

    @height.setter
    def height(self, height: int) -> None:
        self._publish(height=_checked_height(height))

    @property
    def description(self) -> str:
        """What the figure shows, in words."""
        return self._state["description"]

    @description.setter
    def description(self, text: str) -> None:
        def change(state: dict[str, Any]) -> None:
            state["description"] = text

        self._amend("describe", {"description": text}, change)

    @property
    def figure(self) -> go.Figure:
        """A copy of what is shown now, with every `restyle` in it (arrays of two or more axes in 32 bits)."""
        with self._lock:
            return go.Figure(data=unpack(self._state["data"]), layout=unpack(self._state["layout"]))

    def show(self, figure: go.Figure, description: str | None = None) -> None:
        """Show another figure.

        Parameters
        ----------
        figure : go.Figure
            Set ``layout.uirevision`` to the same value in both figures to keep zoom and pan.
        description : str, optional
            What it shows, in words; the words before are kept otherwise.
        """
        words = {} if description is None else {"description": description}
        self._publish(**_parts(figure), **words)

    def restyle(self, data: dict[str, Any], trace: int = 0, layout: dict[str, Any] | None = None) -> None:
        """Replace data of one trace, and settings of the layout, in the figure shown.

        Parameters
        ----------
        data : dict
            Attribute of the trace → new value; ``"marker.color"`` and ``"dimensions[0].values"`` reach inside.
        trace : int
            Which trace; negative counts from the end.
        layout : dict, optional
            Attribute of the layout → new value, written in the same way: ``"xaxis.range"``, ``"annotations[0].text"``.

        Raises
        ------
        InputError
            If there is no such trace, or an attribute's name cannot be read.
        """
        count = len(self._state["data"])
        if data and not -count <= trace < count:
            raise InputError(f"trace {trace} does not exist: the figure has {count}; call show() with the traces first")
        trace = trace % max(count, 1)
        packed, settings = pack(data), pack(layout or {})

        def change(state: dict[str, Any]) -> None:
            if data:
                traces = list(state["data"])
                traces[trace] = _assigned(traces[trace], packed)
                state["data"] = traces
            state["layout"] = _assigned(state["layout"], settings)

        self._amend("restyle", {"trace": trace, "data": packed, "layout": settings}, change)

    def on_click(self, callback: Callable[[dict[str, Any]], None], remove: bool = False) -> None:
        """Call back with the point clicked: a dict with ``curveNumber, pointIndex, x, y, z, customdata``."""
        if remove:
            self._clicked.remove(callback)
        else:
            self._clicked.append(callback)

    def _click(self, content: dict[str, Any]) -> None:
        for callback in list(self._clicked):
            callback(content["point"])


def _parts(figure: go.Figure | None) -> dict[str, Any]:
    figure = go.Figure() if figure is None else figure
    # Not `to_dict`: that turns arrays into base64 text.
    traces, layout = cast(Any, figure.data), cast(Any, figure.layout)
    return {"data": [pack(trace.to_plotly_json()) for trace in traces], "layout": pack(layout.to_plotly_json())}


def _checked_height(height: int) -> int:
    if not 1 <= int(height) <= 10_000:
        raise InputError(f"height is {height}; expected pixels, from 1 to 10000")
    return int(height)


def _assigned(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Copy `tree` with values replaced at paths as Plotly.js writes them; what is on no path is shared, not copied."""
    tree = dict(tree)
    for path, value in changes.items():
        if not _PATH.fullmatch(path):
            raise InputError(f"attribute {path!r} cannot be read; write it as 'marker.color' or 'annotations[0].text'")
        steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]
        inner: Any = tree
        for step, following in pairwise(steps):
            inner[step] = _opened(inner, step, list if isinstance(following, int) else dict)
            inner = inner[step]
        if isinstance(inner, list):
            inner.extend([None] * (int(steps[-1]) + 1 - len(inner)))
        inner[steps[-1]] = value
    return tree


def _opened(tree: Any, step: str | int, kind: type) -> Any:
    """Give a shallow copy of what lies at `step`, or an empty `kind` where nothing does."""
    if isinstance(tree, list):
        tree.extend([None] * (int(step) + 1 - len(tree)))
        found = tree[int(step)]
    else:
        found = tree.get(step)
    return kind(found) if isinstance(found, kind) else kind()

"""A pane that draws anew only when its structure changes, and changes values otherwise."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import ipywidgets
import plotly.graph_objects as go

from lrp_explorer.figures import theme
from lrp_explorer.panels import frame
from lrp_explorer.panels.pane import PlotlyPane

Changes = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Drawing:
    """A pane with a heading.

    Parameters
    ----------
    height : int
        In pixels.
    description : str
        What will be shown: the first heading and text alternative.
    detail : str
        What follows the heading in paler ink.
    """

    def __init__(self, height: int, description: str, detail: str = "") -> None:
        self.heading = ipywidgets.HTML(frame.heading(description, detail))
        self.pane = PlotlyPane(theme.blank(), height=height, description=description)
        self._structure: Hashable = None

    def show(
        self,
        structure: Hashable,
        draw: Callable[[], go.Figure],
        changes: Changes,
        words: str,
        trace: int = 0,
        layout: Mapping[str, Any] | None = None,
    ) -> None:
        """Bring the pane up to date.

        Parameters
        ----------
        structure : hashable
            All that cannot be changed by `changes` and `layout`.
        draw : callable
            Makes the whole figure, when the structure is another one.
        changes : mapping, sequence of mappings, or None
            What is restyled in `trace`, or in it and those after it, while the structure stays; None to draw the whole
            in any case.
        words : str
            The text alternative.
        trace : int
            See `changes`.
        layout : mapping, optional
            What changes in the layout while the structure stays.
        """
        if structure != self._structure or changes is None:
            self.pane.show(draw(), description=words)
            self._structure = structure
            return
        for place, change in enumerate([changes] if isinstance(changes, Mapping) else changes):
            self.pane.restyle(dict(change), trace=trace + place, layout=dict(layout or {}) if place == 0 else None)
        self.pane.description = words

"""Class-wise masks in one grid, a row of masks for each reduction and a column for each class, or the other way round.

Numbers share one colour scale. Each kind of reduction is one heatmap in each band, so that an update is a few arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.figures import mask_tiles, theme
from lrp_explorer.figures.mask_cells import KINDS, Cells
from lrp_explorer.figures.mask_plan import ROOM, Plan

FORMATS = {"truth": "%{z} (1 yes, 0 no)", "share": "%{z:.1%}", "number": "%{z:.4g}"}
"""How a value is written on hover."""

DENSE, SIDE_ROOM = 60, 90
"""Pixels of a mask below which labels are small; and for the names beside rows."""


def grid(cells: Cells, selected: tuple[int, int] = (0, 0), title: str = "") -> go.Figure:
    """Draw all masks.

    Parameters
    ----------
    cells : Cells
        See `lrp_explorer.figures.mask_cells.cells`.
    selected : (int, int)
        Place of the reduction and of the class that is framed.
    title : str
        Shown above.
    """
    where = mask_tiles.plan(cells)
    fig = theme.figure(title, dragmode=False)
    changes = restyle(cells)
    for trace, change in zip(_traces(cells, where), changes, strict=True):
        fig.add_trace(trace.update(change))
    # One bar for all numbers; truth values and shares need it only where there is no number.
    scale = cells.scale_of(len(cells.kinds) - 1)
    ticks = {"tickvals": [0.25, 0.75], "ticktext": ["no", "yes"]} if scale.truth else {}
    bar = theme.colourbar(scale.quantity, x=1.0, xpad=10, len=1.0, ypad=0, **ticks)
    fig.update_traces(showscale=True, colorbar=bar, selector=len(changes) - 1)
    (high, wide), margin = where.size, where.gap / 2
    ends = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "fixedrange": True}
    square = {} if cells.bars else {"scaleanchor": "x"}
    fig.update_layout(
        xaxis=ends | {"range": [-0.5 - margin, wide - 0.5 + margin], "constrain": "domain"},
        yaxis=ends | {"range": [high - 0.5 + margin, -0.5 - margin], "constrain": "domain"} | square,
        margin={"l": 84, "r": 84, "t": 60 if title else 38, "b": 4, "autoexpand": False},
        annotations=[*_classes(cells, where), *_reductions(cells, where)],
        shapes=[frame(cells, selected), *_borders(where)],
    )
    return fig


def restyle(cells: Cells) -> list[dict[str, Any]]:
    """Give what changes in each trace of a drawn grid when only its values change."""
    where = mask_tiles.plan(cells)
    tiles = [mask_tiles.painted(cells, place) for place in range(len(cells.reductions))]
    changes = []
    for reductions, classes in _parts(cells, where):
        limit = cells.limit_of(reductions[0])
        z, _ = mask_tiles.laid(where, reductions, classes, lambda r, c: tiles[r][c], np.nan)
        counts, _ = mask_tiles.laid(where, reductions, classes, lambda r, c: cells.counts[c], np.nan)
        low = cells.scale_of(reductions[0]).low(limit)
        changes.append({"z": z, "customdata": counts, "zmin": low, "zmax": limit})
    return changes


def relabel(cells: Cells) -> dict[str, Any]:
    """Give what changes in the layout when only the numbers of examples change."""
    heads = _classes(cells, mask_tiles.plan(cells))
    return {f"annotations[{i}].text": head["text"] for i, head in enumerate(heads)}


def reframe(cells: Cells, selected: tuple[int, int]) -> dict[str, Any]:
    """Give what changes in the layout when another mask is selected."""
    shape = frame(cells, selected)
    return {f"shapes[0].{end}": shape[end] for end in ("x0", "x1", "y0", "y1")}


def place(cells: Cells, x: float, y: float) -> tuple[int, int]:
    """Tell which mask lies at a point of the grid: place of the reduction and of the class."""
    return mask_tiles.plan(cells).nearest(x, y)


def structure(cells: Cells) -> tuple[Any, ...]:
    """Give all that `restyle`, `relabel` and `reframe` cannot change."""
    return cells.reductions, cells.kinds, cells.names, cells.values[0].shape, cells.bars, cells.scale


def frame(cells: Cells, selected: tuple[int, int]) -> dict[str, Any]:
    """Give the shape around the selected mask."""
    return _rectangle(mask_tiles.plan(cells), *selected) | {"line": {"color": theme.INK, "width": 2}, "layer": "above"}


def _parts(cells: Cells, where: Plan) -> Iterator[tuple[list[int], range]]:
    """Give the reductions and the classes, by place, that share a heatmap."""
    for band in range(where.bands):
        for kind in KINDS:
            if kind in cells.kinds:
                yield [i for i, one in enumerate(cells.kinds) if one == kind], where.band(band)


def _traces(cells: Cells, where: Plan) -> Iterator[go.Heatmap]:
    """Give the heatmaps without their values."""
    inside = mask_tiles.places(cells, where)

    def words(reduction: int, chosen: int) -> np.ndarray:
        return f"{theme.text(cells.names[chosen])} · {cells.reductions[reduction]}<br>" + inside

    for reductions, classes in _parts(cells, where):
        text, (top, left) = mask_tiles.laid(where, reductions, classes, words, "")
        scale = cells.scale_of(reductions[0])
        # Shares of examples and shares of places may stand in one trace.
        quantities = {cells.scale_of(reduction).quantity for reduction in reductions}
        said = f"{quantities.pop() if len(quantities) == 1 else 'share'} {FORMATS[cells.kinds[reductions[0]]]}"
        yield go.Heatmap(
            text=text,
            x0=left,
            y0=top,
            colorscale=scale.colorscale(),
            hovertemplate=f"%{{text}}<br>{said}<br>n = %{{customdata}}<extra></extra>",
            hoverongaps=False,
            showscale=False,
        )


def _classes(cells: Cells, where: Plan) -> list[dict[str, Any]]:
    """Label every class with its name and n: above its column, or beside its row."""
    room = _width(cells, where) if where.across else SIDE_ROOM
    names = _short(cells.names, max(4, min(12, int(room / (7.6 if room > DENSE else 6)))))
    said = "n = " if room > DENSE else "n="
    labels = []
    for chosen, (name, count) in enumerate(zip(names, cells.counts, strict=True)):
        text = f"<b>{theme.text(name)}</b><br><span style='font-size:10px'>{said}{count}</span>"
        corner = where.corner(0, chosen)
        labels.append((_above if where.across else _beside)(where, corner) | {"text": text} | _font(cells, where))
    return labels


def _reductions(cells: Cells, where: Plan) -> list[dict[str, Any]]:
    """Label every reduction once in each band: beside its row, or above its column."""
    labels = []
    for band in range(where.bands):
        for reduction, name in enumerate(cells.reductions):
            corner = where.corner(reduction, where.band(band)[0])
            text = {"text": "count / n" if name == "count" else name}
            labels.append((_beside if where.across else _above)(where, corner) | text | _font(cells, where))
    return labels


def _short(names: Sequence[str], length: int) -> list[str]:
    """Abbreviate names; where their ends are what tells them apart, the middle is left out."""
    short = [theme.abbreviate(name, length) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    return [name if len(name) <= length else f"{name[: length - 3]}…{name[-2:]}" for name in names]


def _width(cells: Cells, where: Plan) -> float:
    """Give the pixels that a label above a mask has."""
    return ROOM[0] / where.classes if cells.bars else where.pixels


def _font(cells: Cells, where: Plan) -> dict[str, Any]:
    return {"font": {"size": 12 if _width(cells, where) > DENSE else 10}}


def _above(where: Plan, corner: tuple[int, int]) -> dict[str, Any]:
    top, left = corner
    place = {"x": left + (where.wide - 1) / 2, "y": top - 0.5, "yanchor": "bottom", "yshift": 2}
    return place | {"showarrow": False, "xref": "x", "yref": "y"}


def _beside(where: Plan, corner: tuple[int, int]) -> dict[str, Any]:
    top, left = corner
    place = {"x": left - 0.5, "y": top + (where.high - 1) / 2, "xanchor": "right", "xshift": -8}
    return place | {"showarrow": False, "xref": "x", "yref": "y", "align": "right"}


def _rectangle(where: Plan, reduction: int, chosen: int) -> dict[str, Any]:
    top, left = where.corner(reduction, chosen)
    ends = {"x0": left - 0.5, "x1": left - 0.5 + where.wide, "y0": top - 0.5, "y1": top - 0.5 + where.high}
    return {"type": "rect"} | ends


def _borders(where: Plan) -> list[dict[str, Any]]:
    line = {"line": {"color": theme.RULE, "width": 1}, "layer": "above"}
    pairs = [(reduction, chosen) for reduction in range(where.reductions) for chosen in range(where.classes)]
    return [_rectangle(where, *pair) | line for pair in pairs]

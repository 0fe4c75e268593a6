"""Class-wise masks in one grid: a column for each class, a row for each reduction, one shared colour scale."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lrp_explorer.figures import theme
from lrp_explorer.figures.mask_cells import BARS, CELLS, KINDS, Cells

HIGH = 40
"""Height of a cell of bars, in cells of the heatmap that they are painted with."""


def grid(cells: Cells, selected: tuple[int, int] = (0, 0), title: str = "") -> go.Figure:
    """Draw all cells: one heatmap for each kind of reduction there is, so that an update is a few arrays.

    Parameters
    ----------
    cells : Cells
        See `lrp_explorer.figures.mask_cells.cells`.
    selected : (int, int)
        Place of the reduction and of the class that is framed.
    title : str
        Shown above.
    """
    high, wide, gap = _sizes(cells)
    fig = theme.figure(title, dragmode=False)
    for trace, kind in enumerate(_kinds(cells)):
        first = cells.kinds.index(kind)
        scale, last = cells.scale_of(first), kind == _kinds(cells)[-1]
        ticks = {"tickvals": [0.25, 0.75], "ticktext": ["no", "yes"]} if scale.truth else {}
        fig.add_trace(
            go.Heatmap(
                **restyle(cells)[trace],
                text=_words(cells, kind),
                y0=first * (high + gap),
                colorscale=scale.colorscale(),
                hovertemplate=f"%{{text}}<br>{scale.quantity} %{{z:.4g}}<br>n = %{{customdata}}<extra></extra>",
                hoverongaps=False,
                showscale=last,
                colorbar=theme.colourbar(scale.quantity, x=1.0, xpad=10, len=1.0, ypad=0, **ticks) if last else None,
            )
        )
    rows, columns = len(cells.reductions), len(cells.names)
    ends = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "fixedrange": True}
    square = {} if cells.bars else {"scaleanchor": "x"}
    fig.update_layout(
        xaxis=ends | {"range": [-0.5 - gap / 2, columns * (wide + gap) - gap / 2 - 0.5], "constrain": "domain"},
        yaxis=ends | {"range": [rows * (high + gap) - gap / 2 - 0.5, -0.5 - gap / 2], "constrain": "domain"} | square,
        margin={"l": 84, "r": 84, "t": 60 if title else 38, "b": 4, "autoexpand": False},
        annotations=[*_heads(cells), *_sides(cells)],
        shapes=[frame(cells, selected), *_borders(cells)],
    )
    return fig


def restyle(cells: Cells) -> list[dict[str, Any]]:
    """Give what changes in each trace of a drawn grid when only its values change."""
    changes = []
    for kind in _kinds(cells):
        places = [i for i, one in enumerate(cells.kinds) if one == kind]
        limit = cells.limit_of(places[0])
        changes.append(
            {
                "z": _tiled(cells, [_painted(cells, place) for place in places]),
                "customdata": _tiled(cells, [_counts(cells)] * len(places)),
                "zmin": cells.scale_of(places[0]).low(limit),
                "zmax": limit,
            }
        )
    return changes


def relabel(cells: Cells) -> dict[str, Any]:
    """Give what changes in the layout when only the numbers of examples change."""
    return {f"annotations[{i}].text": head["text"] for i, head in enumerate(_heads(cells))}


def reframe(cells: Cells, selected: tuple[int, int]) -> dict[str, Any]:
    """Give what changes in the layout when another cell is selected."""
    shape = frame(cells, selected)
    return {f"shapes[0].{end}": shape[end] for end in ("x0", "x1", "y0", "y1")}


def place(cells: Cells, x: float, y: float) -> tuple[int, int]:
    """Tell which cell lies at a point of the grid: place of the reduction and of the class."""
    high, wide, gap = _sizes(cells)
    row, column = int((y + 0.5) // (high + gap)), int((x + 0.5) // (wide + gap))
    return min(max(row, 0), len(cells.reductions) - 1), min(max(column, 0), len(cells.names) - 1)


def structure(cells: Cells) -> tuple[Any, ...]:
    """Give all that `restyle`, `relabel` and `reframe` cannot change."""
    return cells.reductions, cells.kinds, cells.names, cells.values[0].shape, cells.bars, cells.scale


def frame(cells: Cells, selected: tuple[int, int]) -> dict[str, Any]:
    """Give the shape around the selected cell."""
    return _rectangle(cells, *selected) | {"line": {"color": theme.INK, "width": 2}, "layer": "above"}


def _kinds(cells: Cells) -> list[str]:
    return [kind for kind in KINDS if kind in cells.kinds]


def _block(cells: Cells) -> int:
    """How many values in a row and in a column are joined into one, so that the grid stays small."""
    _, *sides = cells.values[0].shape
    count = len(cells.names) * len(cells.reductions)
    block = 1
    while count * np.prod([-(-side // block) for side in sides]) > CELLS and block < max(sides):
        block += 1
    return block


def _sizes(cells: Cells) -> tuple[int, int, int]:
    """Height and width of a cell, and the gap between two, in cells of the heatmap."""
    if cells.bars:
        wide = min(cells.values[0].shape[1], BARS)
        return HIGH, wide, max(1, round(wide / 12))
    block = _block(cells)
    high, wide = (-(-side // block) for side in cells.values[0].shape[1:])
    return high, wide, max(1, round(wide / 12))


def _painted(cells: Cells, place: int) -> np.ndarray:
    """Give the cells of one reduction ``(classes, height, width)``."""
    values = cells.values[place]
    if cells.bars:
        return _bars(values, cells.limit_of(place), cells.scale_of(place).signed)
    block = _block(cells)
    if block == 1:
        return values
    high, wide, _ = _sizes(cells)
    room = (high * block - values.shape[1], wide * block - values.shape[2])
    padded = np.pad(values, ((0, 0), (0, room[0]), (0, room[1])), "edge").reshape(-1, high, block, wide, block)
    return padded.max((2, 4)) if cells.kinds[place] == "truth" else padded.mean((2, 4))


def _bars(values: np.ndarray, limit: float, signed: bool) -> np.ndarray:
    """Paint ``(classes, neurons)`` as columns from the ground, or from the middle line where there are signs."""
    groups = np.array_split(np.nan_to_num(values), min(values.shape[1], BARS), axis=1)
    strongest = [np.take_along_axis(part, np.abs(part).argmax(1)[:, None], 1) for part in groups]
    tops = np.concatenate(strongest, axis=1)[:, None, :]
    middle = HIGH / 2 if signed else HIGH
    levels = (middle - (np.arange(HIGH) + 0.5))[:, None] / middle * limit
    within = ((levels > 0) & (levels <= tops)) | ((levels < 0) & (levels >= tops))
    return np.where(within, tops, np.nan).astype(np.float32)


def _counts(cells: Cells) -> np.ndarray:
    high, wide, _ = _sizes(cells)
    return np.broadcast_to(np.array(cells.counts, np.float32)[:, None, None], (len(cells.names), high, wide))


def _tiled(cells: Cells, rows: list[np.ndarray]) -> np.ndarray:
    """Lay cells ``(classes, height, width)`` of several reductions out as one heatmap, NaN between them."""
    high, wide, gap = _sizes(cells)
    whole = np.full((len(rows) * (high + gap) - gap, len(cells.names) * (wide + gap) - gap), np.nan, np.float32)
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            top, left = row * (high + gap), column * (wide + gap)
            whole[top : top + high, left : left + wide] = tile
    return whole


def _words(cells: Cells, kind: str) -> np.ndarray:
    """Say for each value where it is."""
    high, wide, gap = _sizes(cells)
    reductions = [r for r, one in zip(cells.reductions, cells.kinds, strict=True) if one == kind]
    words = np.full(_tiled(cells, [_counts(cells)] * len(reductions)).shape, "", object)
    places = np.array(_places(cells), object)
    for row, reduction in enumerate(reductions):
        for column, name in enumerate(cells.names):
            top, left = row * (high + gap), column * (wide + gap)
            words[top : top + high, left : left + wide] = f"{theme.text(name)} · {reduction}<br>" + places
    return words


def _places(cells: Cells) -> list[list[str]]:
    """Name the places of one cell, row by row."""
    high, wide, _ = _sizes(cells)
    if cells.bars:
        ends = np.cumsum([0, *map(len, np.array_split(np.arange(cells.values[0].shape[1]), wide))])
        return [[f"neuron or channel {_span(a, b)}" for a, b in pairwise(ends)]] * high
    block = _block(cells)
    rows, columns = ([_span(i * block, (i + 1) * block) for i in range(count)] for count in (high, wide))
    return [[f"row {row}, column {column}" for column in columns] for row in rows]


def _span(begin: int, end: int) -> str:
    return str(begin) if end == begin + 1 else f"{begin}–{end - 1}"


def _heads(cells: Cells) -> list[dict[str, Any]]:
    _, wide, gap = _sizes(cells)
    plain = {"showarrow": False, "yref": "y", "yanchor": "bottom", "xref": "x", "font": {"size": 12}}
    heads = []
    for column, (name, count) in enumerate(zip(cells.names, cells.counts, strict=True)):
        text = f"<b>{theme.shorten(name, 12)}</b><br><span style='font-size:10px'>{count}</span>"
        middle = column * (wide + gap) + (wide - 1) / 2
        heads.append(plain | {"x": middle, "y": -0.5, "text": text, "yshift": 2})
    return heads


def _sides(cells: Cells) -> list[dict[str, Any]]:
    high, _, gap = _sizes(cells)
    plain = {"showarrow": False, "xref": "x", "x": -0.5, "xanchor": "right", "xshift": -8, "yref": "y"}
    sides = [
        plain | {"y": row * (high + gap) + (high - 1) / 2, "text": reduction if reduction != "count" else "count / n"}
        for row, reduction in enumerate(cells.reductions)
    ]
    corner = {"y": -0.5, "yanchor": "bottom", "yshift": 2, "text": "<span style='font-size:10px'>n =</span>"}
    return [*sides, plain | corner]


def _rectangle(cells: Cells, row: int, column: int) -> dict[str, Any]:
    high, wide, gap = _sizes(cells)
    left, top = column * (wide + gap) - 0.5, row * (high + gap) - 0.5
    return {"type": "rect", "x0": left, "x1": left + wide, "y0": top, "y1": top + high}


def _borders(cells: Cells) -> list[dict[str, Any]]:
    line = {"line": {"color": theme.RULE, "width": 1}, "layer": "above"}
    return [
        _rectangle(cells, row, column) | line
        for row in range(len(cells.reductions))
        for column in range(len(cells.names))
    ]

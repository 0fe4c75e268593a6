"""Masks of many classes as one picture: a row for each class, a column for each reduction; drawn without Plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lrp_explorer.errors import InputError
from lrp_explorer.figures import theme

CELL = 112
GAP = 8
HEAD = 76
SIDE = 96
ROWS = 40


def draw(masks: Mapping[str, np.ndarray], names: Sequence[str], counts: Sequence[int], title: str = "") -> Image.Image:
    """Draw masks in a grid.

    Numbers share one symmetric colour scale (its end is written above), zero is white, red is in favour; counts are
    drawn as shares of n; they and standard deviations have scales of their own. Truth values are black where true.
    Channels are summed, truth values joined by OR. A layer without places is one line of neurons.

    Parameters
    ----------
    masks : mapping
        Reduction → array ``(rows, ...)``, of one layer.
    names : sequence of str
        Of the rows; at most 40 are drawn, and the title tells of the others.
    counts : sequence of int
        Examples behind each row.
    title : str
        The line above.

    Returns
    -------
    PIL.Image.Image
        Mode ``"RGB"``.

    Raises
    ------
    InputError
        If an array has not as many rows as there are names.
    """
    for reduction, array in masks.items():
        if len(array) != len(names):
            raise InputError(f"{reduction!r} has {len(array)} rows; expected one for each of {len(names)} classes")
    if len(names) > ROWS:
        title += f" | first {ROWS} of {len(names)} rows"
    planes = {reduction: [_plane(row) for row in array[:ROWS]] for reduction, array in masks.items()}
    if "count" in planes:
        planes["count / n"] = [cell / max(1, n) for cell, n in zip(planes.pop("count"), counts, strict=False)]
    limits = _limits(planes)
    rows = min(len(names), ROWS)
    sheet = Image.new("RGB", (SIDE + len(planes) * (CELL + GAP) + GAP, HEAD + rows * (CELL + GAP)), theme.PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 12), _plain(title), theme.INK, ImageFont.load_default(16))
    for column, (reduction, cells) in enumerate(planes.items()):
        left = SIDE + column * (CELL + GAP)
        pen.text((left, HEAD - 36), reduction, theme.MUTED, ImageFont.load_default(13))
        pen.text((left, HEAD - 20), _ends(cells, limits.get(reduction)), theme.MUTED, ImageFont.load_default(12))
        for row, cell in enumerate(cells):
            place = left, HEAD + row * (CELL + GAP)
            picture = _picture(cell, limits.get(reduction, 1.0))
            sheet.paste(picture, place)
            end = place[0] + picture.width, place[1] + picture.height
            pen.rectangle((place[0] - 1, place[1] - 1, *end), outline=theme.RULE)
    for row in range(rows):
        top = HEAD + row * (CELL + GAP) + CELL / 2
        pen.text((GAP, top - 14), _plain(str(names[row]))[:14], theme.INK, ImageFont.load_default(13))
        pen.text((GAP, top + 4), f"n = {counts[row]}", theme.MUTED, ImageFont.load_default(12))
    return sheet


def _limits(planes: Mapping[str, Sequence[np.ndarray]]) -> dict[str, float]:
    """End of the scale of every reduction that is drawn in colours."""
    found = {name: theme.limit(np.stack(cells)) for name, cells in planes.items() if cells[0].dtype != bool}
    shared = [name for name in found if name not in ("count / n", "std")]
    top = max((found[name] for name in shared), default=1.0)
    return found | dict.fromkeys(shared, top)


def _ends(cells: Sequence[np.ndarray], limit: float | None) -> str:
    """Say what the ends of a colour scale are; nothing for truth values."""
    if limit is None:
        return ""
    return f"±{limit:.3g}" if any((cell < 0).any() for cell in cells) else f"0 to {limit:.3g}"


def _plane(row: np.ndarray) -> np.ndarray:
    """Bring one mask to ``(height, width)``."""
    if row.ndim == 1:
        return row[None]
    if row.ndim == 2:
        return row
    axes = tuple(range(row.ndim - 2))
    return np.asarray(row.any(axes) if row.dtype == bool else row.sum(axes, dtype=np.float64))


def _picture(plane: np.ndarray, limit: float) -> Image.Image:
    if plane.dtype == bool:
        pixels = np.where(plane[..., None], np.uint8(0), np.uint8(255)).repeat(3, -1)
    else:
        pixels = theme.colours(plane, limit)
    scale = CELL / max(plane.shape)
    # One line of neurons would be a hair.
    width, height = (max(12, round(side * scale)) for side in (plane.shape[1], plane.shape[0]))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return Image.fromarray(pixels).resize((width, height), how)


def _plain(text: str) -> str:
    """Spell a text with the letters that Pillow's own font has."""
    return text.replace("·", "|").encode("latin-1", "replace").decode("latin-1")

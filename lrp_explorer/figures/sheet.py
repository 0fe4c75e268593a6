"""An explanation as one picture: the image, its heatmap, a colour bar with numbers, a title; drawn without Plotly."""

from __future__ import annotations

import unicodedata
from typing import Any, cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lrp_explorer.errors import InputError
from lrp_explorer.figures import heatmap, pictures, theme

SIDE = 448
GAP = 16
BAR = 14
HEAD = 56
FOOT = 30
SCALE_ROOM = 92


def draw(
    image: np.ndarray, relevance: np.ndarray, title: str = "", detail: str = "", limit: float | None = None
) -> Image.Image:
    """Draw an image beside its heatmap.

    Parameters
    ----------
    image : ndarray of uint8
        Shape `(height, width)` or `(height, width, 3)`, as the model saw it.
    relevance : ndarray
        Shape `(height, width)`, the same two; channels summed. Zero is white, red is in favour, blue against.
    title, detail : str
        The line above, and a paler one below.
    limit : float, optional
        End of the symmetric colour range; the largest absolute relevance by default.

    Returns
    -------
    PIL.Image.Image
        Mode `"RGB"`; both pictures are enlarged to whole pixels of 448 or more, or reduced to that.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    numbers = heatmap.info(relevance, limit)
    pixels = pictures.as_rgb(image)
    if pixels.shape[:2] != numbers.relevance.shape:
        raise InputError(f"the image is {pixels.shape[:2]}, the relevance {numbers.relevance.shape}; expected the same")
    left = _sized(pixels)
    right = _sized(theme.colours(numbers.relevance, numbers.limit))
    width, height = left.size
    sheet = Image.new("RGB", (2 * width + 4 * GAP + BAR + SCALE_ROOM, HEAD + height + FOOT + GAP), theme.PAPER)
    pen = ImageDraw.Draw(sheet)
    room = sheet.width - 2 * GAP
    pen.text((GAP, HEAD / 2), _cut(pen, title, _font(20), room), theme.INK, _font(20), anchor="lm")
    pen.text((GAP, HEAD + height + 12), _cut(pen, detail, _font(13), room), theme.MUTED, _font(13))
    for place, picture in ((GAP, left), (2 * GAP + width, right)):
        sheet.paste(picture, (place, HEAD))
        pen.rectangle((place - 1, HEAD - 1, place + width, HEAD + height), outline=theme.RULE)
    _draw_bar(sheet, 3 * GAP + 2 * width, height, numbers.limit)
    return sheet


def _draw_bar(sheet: Image.Image, left: int, height: int, limit: float) -> None:
    pen = ImageDraw.Draw(sheet)
    column = theme.colours(np.linspace(limit, -limit, height)[:, None], limit)
    sheet.paste(Image.fromarray(column).resize((BAR, height)), (left, HEAD))
    pen.rectangle((left - 1, HEAD - 1, left + BAR, HEAD + height), outline=theme.RULE)
    for share in (1.0, 0.5, 0.0, -0.5, -1.0):
        row = HEAD + (1 - share) / 2 * (height - 1)
        pen.line((left + BAR, row, left + BAR + 4, row), fill=theme.MUTED)
        # Numbers at the ends stay inside the height of the pictures.
        within = min(max(row, HEAD + 7), HEAD + height - 8)
        pen.text((left + BAR + 8, within), f"{share * limit:.3g}", theme.MUTED, _font(13), anchor="lm")


def _sized(pixels: np.ndarray) -> Image.Image:
    """Enlarge by a whole factor, every pixel a square; reduce smoothly."""
    picture = Image.fromarray(pixels)
    longest = max(picture.size)
    if longest > 2 * SIDE:
        share = 2 * SIDE / longest
        size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        return picture.resize(size, Image.Resampling.BOX)
    factor = max(1, -(-SIDE // longest))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _cut(pen: ImageDraw.ImageDraw, text: str, font: Any, room: float) -> str:
    """Shorten a line that would run off the sheet, and spell it with the letters that Pillow's own font has."""
    text = unicodedata.normalize("NFKD", text.replace("·", "|")).encode("ascii", "ignore").decode()
    if cast(float, pen.textlength(text, font)) <= room:
        return text
    while text and cast(float, pen.textlength(text + "...", font)) > room:
        text = text[:-1]
    return text + "..."

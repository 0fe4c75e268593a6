"""From the numbers of a picture to 8 bits: where black and white are known, or by what the picture holds."""

from __future__ import annotations

import warnings

import numpy as np
from PIL import Image

from lrp_explorer.errors import DataError

SIXTEEN = (0, 65535)

FAINT = 1 / 8
"""Share of the range below which a picture is told to be nearly uniform; 12 bits in 16 use a sixteenth."""


def eight_bits(
    image: Image.Image, name: str, known: tuple[int, int] | None = None, stretch: bool = False
) -> Image.Image:
    """Give a picture of 16 or 32 bits in 8; others as they are. Pillow's own conversion would cut off at 255.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode.
    name : str
        For the messages.
    known : (int, int), optional
        Black and white, where the file tells; 0 and 65535 for 16 bits otherwise.
    stretch : bool
        Make the least value black and the greatest white; this also takes values without a known white.

    Raises
    ------
    DataError
        If black and white are not known, and stretching is not asked for, or not possible.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16"):
        known = known or SIXTEEN
    if known is None and not stretch:
        raise DataError(
            f"{name}: an image of 32-bit values (mode {image.mode!r}) has no known white; save it with 8 or 16 bits, "
            "or open it by open_image(…, stretch=True), which makes its least value black and its greatest white"
        )
    if not np.isfinite(values).all():
        raise DataError(f"{name} has values that are NaN or infinite; expected finite ones")
    least, greatest = float(values.min()), float(values.max())
    low, high = (least, greatest) if stretch or known is None else known
    if not stretch and greatest - least < FAINT * (high - low):
        warnings.warn(
            f"{name} has values from {least:.6g} to {greatest:.6g}, where black is {low:.6g} and white {high:.6g}: it "
            "is nearly uniform. If its data has fewer bits than its file, open it by open_image(…, stretch=True), or "
            "by --stretch in the shell",
            UserWarning,
            stacklevel=3,
        )
    grey = (values - low) * (255 / ((high - low) or 1))
    return Image.fromarray(np.round(grey).clip(0, 255).astype(np.uint8))

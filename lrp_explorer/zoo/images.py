"""Open a picture that somebody gave us: bounded in size before it is decoded, upright, RGB."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lrp_explorer.errors import DataError

PIXEL_LIMIT = 50_000_000
"""Most pixels an image may declare; 50 megapixels decode to 150 MB."""

ASPECT_LIMIT = 30
"""Longest over shortest side; resizing the shortest side of a mere line would blow it up without bound."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Raster formats that are decoded; none of them can run a program, as EPS or PDF would."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""File names that count as images in a folder."""


def open_image(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """Open an image file or its bytes as an upright RGB picture.

    The EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits, and of an
    animation the first frame is taken.

    Parameters
    ----------
    source : str, PathLike or bytes
        A path, or the content of a file such as an upload.

    Returns
    -------
    PIL.Image.Image
        Mode `"RGB"`, decoded.

    Raises
    ------
    DataError
        If the file is missing, is no image, is damaged, has more than `PIXEL_LIMIT` pixels or is longer than
        `ASPECT_LIMIT` times its width; the two limits are checked on the header, before decoding.
    """
    name = f"the image of {len(source)} bytes" if isinstance(source, bytes) else f"the image {os.fspath(source)!r}"
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise DataError(f"{name} cannot be opened: there is no such file; check the path")
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            _check_size(image, name)
            white16 = image.format in ("PNG", "PPM")
            return _rgb(ImageOps.exif_transpose(image), white16)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(name, str(error))) from None
    except MemoryError:
        raise DataError(f"{name} does not fit into memory; scale it down first") from None
    except Exception as error:  # decoders answer damaged bytes with nearly any exception
        raise DataError(
            f"{name} cannot be decoded ({type(error).__name__}: {error}); expected an undamaged file, one of "
            f"{', '.join(FORMATS)}"
        ) from error


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > PIXEL_LIMIT:
        raise DataError(_too_large(name, f"{width} × {height} = {width * height / 1e6:.4g} megapixels"))
    if max(width, height) > ASPECT_LIMIT * min(width, height):
        raise DataError(
            f"{name} is {width} × {height} pixels; expected a longest side of at most {ASPECT_LIMIT} times the "
            "shortest. Crop it first"
        )


def _too_large(name: str, size: str) -> str:
    return f"{name} is too large: {size}; expected at most {PIXEL_LIMIT // 1_000_000} megapixels. Scale it down first"


def _rgb(image: Image.Image, white16: bool) -> Image.Image:
    # Mode "I" holds 32 bits; the formats of `white16` only ever fill 16 of them.
    if image.mode.startswith("I;16") or (image.mode == "I" and white16):
        grey = np.asarray(image).astype(np.float64) / 257  # 65535 is white
        image = Image.fromarray(np.round(grey).clip(0, 255).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise DataError(
            f"an image of 32-bit values (mode {image.mode!r}) has no known white; save it with 8 or 16 bits"
        )
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return image.convert("RGB")

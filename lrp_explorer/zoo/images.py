"""Open a picture that somebody gave us: bounded in size before it is decoded, upright, RGB."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lrp_explorer.errors import DataError
from lrp_explorer.zoo import intensities, tiff

PIXEL_LIMIT = 50_000_000
"""Most pixels an image may declare; 50 megapixels decode to 150 MB."""

ASPECT_LIMIT = 30
"""Longest over shortest side; resizing the shortest side of a mere line would blow it up without bound."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Raster formats that are decoded; none of them can run a program, as EPS or PDF would."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""File names that count as images in a folder."""


def open_image(source: str | os.PathLike[str] | bytes, stretch: bool = False) -> Image.Image:
    """Open an image file or its bytes as an upright RGB picture.

    The EXIF orientation is applied, transparency is laid on white, and of an animation the first frame is taken. Grey
    of 16 bits is scaled to 8: black is 0, or −32768 where the file says that values are signed, and white the greatest
    value that 16 bits can have; TIFF files in which zero is white are inverted at any depth. A warning tells when a
    picture uses so little of its 16 bits that it is nearly uniform, and when a TIFF file has more than one page.

    Parameters
    ----------
    source : str, PathLike or bytes
        A path, or the content of a file such as an upload.
    stretch : bool
        For grey of 16 or 32 bits: make the least value black and the greatest white, as for 12-bit data in a 16-bit
        file.

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
        told, content = _read(source, name)
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS) as image:
            _check_size(image, name)
            _tell_pages(image, name)
            return _rgb(ImageOps.exif_transpose(image), name, _known(image, told), told, stretch)
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


def _read(source: str | os.PathLike[str] | bytes, name: str) -> tuple[tiff.Samples | None, Any]:
    """Give what to open: a TIFF file's content, since it may have to be read in another way; else the source."""
    if isinstance(source, bytes):
        return tiff.samples(source)
    with Path(source).open("rb") as file:
        if file.read(4) not in tiff.ORDERS:
            return None, source
        if (size := os.fstat(file.fileno()).st_size) > 8 * PIXEL_LIMIT:
            raise DataError(_too_large(name, f"a file of {size / 1e6:.0f} MB"))
        file.seek(0)
        return tiff.samples(file.read())


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


def _tell_pages(image: Image.Image, name: str) -> None:
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if pages > 1:
        warnings.warn(f"{name} has {pages} pages; the first is taken", UserWarning, stacklevel=3)


def _known(image: Image.Image, told: tiff.Samples | None) -> tuple[int, int] | None:
    """Give black and white of more than 8 bits, as far as the format tells."""
    if told is not None and told.bits == 16:
        return (-32768, 32767) if told.signed else intensities.SIXTEEN
    if told is not None and told.bits == 12:
        return (0, 4095)
    # Mode "I" holds 32 bits; these formats only ever fill 16 of them.
    return intensities.SIXTEEN if image.format in ("PNG", "PPM") else None


def _rgb(
    image: Image.Image, name: str, known: tuple[int, int] | None, told: tiff.Samples | None, stretch: bool
) -> Image.Image:
    image = intensities.eight_bits(image, name, known, stretch)
    if told is not None and told.signed and told.bits == 8 and image.mode == "L":
        # Pillow reads signed bytes as unsigned ones.
        image = Image.fromarray(np.asarray(image) ^ np.uint8(128))
    if told is not None and told.white_is_zero:
        image = ImageOps.invert(image)
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return image.convert("RGB")

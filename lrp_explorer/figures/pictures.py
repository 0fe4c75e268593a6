"""A picture as Plotly shows it: one PNG in a data address instead of a million numbers."""

from __future__ import annotations

import base64
import io

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from lrp_explorer.errors import InputError


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Bring a picture to `(height, width, 3)` bytes.

    Parameters
    ----------
    image : ndarray of uint8
        Shape `(height, width)`, `(height, width, 1)` or `(height, width, 3)`, values 0 to 255.

    Raises
    ------
    InputError
        If shape or type is another one.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise InputError(f"a picture of type {image.dtype} was given; expected uint8 with values 0 to 255")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape:
        raise InputError(
            f"a picture of shape {image.shape} was given; expected (height, width), (height, width, 1) or "
            "(height, width, 3), each at least 1"
        )
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def as_address(image: np.ndarray) -> str:
    """Write a picture as a `data:image/png` address; see `as_rgb` for what is accepted."""
    stream = io.BytesIO()
    Image.fromarray(as_rgb(image)).save(stream, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def trace(image: np.ndarray, **options: object) -> go.Image:
    """Build the trace of a picture with its pixel values on hover; `options` are those of `go.Image`."""
    return go.Image(
        source=as_address(image),
        hovertemplate="row %{y}, column %{x}<br>red, green, blue %{z}<extra></extra>",
        **options,
    )

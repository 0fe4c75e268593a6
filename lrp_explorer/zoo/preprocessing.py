"""From a picture to the tensor a model takes, and back to the picture as the model sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lrp_explorer.errors import InputError
from lrp_explorer.zoo.intensities import eight_bits


class Preprocessing(Protocol):
    """What a data set needs of a model: both directions between picture and tensor."""

    def __call__(self, image: Image.Image) -> Tensor:
        """Give the tensor `(channels, height, width)`, float32."""
        ...

    def to_image(self, example: Tensor) -> np.ndarray:
        """Give the picture of a tensor `(channels, height, width)`: uint8 `(height, width)` or `(height, width, 3)`."""
        ...


@dataclass(frozen=True)
class Unit:
    """A picture with values in [0, 1], black 0 and white 1, nothing subtracted or divided.

    Another shape is cropped to its central part of the same proportions and resized. Colours become grey for one
    channel, nothing is inverted: models of digits expect white ink on black, as MNIST has it.

    Parameters
    ----------
    height, width : int
        Of the tensor, in pixels.
    channels : int
        1 for grey, 3 for RGB.
    """

    height: int = 28
    width: int = 28
    channels: int = 1

    def __call__(self, image: Image.Image) -> Tensor:
        """Give the tensor `(channels, height, width)` in [0, 1]."""
        image = eight_bits(image, "the picture").convert("L" if self.channels == 1 else "RGB")
        if image.size != (self.width, self.height):
            image = ImageOps.fit(image, (self.width, self.height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image, dtype=np.float32)) / 255
        return pixels[None] if self.channels == 1 else pixels.permute(2, 0, 1).contiguous()

    def batch(self, pictures: np.ndarray) -> Tensor | None:
        """Give the tensors of many pictures at once, to the bit as one by one; None where they have to be converted.

        Parameters
        ----------
        pictures : numpy.ndarray
            uint8 `(examples, height, width)`, or with a last axis of 3 colours.

        Returns
        -------
        Tensor or None
            `(examples, channels, height, width)` in [0, 1].
        """
        expected = (self.height, self.width) if self.channels == 1 else (self.height, self.width, 3)
        if pictures.shape[1:] != expected or type(self).__call__ is not Unit.__call__:
            return None
        values = torch.from_numpy(pictures.astype(np.float32)).div_(255)
        return values[:, None] if self.channels == 1 else values.permute(0, 3, 1, 2).contiguous()

    def to_image(self, example: Tensor) -> np.ndarray:
        """Give the picture of a tensor in [0, 1]."""
        return picture(example)


@dataclass(frozen=True)
class Normalised:
    """The published preprocessing of a model: resize, central crop, subtract a mean, divide by a deviation.

    Parameters
    ----------
    transform : callable
        From an RGB picture to its tensor, as published with the weights.
    mean, std : tuple of float
        Of each channel, for values in [0, 1]; they undo the normalisation for display.
    """

    transform: Callable[[Image.Image], Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        """Give the tensor `(3, height, width)` in model units."""
        return self.transform(eight_bits(image, "the picture").convert("RGB"))

    def to_image(self, example: Tensor) -> np.ndarray:
        """Give the picture of a tensor in model units."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return picture(example.detach().float().cpu() * std + mean)


def picture(example: Tensor) -> np.ndarray:
    """Turn values in [0, 1] into a picture; values beyond are clipped.

    Parameters
    ----------
    example : Tensor
        `(1, height, width)` or `(3, height, width)`.

    Returns
    -------
    numpy.ndarray
        uint8, `(height, width)` or `(height, width, 3)`.

    Raises
    ------
    InputError
        If the tensor has another shape.
    """
    if example.ndim != 3 or example.shape[0] not in (1, 3):
        raise InputError(
            f"a tensor of shape {tuple(example.shape)} is no picture; expected (1, height, width) or (3, height, "
            "width). Of a batch, pass one example"
        )
    values = (example.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return values[0].numpy() if len(values) == 1 else values.permute(1, 2, 0).contiguous().numpy()

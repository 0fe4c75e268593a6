"""What is known of a model before its weights are loaded: classes, preprocessing, bounds, licence, source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class ModelCard:
    """Everything that must travel with a model's weights.

    Attributes
    ----------
    name : str
        The name under which `load_model` knows it.
    title : str
        The name for a reader.
    classes : tuple of str
        Class names by index of the output, as published; ImageNet's are not all distinct.
    input_shape : tuple of int
        Of one example: `(channels, height, width)`.
    mean, std : tuple of float
        Of each channel: what preprocessing subtracts and then divides by; zeros and ones where nothing is done.
    low, high : tuple of float
        Of each channel: the least and greatest value a preprocessed picture can have (the box of the zB rule).
    preprocess : callable
        From a PIL image to the model's float32 tensor `(channels, height, width)`.
    to_image : callable
        From such a tensor back to the picture as the model sees it: uint8 `(height, width)` or `(height, width, 3)`.
    datasets : tuple of str
        Names of the data sets that fit the model; the first is the default.
    licence, source : str
        Terms of the weights, and where they come from.
    accuracy : float or None
        Share of test examples that are classified correctly, in [0, 1]; None where it is unknown.
    notes : str
        One or two sentences more.
    """

    name: str
    title: str
    classes: tuple[str, ...] = field(repr=False)
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    preprocess: Callable[[Image.Image], Tensor] = field(repr=False)
    to_image: Callable[[Tensor], np.ndarray] = field(repr=False)
    datasets: tuple[str, ...]
    licence: str
    source: str
    accuracy: float | None
    notes: str

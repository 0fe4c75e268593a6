"""One example as a model takes it: a tensor, whatever it was given as."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrp_explorer.errors import DataError, LrpError


def is_picture(value: object) -> bool:
    """Whether this is a picture of Pillow, which is not imported for it."""
    pillow: Any = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def as_tensor(value: Any, index: int, card: Any, dtype: torch.dtype | None) -> Tensor:
    """Give one example as a tensor of floating-point numbers.

    Parameters
    ----------
    value : Tensor, ndarray or PIL picture
        An array of floats is taken as it is; a picture, or an array of uint8 `(height, width)` or
        `(height, width, 3)`, is preprocessed by the model's card.
    index : int
        Of the example, for the messages.
    card : ModelCard or None
        Of the model.
    dtype : torch.dtype or None
        Of the model's weights: that of arrays and pictures; tensors are taken as they are.

    Raises
    ------
    DataError
        If it is something else, or if there is no preprocessing for it.
    """
    if isinstance(value, Tensor):
        if not value.dtype.is_floating_point:
            raise _unscaled(index, f"a tensor of {value.dtype} {tuple(value.shape)}", "x.float() / 255")
        return value.detach()
    if is_picture(value):
        what = f"a PIL picture (mode {value.mode}, {value.width} × {value.height} pixels)"
        return _preprocessed(value, index, what, card, dtype)
    if not isinstance(value, np.ndarray):
        raise DataError(
            f"example {index} of the data set is a {type(value).__name__}; expected a tensor, an array or a PIL "
            "picture, or (one of these, label)"
        )
    what = f"an array of {value.dtype} {value.shape}"
    if value.dtype.kind == "f":
        # A copy: what a result remembers does not change with the array.
        return torch.from_numpy(np.array(value)).to(dtype or torch.get_default_dtype())
    if value.dtype == np.uint8 and card is not None and (value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 3)):
        from PIL import Image

        return _preprocessed(Image.fromarray(value), index, what, card, dtype)
    raise _unscaled(index, what, "x.astype('float32') / 255")


def _unscaled(index: int, what: str, spelled: str) -> DataError:
    return DataError(
        f"example {index} of the data set is {what}; expected floating-point numbers, preprocessed as for the model's "
        f"training (values in [0, 1]: {spelled}), or, for a model with a card, PIL pictures"
    )


def _preprocessed(picture: Any, index: int, what: str, card: Any, dtype: torch.dtype | None) -> Tensor:
    if card is None:
        raise DataError(
            f"example {index} of the data set is {what}, and the model has no card that says how pictures are "
            "preprocessed; expected a tensor: give the data set its transform, e.g. torchvision.transforms.ToTensor() "
            "and the Normalize of the model's training"
        )
    try:
        tensor: Tensor = card.preprocess(picture)
    except LrpError as error:
        raise DataError(f"example {index} of the data set is {what}: {error}") from error
    except Exception as error:
        raise DataError(
            f"example {index} of the data set is {what}, which the preprocessing of {card.name!r} does not take "
            f"({type(error).__name__}: {error})"
        ) from error
    return tensor.to(dtype) if dtype is not None else tensor

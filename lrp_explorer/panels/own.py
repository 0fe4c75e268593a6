"""The user's own data in the shape that panels read: examples, labels, class names, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from lrp_explorer.own_data import Given


@runtime_checkable
class Source(Protocol):
    """What panels need of a data set; those of the zoo have it by nature."""

    @property
    def name(self) -> str:
        """Give the name shown."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Give the names of the classes, none where they are unknown."""
        ...

    def __len__(self) -> int:
        """Count the examples."""
        ...

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int | None]:
        """Give an example `(channels, height, width)` as the model takes it, and its label."""
        ...

    def image(self, index: int) -> np.ndarray:
        """Give the picture as the model sees it: uint8, `(height, width)` or `(height, width, 3)`."""
        ...


class OwnData(Given):
    """The user's own data, with pictures of its examples.

    Parameters
    ----------
    data : data set, DataLoader, Tensor, ndarray, sequence or pair
        As `lrp_explorer.own_data.Given` takes it.
    """

    name = "your data"

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.name = OwnData.name

    def image(self, index: int) -> np.ndarray:
        """Give the data set's own picture if it has one; else the example itself, its range stretched to 0…255.

        A picture that the model's card has preprocessed is shown as the model sees it.
        """
        if hasattr(self._data, "image"):
            return np.asarray(self._data.image(index))
        seen = self.pictured(index)
        return stretched(self[index][0].float().cpu().numpy()) if seen is None else seen


def stretched(example: np.ndarray) -> np.ndarray:
    """Make a picture of an example `(height, width)` or `(channels, height, width)`: least black, greatest white.

    One and three channels are shown as they are, any other number as its mean.
    """
    if example.ndim == 3:
        example = example.transpose(1, 2, 0) if example.shape[0] in (1, 3) else example.mean(axis=0)
    low, high = float(example.min()), float(example.max())
    return np.round((example - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)

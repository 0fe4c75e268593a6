"""The user's own data in the shape that panels read: examples, labels, class names, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from lrp_explorer.errors import DataError


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


class OwnData:
    """A data set, a tensor batch, or a pair (batch, labels) of the user.

    Parameters
    ----------
    data : torch Dataset, sequence, Tensor or pair
        A map-style data set whose items are a tensor or (tensor, label, …); a tensor `(batch, ...)`; or
        `(tensor (batch, ...), labels (batch,))`. Already preprocessed for the model.

    Raises
    ------
    DataError
        If it is empty, has no length, or is something else.
    """

    name = "your data"

    def __init__(self, data: Any) -> None:
        self._labels: Any = None
        if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, torch.Tensor) for part in data):
            data, self._labels = data
            if len(data) != len(self._labels):
                raise DataError(f"{len(data)} examples and {len(self._labels)} labels were given; expected as many")
        if isinstance(data, torch.Tensor) and data.ndim < 2:
            raise DataError(f"a tensor of shape {tuple(data.shape)} was given; expected (batch, ...), e.g. x[None]")
        if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise DataError(
                f"data is a {type(data).__name__}; expected a data set with a length and items, a tensor "
                "(batch, ...) or (tensor, labels). Collect an iterable data set into a list first"
            )
        if len(data) == 0:
            raise DataError("the data is empty; give at least one example")
        self._data: Any = data
        self.classes: tuple[str, ...] = tuple(str(name) for name in getattr(data, "classes", ()))

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int | None]:
        item, label = self._data[index], None if self._labels is None else self._labels[index]
        if isinstance(item, (tuple, list)):
            item, label = item[0], (item[1] if len(item) > 1 else label)
        if not isinstance(item, torch.Tensor):
            raise DataError(
                f"example {index} of your data is a {type(item).__name__}; expected a tensor, or (tensor, label): "
                "give the data set the model's preprocessing as its transform"
            )
        return item.detach(), _as_label(label)

    def image(self, index: int) -> np.ndarray:
        """Give the data set's own picture if it has one; else the example itself, its range stretched to 0…255."""
        if hasattr(self._data, "image"):
            return np.asarray(self._data.image(index))
        return stretched(self[index][0].float().cpu().numpy())


def stretched(example: np.ndarray) -> np.ndarray:
    """Make a picture of an example `(height, width)` or `(channels, height, width)`: least black, greatest white.

    One and three channels are shown as they are, any other number as its mean.
    """
    if example.ndim == 3:
        example = example.transpose(1, 2, 0) if example.shape[0] in (1, 3) else example.mean(axis=0)
    low, high = float(example.min()), float(example.max())
    return np.round((example - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)


def _as_label(label: Any) -> int | None:
    if isinstance(label, (int, np.integer)):
        return int(label)
    if isinstance(label, (torch.Tensor, np.ndarray)) and np.prod(tuple(label.shape)) == 1:
        return int(label.item())
    return None

"""Examples of a data set: pictures and labels, and the tensors a model reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lrp_explorer.errors import InputError
from lrp_explorer.own_data import UNLABELLED as UNLABELLED


class Examples(Protocol):
    """Where pictures and labels come from."""

    @property
    def labels(self) -> tuple[int, ...]:
        """Index into `classes` of each example, or `UNLABELLED`."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty where there are none."""
        ...

    def picture(self, index: int) -> Image.Image:
        """Give the picture of one example as it was recorded."""
        ...

    def caption(self, index: int) -> str:
        """Name one example for a reader."""
        ...


@dataclass(frozen=True)
class Pixels:
    """Pictures in memory: uint8 `(examples, height, width)` or `(examples, height, width, 3)`."""

    values: np.ndarray
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def picture(self, index: int) -> Image.Image:
        """Give the picture of one example, grey or RGB."""
        return Image.fromarray(self.values[index])

    def pixels(self, indices: Sequence[int]) -> np.ndarray:
        """Give the pictures of several examples, uint8 as in `values`."""
        return self.values[np.asarray(indices, int)]

    def caption(self, index: int) -> str:
        """Give the number and the class."""
        return f"{index}: {self.classes[self.labels[index]]}"


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Examples as a model reads them: `data[i]` is `(tensor (channels, height, width), label)`, float32.

    Parameters
    ----------
    name : str
        The name under which it was loaded.
    examples : Examples
        Pictures and labels.
    preprocess : callable
        From a picture to the tensor of the model that is to read it.
    to_image : callable
        From such a tensor back to the picture as the model sees it.

    Attributes
    ----------
    classes : tuple of str
        Class names by label; empty where no example has a label.
    labels : list of int
        All labels, without decoding a picture; `UNLABELLED` (−1) where the class is not known.
    """

    def __init__(
        self,
        name: str,
        examples: Examples,
        preprocess: Callable[[Image.Image], Tensor],
        to_image: Callable[[Tensor], np.ndarray],
    ) -> None:
        self.name = name
        self.classes = examples.classes
        self.labels = list(examples.labels)
        self.examples = examples
        self._preprocess, self._to_image = preprocess, to_image

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise InputError(f"example {index!r} ({type(index).__name__}) is asked for, but a whole number is expected")
        label = self.labels[index]  # ends an iteration with the IndexError it needs
        return self._preprocess(self.examples.picture(index)), label

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Read several examples at once, as PyTorch's loaders ask for: equal to the bit to one after the other."""
        tensors = self._at_once(indices)
        if tensors is None:
            return [self[index] for index in indices]
        return list(zip(tensors.unbind(), [self.labels[index] for index in indices], strict=True))

    def stacked(self, indices: Sequence[int]) -> Tensor | None:
        """Give the tensors of several examples `(examples, channels, height, width)`; None if they only come singly."""
        # A subclass that reads several in another way is read in that way.
        return self._at_once(indices) if type(self).__getitems__ is ImageDataset.__getitems__ else None

    def _at_once(self, indices: Sequence[int]) -> Tensor | None:
        pixels: Any = getattr(self.examples, "pixels", None)
        batch: Any = getattr(self._preprocess, "batch", None)
        # A subclass that reads an example in another way reads several in that way, too.
        own = type(self).__getitem__ is ImageDataset.__getitem__
        return batch(pixels(indices)) if own and pixels and batch else None

    def image(self, index: int) -> np.ndarray:
        """Give the picture as the model sees it: uint8 `(height, width)` or `(height, width, 3)`."""
        return self._to_image(self[index][0])

    def caption(self, index: int) -> str:
        """Name one example for a reader: its file, or its number and class."""
        return self.examples.caption(index)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self)} examples, {len(self.classes)} classes)"

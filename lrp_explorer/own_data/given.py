"""What users give as data: examples and labels, read by index whatever holds them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lrp_explorer.errors import DataError, InputError, LrpError
from lrp_explorer.own_data.labels import class_index, listed, names
from lrp_explorer.own_data.loaders import Loader
from lrp_explorer.own_data.tensors import as_tensor, is_picture

EXPECTED = (
    "expected a data set with a length and items, len(data) and data[i] = (tensor, label), a DataLoader of one, a "
    "tensor or an array (batch, ...), a list of tensors, arrays or PIL pictures, or a pair (examples, labels). Collect "
    "an iterable data set into a list first"
)


class Given:
    """Data of the user: ``len(data)`` examples ``data[i]`` of (tensor, class index).

    Parameters
    ----------
    data : data set, DataLoader, Tensor, ndarray, sequence or pair
        A map-style data set whose items are an example or (example, label, …); a `DataLoader` of one, whose data set
        is read in its own order, see `lrp_explorer.own_data.loaders`; a tensor or an array `(batch, ...)`; a sequence
        of examples; or a pair (examples, labels) with labels as tensor, array or list. An example is a tensor, an
        array, or a PIL picture.

    Attributes
    ----------
    name : str
        Its own name, or what it is.
    classes : tuple of str
        Names of the classes by index; empty where it tells none.

    Raises
    ------
    DataError
        If it is empty, has no length, or is something else.
    """

    def __init__(self, data: Any) -> None:
        self._card: Any = None
        self._dtype: torch.dtype | None = None
        self._labels: Any = None
        self.name = _name(data)
        pair = _pair(data)
        if pair is not None:
            data, self._labels = pair
            if len(data) != len(self._labels):
                raise DataError(f"{len(data)} examples and {len(self._labels)} labels were given; expected as many")
        self._data: Any = _checked(Loader.of(data))
        self.classes = names(data)

    def __len__(self) -> int:
        return len(self._data)

    def fitted(self, card: Any, dtype: torch.dtype | None) -> Self:
        """Give the same data for a model: pictures by its card's preprocessing, arrays in the dtype of its weights."""
        made = copy.copy(self)
        made._card, made._dtype = card, dtype
        return made

    def __getitem__(self, index: int) -> tuple[Tensor, int | None]:
        """Give an example, and its label; None if it comes without."""
        if not 0 <= index < len(self):
            raise IndexError(f"the data has {len(self)} examples; there is none with the index {index}")
        try:
            item = self._data[index]
        except LrpError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"example {index} of the data set cannot be read ({reason})") from error
        return self._example(item, index)

    def _example(self, item: Any, index: int) -> tuple[Tensor, int | None]:
        example, labels = self._parts(item, index)
        tensor = as_tensor(example, index, self._card, self._dtype)
        return tensor, class_index(labels[0], index, self.classes) if labels else None

    def _parts(self, item: Any, index: int) -> tuple[Any, Sequence[Any]]:
        """Take an item apart: the example, and its label, if there is one, at the head of the rest."""
        own = [] if self._labels is None else [self._labels[index]]
        if isinstance(item, (tuple, list)) and item:
            return item[0], own or item[1:]
        return item, own

    def read(self, indices: Sequence[int]) -> list[tuple[Tensor, int | None]]:
        """Read examples; several at once where the data set can (``__getitems__``, as PyTorch's loaders ask for).

        Raises
        ------
        DataError
            If an example is no tensor with a label, or cannot be read; the message names its index.
        """
        if not hasattr(self._data, "__getitems__"):
            return [self[index] for index in indices]
        try:
            items = list(self._data.__getitems__(list(indices)))
        except LrpError:
            raise
        except Exception as error:
            # One by one, the example at fault is found.
            for index in indices:
                self[index]
            raise DataError(
                f"examples {min(indices)} to {max(indices)} of the data set can be read one by one, but not by its "
                f"__getitems__ ({type(error).__name__}: {error}); mend that, or remove it"
            ) from error
        if len(items) != len(indices):
            raise DataError(f"__getitems__ of the data set gave {len(items)} examples for {len(indices)} indices")
        return [self._example(item, index) for item, index in zip(items, indices, strict=True)]

    def stacked(self, indices: Sequence[int]) -> Tensor | None:
        """Give several examples ``(batch, ...)`` at once where they lie in one tensor; else None."""
        data = self._data
        whole = isinstance(data, Tensor) and data.dtype.is_floating_point and data.layout is torch.strided
        return data[torch.as_tensor(list(indices))].detach() if whole else None

    def listed(self) -> list[int] | None:
        """Give the labels of all examples where they are known without reading these; else None.

        Raises
        ------
        DataError
            If a label is no class index; the message names its index.
        """
        found = self._labels if self._labels is not None else listed(self._data)
        if found is None:
            return None
        plain = found.tolist() if isinstance(found, (Tensor, np.ndarray)) else list(found)
        limit = len(self.classes) or 2**63
        # Most lists are as they should be, and long.
        if all(type(label) is int for label in plain) and min(plain) >= -1 and max(plain) < limit:
            return plain
        return [class_index(label, index, self.classes) for index, label in enumerate(plain)]

    def pictured(self, index: int) -> np.ndarray | None:
        """Give an example that was given as a picture as the model sees it, uint8; None for any other."""
        if self._card is None:
            return None
        example = self._parts(self._data[index], index)[0]
        drawn = is_picture(example) or (isinstance(example, np.ndarray) and example.dtype == np.uint8)
        return np.asarray(self._card.to_image(self[index][0])) if drawn else None


def batch(data: Any, model: nn.Module) -> Tensor:
    """Give all examples of what a user gave in one tensor ``(batch, ...)``; a tensor is given back as it is.

    Raises
    ------
    InputError
        If it is no data, or if an example cannot be read or differs in shape from the first; named by its index.
    """
    if isinstance(data, Tensor):
        return data
    dtype = next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), None)
    try:
        given = Given(data).fitted(getattr(model, "card", None), dtype)
        return stack([tensor for tensor, _ in given.read(range(len(given)))], range(len(given)))
    except DataError as error:
        raise InputError(f"x is a {type(data).__name__}: {error}") from error


def stack(examples: Sequence[Tensor], indices: Sequence[int]) -> Tensor:
    """Join examples, or raise `DataError` with the index of the first that differs in shape."""
    try:
        return torch.stack(list(examples))
    except RuntimeError:
        for example, index in zip(examples, indices, strict=True):
            if example.shape != examples[0].shape:
                raise DataError(
                    f"example {index} has shape {tuple(example.shape)}, but example {indices[0]} has "
                    f"{tuple(examples[0].shape)}; expected one shape: crop or resize while preprocessing"
                ) from None
        raise


def _name(data: Any) -> str:
    if isinstance(data, DataLoader):
        data = data.dataset
    plain = isinstance(data, (Tensor, np.ndarray, list, tuple)) and type(data).__name__ in (
        "Tensor", "ndarray", "list", "tuple",
    )  # fmt: skip
    name = getattr(data, "name", None)
    return name if isinstance(name, str) else "your data" if plain or is_picture(data) else type(data).__name__


def _pair(data: Any) -> tuple[Any, Any] | None:
    """Tell a pair (examples, labels) from two examples."""
    if type(data) not in (tuple, list) or len(data) != 2:
        return None
    first, second = data
    examples = isinstance(first, (Tensor, np.ndarray)) and first.ndim >= 2
    if isinstance(first, (list, tuple)) and first:
        examples = isinstance(first[0], (Tensor, np.ndarray)) or is_picture(first[0])
        # (tensor, label) is an example, and the first of two.
        examples = examples and all(isinstance(one, type(first[0])) or is_picture(one) for one in first)
    if not examples or not isinstance(second, (Tensor, np.ndarray, list, tuple)):
        return None
    if type(data) is tuple:
        return (first, second)
    # A list, as loaders give their batches; two examples have the same number of axes.
    flat = isinstance(second, (Tensor, np.ndarray)) and second.ndim <= min(2, getattr(first, "ndim", 3) - 1)
    return (first, second) if flat else None


def _checked(data: Any) -> Any:
    if is_picture(data):
        return [data]
    if isinstance(data, (Tensor, np.ndarray)) and data.ndim < 2:
        kind = "a tensor" if isinstance(data, Tensor) else "an array"
        raise DataError(f"{kind} of shape {tuple(data.shape)} was given; expected (batch, ...), e.g. x[None]")
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__") or isinstance(data, (str, bytes, dict)):
        raise DataError(f"the data is a {type(data).__name__}; {EXPECTED}")
    if not len(data):
        raise DataError("the data is empty; give at least one example")
    return data

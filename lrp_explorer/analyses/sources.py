"""Where model and data come from: named or given, so that another process can have the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer import zoo
from lrp_explorer.engine.memory import exhausted
from lrp_explorer.errors import DataError, InputError, LrpError, ModelError
from lrp_explorer.own_data import Given
from lrp_explorer.own_data.given import stack


@dataclass(frozen=True)
class ModelSource:
    """A model by its name in the zoo, or the module itself.

    Attributes
    ----------
    name : str
        A name for a reader; where there is no module, one of `lrp_explorer.zoo.models()`.
    weights : str or None
        A file of weights instead of the published ones.
    module : nn.Module or None
        The model itself; it travels to other processes as it is.
    """

    name: str
    weights: str | None = None
    module: nn.Module | None = None

    @staticmethod
    def of(model: object, weights: str | os.PathLike[str] | None = None) -> ModelSource:
        """Understand what the user gave."""
        if isinstance(model, str):
            # Another process may stand in another folder.
            path = None if weights is None else str(Path(weights).expanduser().resolve())
            return ModelSource(model, path)
        if not isinstance(model, nn.Module):
            raise ModelError(f"the model is a {type(model).__name__}; expected a torch.nn.Module or a name of the zoo")
        if weights is not None:
            raise InputError(
                f"weights is {weights!r}, but they are for a model by name; this one is a module and has its weights "
                "already: leave them out, or give the name of the zoo"
            )
        card = getattr(model, "card", None)
        return ModelSource(card.name if isinstance(card, zoo.ModelCard) else type(model).__name__, None, model)

    def load(self) -> nn.Module:
        """Give the model."""
        return self.module if self.module is not None else zoo.load_model(self.name, self.weights)


@dataclass(frozen=True)
class DataSource:
    """A data set by its name in the zoo, or itself.

    Attributes
    ----------
    name : str
        A name for a reader; where nothing is given, one that `lrp_explorer.zoo.load_dataset` knows.
    split : str
        Of a data set by name.
    given : Given, ImageDataset or None
        The user's data as it is read, or one of the zoo that was loaded before.
    """

    name: str
    split: str = ""
    given: Any = None

    @staticmethod
    def of(data: object, split: str) -> DataSource:
        """Understand what the user gave."""
        if isinstance(data, str):
            return DataSource(data, split)
        given = data if isinstance(data, zoo.ImageDataset) else reader(data)
        return DataSource(given.name, "", given)

    def load(self, model: nn.Module) -> Any:
        """Give the data set, preprocessed for the model if it is one of the zoo, or of pictures."""
        card = getattr(model, "card", None)
        if isinstance(self.given, Given):
            return self.given.fitted(card, next((p.dtype for p in model.parameters() if p.is_floating_point()), None))
        return self.given if self.given is not None else zoo.load_dataset(self.name, self.split, card=card)


def reader(data: Any) -> Given:
    """Read a data set, the zoo's or the user's, example by example."""
    return data if isinstance(data, Given) else Given(data)


def class_names(data: Any) -> tuple[str, ...]:
    """Names of a data set's classes by index; empty where it tells none."""
    return reader(data).classes


def labels(data: Any, check: Callable[[], None]) -> list[int]:
    """Tell every example's label, `zoo.UNLABELLED` where there is none.

    Data sets that list their labels are not read for it; see `lrp_explorer.own_data.labels.listed`.

    Raises
    ------
    DataError
        If a label is missing or no class index, or an example cannot be read; the message names its index.
    """
    given = reader(data)
    known = given.listed()
    if known is not None:
        return known
    found = []
    for index in range(len(given)):
        check()
        tensor, label = given[index]
        if label is None:
            raise DataError(
                f"example {index} of the data set is a {type(tensor).__name__} without a label; expected (tensor, int "
                "label), a pair (examples, labels), or target='prediction', which folds each into its predicted class"
            )
        found.append(label)
    return found


def read(data: Any, indices: Sequence[int]) -> list[tuple[Tensor, int | None]]:
    """Read examples and their labels; see `lrp_explorer.own_data.Given.read`."""
    return reader(data).read(indices)


def batch_of(data: Any, indices: Sequence[int], dtype: torch.dtype | None) -> Tensor:
    """Read a batch ``(batch, ...)``, in the dtype of the model's weights.

    Data sets of the zoo give it whole where they can (`zoo.ImageDataset.stacked`); others by examples.

    Raises
    ------
    DataError
        If an example cannot be read, or differs in shape from the others; the message names its index.
    """
    x = _whole(data, indices)
    if x is None:
        x = stack([tensor for tensor, _ in read(data, indices)], indices)
    return x.to(dtype) if dtype is not None and x.dtype.is_floating_point else x


def quick(data: Any) -> bool:
    """Whether examples lie in memory, ready to be taken whole batches at a time."""
    return len(data) > 0 and _whole(data, [0]) is not None


def _whole(data: Any, indices: Sequence[int]) -> Tensor | None:
    # Others may have an attribute of that name, which means something else.
    if not isinstance(data, (zoo.ImageDataset, Given)):
        return None
    try:
        x: Any = data.stacked(indices)
    except Exception as error:
        if isinstance(error, LrpError) or exhausted(error):
            raise
        # One by one, the example at fault is found.
        return None
    return x if isinstance(x, Tensor) and len(x) == len(indices) else None

"""Where model and data come from: named or given, so that another process can have the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrp_explorer import zoo
from lrp_explorer.engine.memory import exhausted
from lrp_explorer.errors import DataError, InputError, LrpError, ModelError

LARGEST = 2**63 - 1
"""Label that can be kept in 64 bits."""


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
            raise InputError("weights are for a model by name; this one is a module and has its weights already")
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
    given : data set or None
        ``len(data)`` examples ``data[i]`` of (preprocessed tensor, int label).
    """

    name: str
    split: str = ""
    given: Any = None

    @staticmethod
    def of(data: object, split: str) -> DataSource:
        """Understand what the user gave."""
        if isinstance(data, str):
            return DataSource(data, split)
        if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise DataError(
                f"the data set is a {type(data).__name__}; expected a name of the zoo, or a torch Dataset with "
                "len(data) and data[i] = (tensor, label)"
            )
        return DataSource(str(getattr(data, "name", type(data).__name__)), "", data)

    def load(self, model: nn.Module) -> Any:
        """Give the data set, preprocessed for the model if it is one of the zoo."""
        if self.given is not None:
            return self.given
        return zoo.load_dataset(self.name, self.split, card=getattr(model, "card", None))


def class_names(data: Any) -> tuple[str, ...]:
    """Names of a data set's classes by index; empty where it tells none."""
    return tuple(str(name) for name in getattr(data, "classes", None) or ())


def labels(data: Any, check: Callable[[], None]) -> list[int]:
    """Tell every example's label, `zoo.UNLABELLED` where there is none.

    Data sets that list their labels (``labels``, or ``targets`` as torchvision's do) are not read for it.

    Raises
    ------
    DataError
        If a label is no class index, or an example cannot be read; the message names its index.
    """
    for name in ("labels", "targets"):
        listed = getattr(data, name, None)
        if isinstance(listed, (Sequence, np.ndarray, Tensor)) and len(listed) == len(data):
            plain = list(listed) if isinstance(listed, Sequence) else listed.tolist()
            whole = all(type(label) is int for label in plain)
            if whole and min(plain, default=0) >= zoo.UNLABELLED and max(plain, default=0) <= LARGEST:
                return plain
            return [_label(label, index) for index, label in enumerate(plain)]
    found = []
    for index in range(len(data)):
        check()
        found.append(read(data, [index])[0][1])
    return found


def read(data: Any, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
    """Read examples; several at once where the data set can (``__getitems__``, as PyTorch's loaders ask for).

    Raises
    ------
    DataError
        If an example is not (tensor, label), or cannot be read; the message names its index.
    """
    if not hasattr(data, "__getitems__"):
        return [_one(data, index) for index in indices]
    try:
        examples = list(data.__getitems__(list(indices)))
    except LrpError:
        raise
    except Exception as error:
        # One by one, the example at fault is found.
        for index in indices:
            _one(data, index)
        raise DataError(
            f"examples {min(indices)} to {max(indices)} of the data set can be read one by one, but not by its "
            f"__getitems__ ({type(error).__name__}: {error}); mend that, or remove it"
        ) from error
    if len(examples) != len(indices):
        raise DataError(f"__getitems__ of the data set gave {len(examples)} examples for {len(indices)} indices")
    return [_checked(example, index) for example, index in zip(examples, indices, strict=True)]


def _one(data: Any, index: int) -> tuple[Tensor, int]:
    try:
        example = data[index]
    except LrpError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"example {index} of the data set cannot be read ({reason})") from error
    return _checked(example, index)


def _checked(example: Any, index: int) -> tuple[Tensor, int]:
    if not isinstance(example, (tuple, list)) or len(example) != 2 or not isinstance(example[0], Tensor):
        kind = type(example).__name__
        raise DataError(f"example {index} of the data set is a {kind}; expected (preprocessed tensor, int label)")
    return example[0], _label(example[1], index)


def _label(label: Any, index: int) -> int:
    if type(label) is int and zoo.UNLABELLED <= label <= LARGEST:
        return label
    try:
        found = int(label)
        if bool(found == label) and zoo.UNLABELLED <= found <= LARGEST:
            return found
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass
    raise DataError(
        f"example {index} has the label {label!r}; expected a class index, or {zoo.UNLABELLED} for no class"
    )


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
        x = _stack([tensor for tensor, _ in read(data, indices)], indices)
    return x.to(dtype) if dtype is not None and x.dtype.is_floating_point else x


def quick(data: Any) -> bool:
    """Whether examples lie in memory, ready to be taken whole batches at a time."""
    return len(data) > 0 and _whole(data, [0]) is not None


def _whole(data: Any, indices: Sequence[int]) -> Tensor | None:
    # Others may have an attribute of that name, which means something else.
    if not isinstance(data, zoo.ImageDataset):
        return None
    try:
        x: Any = data.stacked(indices)
    except Exception as error:
        if isinstance(error, LrpError) or exhausted(error):
            raise
        # One by one, the example at fault is found.
        return None
    return x if isinstance(x, Tensor) and len(x) == len(indices) else None


def _stack(examples: Sequence[Tensor], indices: Sequence[int]) -> Tensor:
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

"""Labels in the forms that data sets give them: whole numbers, however they are wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from lrp_explorer.errors import DataError

UNLABELLED = -1
"""Label of an example whose class is not known; it is an index into nothing."""

LARGEST = 2**63 - 1
"""Label that can be kept in 64 bits."""


def class_index(label: Any, index: int, classes: Sequence[str] = ()) -> int:
    """Understand the label of one example: a whole number, or a tensor or an array of one.

    Parameters
    ----------
    label : object
        As the data set gives it.
    index : int
        Of the example, for the message.
    classes : sequence of str, optional
        Names of the classes; a label beyond them is refused.

    Raises
    ------
    DataError
        If it is no class index, and not `UNLABELLED`.
    """
    value = _single(label)
    found = value if type(value) is int else _whole(value)
    if found is None or not UNLABELLED <= found <= LARGEST:
        count = int(np.prod(tuple(label.shape))) if isinstance(label, (Tensor, np.ndarray)) else 1
        several = f". Of {count} labels one has to be chosen, of one-hot labels by argmax()" if count > 1 else ""
        raise DataError(
            f"example {index} has the label {label!r}; expected a class index, or {UNLABELLED} for no class{several}"
        )
    if classes and found >= len(classes):
        raise DataError(
            f"example {index} has the label {found}, but the data set names {len(classes)} classes; expected 0 to "
            f"{len(classes) - 1}, or {UNLABELLED} for no class"
        )
    return found


def _single(label: Any) -> Any:
    """Take the one element out of a tensor, an array or a list."""
    if isinstance(label, (Tensor, np.ndarray)):
        return label.item() if tuple(label.shape) in ((), (1,)) else label
    if isinstance(label, (list, tuple)) and len(label) == 1:
        return _single(label[0])
    return label


def _whole(value: Any) -> int | None:
    try:
        found = int(value)
        return found if bool(found == value) else None
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def listed(data: Any) -> list[Any] | None:
    """Give the labels that a data set lists without reading its examples; None where it lists none.

    They are under ``labels``, or under ``targets`` as torchvision's data sets have them; a data set that changes them
    when an example is read (``target_transform``) is not believed.
    """
    if getattr(data, "target_transform", None) is not None:
        return None
    for name in ("labels", "targets"):
        found = getattr(data, name, None)
        if isinstance(found, (Sequence, np.ndarray, Tensor)) and len(found) == len(data):
            return list(found) if isinstance(found, Sequence) else found.tolist()
    return None


def names(data: Any) -> tuple[str, ...]:
    """Give the names of a data set's classes by index; empty where it tells none.

    They are under ``classes``, in MedMNIST's data sets under ``info["label"]``; a subset has those of the whole.
    """
    while not hasattr(data, "classes") and hasattr(data, "dataset"):
        data = data.dataset
    found = getattr(data, "classes", None)
    info = getattr(data, "info", None)
    if found is None and isinstance(info, dict) and isinstance(info.get("label"), dict):
        by_index = {str(index): name for index, name in info["label"].items()}
        wanted = [str(index) for index in range(len(by_index))]
        found = [by_index[index] for index in wanted] if set(wanted) == set(by_index) else None
    return tuple(str(name) for name in found) if isinstance(found, (Sequence, np.ndarray)) else ()

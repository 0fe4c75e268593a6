"""One example of a data set, opened for a model: as the model takes it, and as a reader sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lrp_explorer.errors import Cancelled, InputError
from lrp_explorer.figures import probabilities
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.explanation import Example
from lrp_explorer.panels.own import Source

Topic = tuple[str, str, int]
"""Model, data set, example."""


@dataclass(frozen=True)
class Opened:
    """An example and what it was opened with.

    Attributes
    ----------
    model : nn.Module
        The model.
    card : ModelCard or None
        What the zoo knows of it.
    data : Source
        The data set.
    index : int
        Of the example.
    tensor : Tensor
        The example `(channels, height, width)` as the model takes it.
    label : int or None
        Its label; negative or None where it has none.
    """

    model: nn.Module
    card: Any
    data: Source
    index: int
    tensor: torch.Tensor
    label: int | None

    def described(self, classes: int) -> Example:
        """Describe it to a reader, for a model that tells so many classes apart."""
        known = self.label is not None and self.label >= 0
        caption = getattr(self.data, "caption", None)
        owners = (self.card, self.model, self.data)
        names = [tuple(map(str, getattr(owner, "classes", None) or ())) for owner in owners]
        return Example(
            picture=self.data.image(self.index) if self.tensor.ndim in (2, 3) else None,
            label=probabilities.class_name(self.data.classes, int(self.label or 0)) if known else "",
            caption="" if caption is None else caption(self.index),
            count=len(self.data),
            classes=next((found for found in names if len(found) == classes), ()),
        )


def opened(catalogue: Catalogue, topic: Topic, stale: Callable[[], bool]) -> Opened:
    """Open an example.

    Raises
    ------
    Cancelled
        As soon as `stale()` says that nobody waits for it any more.
    InputError
        If the data set has no such example.
    """
    name, source, index = topic
    model = catalogue.open_model(name)
    go_on(stale)
    data = catalogue.open_data(source, name)
    if not 0 <= index < len(data):
        raise InputError(f"example {index} was asked for; {data.name} has 0 to {len(data) - 1}")
    tensor, label = data[index]
    go_on(stale)
    return Opened(model, catalogue.card(name), data, index, tensor, label)


def go_on(stale: Callable[[], bool]) -> None:
    """Raise `Cancelled` if nobody waits for the answer any more."""
    if stale():
        raise Cancelled("a newer request has come")

"""What can be picked: the zoo's models and data sets, and the user's own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import nn

from lrp_explorer import zoo
from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.panels.own import OwnData, Source
from lrp_explorer.zoo import ModelCard
from lrp_explorer.zoo.datasets import FOLDER

T = TypeVar("T")

FIRST_MODEL = "digits-cnn"
"""Small, shipped, and with both kinds of layer that the rules tell apart."""

KEPT_MODELS = 3
KEPT_DATA = 6


class Kept:
    """A small store of the things used last, safe to be asked from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._things: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what is kept under `key`, or make it, dropping what was used longest ago."""
        with self._lock:
            if key not in self._things:
                made = make()
                while len(self._things) >= self._size:
                    self._things.popitem(last=False)
                self._things[key] = made
            self._things.move_to_end(key)
            return self._things[key]


class Catalogue:
    """Models and data sets by name, loaded when first asked for.

    Parameters
    ----------
    model : str or nn.Module, optional
        A name of the zoo, or a model of one's own; `FIRST_MODEL` otherwise.
    data : str, data set, DataLoader, Tensor, ndarray, sequence or pair, optional
        A name of the zoo (also `folder:PATH`), or data of one's own as `lrp_explorer.own_data.Given` takes it; the
        model's own data set otherwise.

    Raises
    ------
    UnknownNameError
        If a name is not in the zoo.
    InputError
        If the model is neither a name nor a module, or is one's own and comes without data.
    """

    def __init__(self, model: str | nn.Module | None = None, data: Any = None) -> None:
        self._own_model = model if isinstance(model, nn.Module) else None
        self._own_data = None if data is None or isinstance(data, str) else OwnData(data)
        self._named_data = data if isinstance(data, str) else None
        if self._named_data is not None and not self._named_data.startswith(FOLDER) and data not in zoo.datasets():
            raise unknown_name("data set", data, zoo.datasets(), "Images of your own: folder:PATH, or a tensor.")
        self._models = Kept(KEPT_MODELS)
        self._data = Kept(KEPT_DATA)
        if model is not None and self._own_model is None and not isinstance(model, str):
            raise InputError(f"model is a {type(model).__name__}; expected a torch.nn.Module or a name of lrp.models()")
        if self._own_model is not None and data is None and self.card(str(self.own_name)) is None:
            raise InputError("a model of your own needs data: pass a data set, a tensor (batch, ...) or a name, too")
        self.first_model = model if isinstance(model, str) else self.own_name or FIRST_MODEL
        if self.first_model not in self.models():
            raise unknown_name("model", self.first_model, self.models())

    @property
    def first_data(self) -> str:
        """Name of the data set to begin with."""
        return self.datasets(self.first_model)[0]

    def check_example(self, example: int) -> None:
        """Raise `InputError` if the user's own data has no such example; others are not loaded for it."""
        own = self._own_data
        if own is not None and not 0 <= example < len(own):
            raise InputError(f"example is {example!r}, but your data has examples 0 to {len(own) - 1}")

    @property
    def own_name(self) -> str | None:
        """The name under which the user's model is listed."""
        if self._own_model is None:
            return None
        card = getattr(self._own_model, "card", None)
        return f"{card.name if card else type(self._own_model).__name__} (yours)"

    def models(self) -> list[str]:
        """Names of the models, the user's own first."""
        return [self.own_name, *zoo.models()] if self.own_name else zoo.models()

    def datasets(self, model: str) -> list[str]:
        """Names of the data sets that fit a model, the one to begin with first."""
        given = [OwnData.name] if self._own_data is not None else [self._named_data] if self._named_data else []
        card = self.card(model)
        fitting = card.datasets if card else ()
        return given + [name for name in fitting if name not in given]

    def card(self, model: str) -> ModelCard | None:
        """Give the model's card, None for a model that the zoo knows nothing of; loads no weights."""
        if model == self.own_name:
            # Loaded from the zoo with weights of the user's, it brings its card along.
            return getattr(self._own_model, "card", None)
        return zoo.model_card(model)

    def open_model(self, model: str) -> nn.Module:
        """Give the model, loading it if need be."""
        if model == self.own_name and self._own_model is not None:
            return self._own_model
        return self._models.get(model, lambda: zoo.load_model(model))

    def open_data(self, data: str, model: str) -> Source:
        """Give the data set, preprocessed as the model wants it."""
        own = self._own_data
        if data == OwnData.name and own is not None:
            return self._data.get((data, model), lambda: own.fitted(self.card(model), self._dtype(model)))
        return self._data.get((data, model), lambda: zoo.load_dataset(data, card=self.card(model)))

    def _dtype(self, model: str) -> torch.dtype | None:
        own = self._own_model if model == self.own_name else None
        return None if own is None else next((p.dtype for p in own.parameters() if p.is_floating_point()), None)

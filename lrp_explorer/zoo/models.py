"""Models by name: our own, then TorchVision's; each with its card, its weights and its bounds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from lrp_explorer.registry import Registry
from lrp_explorer.zoo.cards import ModelCard
from lrp_explorer.zoo.checkpoints import read_state
from lrp_explorer.zoo.matching import load_into
from lrp_explorer.zoo.shipped import SHIPPED
from lrp_explorer.zoo.torchvision_models import NAMES, TorchvisionModel

RANDOM = "random"


class Entry(Protocol):
    """What the registry holds: a model that can be described, built and given weights."""

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        ...

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        ...

    def card(self, weights: Path | None = None) -> ModelCard:
        """Describe the model as it is with these weights (None: the published ones)."""
        ...

    def build(self, weights: Path | None) -> nn.Module:
        """Build the network for these weights (None: to be used as it is initialised)."""
        ...

    def fetch(self) -> Path:
        """Provide the file of the published weights."""
        ...

    def adapt(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Bring a state dict to today's names."""
        ...


_REGISTRY = Registry[Entry]("model")
for _model in (*SHIPPED, *map(TorchvisionModel, NAMES)):
    _REGISTRY.register(_model.name, _model)


def models() -> list[str]:
    """Name every model, our own first; the very first needs nothing but this package.

    Examples
    --------
    >>> from lrp_explorer import zoo
    >>> zoo.models()[:2]
    ['digits-cnn', 'digits-mlp']
    """
    return _REGISTRY.names()


@cache
def model_card(name: str) -> ModelCard:
    """Tell everything about a model that can be known without loading its weights.

    Parameters
    ----------
    name : str
        One of `models()`.

    Raises
    ------
    UnknownNameError
        If there is no such model; the message suggests the nearest names.
    """
    return _REGISTRY.get(name).card()


def load_model(name: str, weights: str | os.PathLike[str] | None = None) -> nn.Module:
    """Load a classifier, ready to be explained.

    Parameters
    ----------
    name : str
        One of `models()`.
    weights : str or PathLike, optional
        None: the published weights, shipped with this package or downloaded at first use.
        A path: a local checkpoint, `.pt` or `.pth` (a state dict) or `.safetensors`; its preprocessing is that of the
        published weights of the same file name, else of the default ones.
        `"random"`: a fresh initialisation from torch's global generator (`torch.manual_seed` makes it reproducible).

    Returns
    -------
    nn.Module
        In evaluation mode, float32, on the CPU, from `(batch, channels, height, width)` to logits `(batch, classes)`.
        `model.card` is its `ModelCard`; `model.input_bounds` is `(low, high)`, tuples with a value for each channel.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    WeightsError
        If the weights are missing and cannot be downloaded, are unsafe or damaged, or belong to another model.
    """
    entry = _REGISTRY.get(name)
    path = entry.fetch() if weights is None else None if weights == RANDOM else Path(weights).expanduser()
    state = read_state(path) if path else None
    model = entry.build(path)
    if path and state is not None:
        load_into(model, entry.adapt(state), name, path.name, _with_parameters)
    card = entry.card(path)
    if weights is not None:
        origin = f"local file {path.name}" if path else "random initialisation"
        card = dataclasses.replace(card, source=origin, accuracy=None, notes=f"The {card.title} network, {origin}.")
    # Past nn.Module's own __setattr__, which is typed for tensors and modules only.
    vars(model).update(card=card, input_bounds=(card.low, card.high))
    return model.eval()


def _with_parameters(count: int) -> list[str]:
    return [name for name in _REGISTRY if _REGISTRY.get(name).parameters == count]

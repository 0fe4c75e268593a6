"""Models by name: our own, then TorchVision's; each with its card, its weights and its bounds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from lrp_explorer.errors import InputError, WeightsError
from lrp_explorer.registry import Registry
from lrp_explorer.zoo.cards import ModelCard
from lrp_explorer.zoo.checkpoints import read_parts
from lrp_explorer.zoo.matching import load_into
from lrp_explorer.zoo.shipped import SHIPPED
from lrp_explorer.zoo.state_dicts import Part, chosen
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


def load_model(name: str, weights: str | os.PathLike[str] | None = None, part: str | None = None) -> nn.Module:
    """Load a classifier, ready to be explained.

    Parameters
    ----------
    name : str
        One of `models()`.
    weights : str or PathLike, optional
        None: the published weights, shipped with this package or downloaded at first use.
        A path: a local checkpoint, of whatever file name, as `torch.save` or safetensors write it: a state dict, or
        what a training saved, in which the state dict is found and prefixes of its names are taken off. Its
        preprocessing is that of the published weights of the same file name, else of the default ones.
        `"random"`: a fresh initialisation from torch's global generator (`torch.manual_seed` makes it reproducible).
    part : str, optional
        Which of several sets of weights in a checkpoint to take, such as `"ema"`; None: the model's own. What was taken
        is told in `model.card.source`.

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
    InputError
        If `part` is given without a local file.
    """
    entry = _REGISTRY.get(name)
    if weights is not None and (not isinstance(weights, (str, os.PathLike)) or not str(weights)):
        raise WeightsError(
            f"weights is {weights!r} ({type(weights).__name__}), but the path of a file is expected, 'random', or None "
            "for the published weights"
        )
    origin = "random initialisation"
    if part is not None and weights in (None, RANDOM):
        raise InputError(f"part is {part!r}, which names a part of a local file; give its path as weights, or no part")
    # Whatever surrounds the call, the weights are ordinary tensors on the CPU.
    with torch.inference_mode(False), torch.device("cpu"):
        path = entry.fetch() if weights is None else None if weights == RANDOM else Path(weights).expanduser()
        found = read_parts(path) if path else []
        model = entry.build(path)
        if path:
            taken = chosen(found, model.state_dict(), entry.adapt, name, path.name, part)
            load_into(model, taken, name, path.name, _with_parameters)
            origin = f"local file {path.name}{_told(taken)}"
    card = entry.card(path)
    if weights is not None:
        card = dataclasses.replace(card, source=origin, accuracy=None, notes=f"The {card.title} network, {origin}.")
    # Past nn.Module's own __setattr__, which is typed for tensors and modules only.
    vars(model).update(card=card, input_bounds=(card.low, card.high))
    return model.eval()


def _told(taken: Part) -> str:
    if not taken.left_out:
        return f", {taken.name}" if taken.name else ""
    return f", {taken.name}, without {len(taken.left_out)} other tensors, {taken.left_out[0]} the first"


def _with_parameters(count: int) -> list[str]:
    return [name for name in _REGISTRY if _REGISTRY.get(name).parameters == count]

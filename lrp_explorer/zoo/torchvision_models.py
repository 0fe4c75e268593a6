"""TorchVision's classification models, with the preprocessing and the classes published beside their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from lrp_explorer.errors import WeightsError
from lrp_explorer.zoo.cards import ModelCard
from lrp_explorer.zoo.preprocessing import Normalised

LICENCE = "BSD-3-Clause (TorchVision); the weights may carry terms of ImageNet, on which they were trained"

FORMER_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # heads of GoogLeNet and Inception that only training uses


@cache
def names() -> tuple[str, ...]:
    """Name every classification model: those of TorchVision's `models` module itself, not of its sub-modules."""
    from torchvision import models

    return tuple(models.list_models(module=models))


@dataclass(frozen=True)
class TorchvisionModel:
    """A classification model of TorchVision.

    Attributes
    ----------
    name : str
        TorchVision's own.
    """

    name: str

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, as published."""
        return self._published(None).meta["num_params"]

    def card(self, weights: Path | None = None) -> ModelCard:
        """Give the card of the default weights, or of the published ones that have the name of the file."""
        published = self._published(weights)
        preprocessing = _preprocessing(published)
        mean, std = preprocessing.mean, preprocessing.std
        side = published.transforms().crop_size[0]
        terms = published.meta.get("license")
        metrics = published.meta["_metrics"]["ImageNet-1K"]
        return ModelCard(
            name=self.name,
            title=f"{published.__class__.__name__.removesuffix('_Weights')} (ImageNet)",
            classes=tuple(published.meta["categories"]),
            input_shape=(3, side, side),
            mean=mean,
            std=std,
            low=tuple((0 - m) / s for m, s in zip(mean, std, strict=True)),
            high=tuple((1 - m) / s for m, s in zip(mean, std, strict=True)),
            preprocess=preprocessing,
            to_image=preprocessing.to_image,
            datasets=("photographs",),
            licence=f"CC-BY-NC 4.0, see {terms}" if terms else LICENCE,
            source=f"TorchVision {published.name}, {_file(published)}; {published.meta['recipe']}",
            accuracy=metrics["acc@1"] / 100,
            notes=f"{' '.join(published.meta['_docs'].split())} {published.meta['_file_size']:.0f} MB.",
        )

    def build(self, weights: Path | None) -> nn.Module:
        """Give the network, freshly initialised, in the shape that the weights file will need."""
        from torchvision import models

        options: dict[str, Any] = {}
        published = self._published(weights)
        if self.name.startswith("vit_"):
            options["image_size"] = published.meta["min_size"][0]
        if self.name in ("googlenet", "inception_v3"):
            # Published weights expect the input transformation; the auxiliary heads do nothing in evaluation.
            options = {"transform_input": True, "aux_logits": False, "init_weights": weights is None}
        return models.get_model(self.name, weights=None, num_classes=len(published.meta["categories"]), **options)

    def fetch(self) -> Path:
        """Give the default weights' file in PyTorch's hub folder, downloading it with progress at first use."""
        published = self._published(None)
        file = _file(published)
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        path = folder / file
        if path.is_file():
            return path
        known_hash = re.search(r"-([a-f0-9]{8,})\.", file)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(published.url, str(path), known_hash[1] if known_hash else None)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"the weights of {self.name!r} are not on this machine and could not be downloaded ({error}). Missing: "
                f"{file} ({published.meta['_file_size']:.0f} MB) from {urlparse(published.url).hostname}. Put that "
                f"file into {folder}, or pass weights=PATH of a local copy"
            ) from error
        return path

    def adapt(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Give the state dict in today's names, without the heads that only training uses."""
        if self.name.startswith("densenet"):
            return {FORMER_DENSENET.sub(r"\1\2.", key): value for key, value in state.items()}
        if self.name in ("googlenet", "inception_v3"):
            return {key: value for key, value in state.items() if not key.startswith(AUXILIARY)}
        return state

    def _published(self, weights: Path | None) -> Any:
        from torchvision import models

        enum = models.get_model_weights(self.name)
        named = [entry for entry in enum if weights is not None and _file(entry) == weights.name]
        return named[0] if named else enum["DEFAULT"]


def standard_preprocessing() -> Normalised:
    """Give what most ImageNet models share, AlexNet's: side 256, central 224, ImageNet's mean and deviation."""
    return _preprocessing(TorchvisionModel("alexnet")._published(None))


def _preprocessing(published: Any) -> Normalised:
    transform = published.transforms()
    return Normalised(transform, tuple(transform.mean), tuple(transform.std))


def _file(published: Any) -> str:
    return Path(urlparse(published.url).path).name

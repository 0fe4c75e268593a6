"""TorchVision's classification models, with the preprocessing and the classes published beside their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from lrp_explorer.errors import WeightsError
from lrp_explorer.zoo.cards import ModelCard
from lrp_explorer.zoo.preprocessing import Normalised

LICENCE = "BSD-3-Clause (TorchVision); the weights may carry terms of ImageNet, on which they were trained"

NAMES = tuple(
    """
    alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169 densenet201
    efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
    efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
    mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf
    regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf
    regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34
    resnet50 resnext101_32x8d resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
    shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn
    vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2
    wide_resnet50_2
    """.split()
)
"""All its classification models, those of its `models` module itself; listed here, since importing it takes seconds."""

FORMER_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # heads of GoogLeNet and Inception that only training uses


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

"""A small network of every family of torchvision's classifiers: the family's own blocks, few of them and narrow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import torch
from oracles.families import awake, image
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
from torchvision.models.maxvit import MaxVit
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.shufflenetv2 import ShuffleNetV2
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from torchvision.models.vision_transformer import VisionTransformer

CLASSES = 7
# torchvision gives these modules' names to functions too.
densenet, googlenet, inception, mnasnet = (
    import_module(f"torchvision.models.{name}") for name in ("densenet", "googlenet", "inception", "mnasnet")
)


def _narrow(block: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """A convolution of a quarter of the channels, those of the input aside."""
    return lambda inputs, outputs, **rest: block(inputs if inputs == 3 else inputs // 4, outputs // 4, **rest)


def googlenet_small() -> nn.Module:
    conv = _narrow(googlenet.BasicConv2d)
    blocks = [conv, partial(googlenet.Inception, conv_block=conv), googlenet.InceptionAux]
    model = googlenet.GoogLeNet(CLASSES, aux_logits=False, init_weights=False, blocks=blocks)
    model.fc = nn.Linear(256, CLASSES)
    return model


def inception_small() -> nn.Module:
    conv = _narrow(inception.BasicConv2d)
    blocks = [partial(getattr(inception, f"Inception{kind}"), conv_block=conv) for kind in "ABCDE"]
    blocks = [conv, *blocks, inception.InceptionAux]
    model = inception.Inception3(CLASSES, aux_logits=False, init_weights=False, inception_blocks=blocks)
    model.fc = nn.Linear(512, CLASSES)
    return model


def mobilenet_v3_small() -> nn.Module:
    rows = [(8, 3, 8, 8, True, "RE", 2, 1, 1.0), (8, 5, 24, 12, True, "HS", 2, 1, 1.0)]
    rows += [(12, 5, 36, 12, True, "HS", 1, 1, 1.0), (12, 3, 36, 12, False, "RE", 1, 1, 1.0)]
    return MobileNetV3([InvertedResidualConfig(*row) for row in rows], 40, num_classes=CLASSES)


def regnet_small(squeeze: float | None) -> nn.Module:
    parameters = BlockParams([1, 2, 1, 1], [16, 24, 32, 40], [8, 8, 8, 8], [1.0] * 4, [2, 2, 2, 2], squeeze)
    return RegNet(parameters, num_classes=CLASSES, stem_width=8)


def efficientnet_small() -> nn.Module:
    rows = [MBConvConfig(1, 3, 1, 8, 8, 1), MBConvConfig(6, 5, 2, 8, 16, 2), MBConvConfig(6, 3, 1, 16, 24, 1)]
    return EfficientNet(rows, 0.2, num_classes=CLASSES)


def efficientnet_v2_small() -> nn.Module:
    rows = [FusedMBConvConfig(1, 3, 1, 8, 8, 1), FusedMBConvConfig(4, 3, 2, 8, 16, 2), MBConvConfig(4, 3, 2, 16, 24, 2)]
    return EfficientNet(rows, 0.2, num_classes=CLASSES, last_channel=64)


def convnext_small() -> nn.Module:
    rows = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 1)]
    return ConvNeXt(rows, layer_scale=0.5, num_classes=CLASSES)


def swin_small(**options: Any) -> nn.Module:
    # Windows smaller than the image, so that the second block of each pair shifts and masks them.
    return SwinTransformer([4, 4], 12, [2, 2], [2, 4], [4, 4], num_classes=CLASSES, **options)


# Name → how to build it, and the edge of its input.
SMALL: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "ResNet": (lambda: ResNet(BasicBlock, [1, 1, 1, 1], CLASSES), 32),
    "ResNeXt": (lambda: ResNet(Bottleneck, [1, 1, 1, 1], CLASSES, groups=4, width_per_group=4), 32),
    "Wide ResNet": (lambda: ResNet(Bottleneck, [1, 1, 1, 1], CLASSES, width_per_group=32), 32),
    "DenseNet": (lambda: densenet.DenseNet(8, (2, 3, 2, 2), 16, num_classes=CLASSES), 32),
    "GoogLeNet": (googlenet_small, 48),
    "Inception v3": (inception_small, 80),
    "ShuffleNet v2": (lambda: ShuffleNetV2([2, 2, 2], [8, 16, 24, 32, 48], CLASSES), 32),
    "MobileNet v2": (
        lambda: MobileNetV2(CLASSES, 0.25, [[1, 16, 1, 1], [6, 32, 2, 2], [6, 64, 2, 2], [6, 96, 1, 1]]),
        32,
    ),
    "MobileNet v3": (mobilenet_v3_small, 32),
    "MNASNet": (lambda: mnasnet.MNASNet(0.1, CLASSES), 32),
    "RegNet X": (lambda: regnet_small(None), 32),
    "RegNet Y": (lambda: regnet_small(0.25), 32),
    "EfficientNet": (efficientnet_small, 32),
    "EfficientNet v2": (efficientnet_v2_small, 32),
    "ConvNeXt": (convnext_small, 32),
    "ViT": (lambda: VisionTransformer(32, 8, 2, 3, 24, 48, num_classes=CLASSES), 32),
    "Swin": (swin_small, 32),
    "Swin v2": (lambda: swin_small(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2), 32),
    "MaxViT": (lambda: MaxVit((64, 64), 16, 4, [16, 32], [1, 1], 8, 0.2, num_classes=CLASSES), 64),
}


def small(name: str) -> tuple[nn.Module, Tensor]:
    """Build a network of the family called `name`, and two images for it."""
    build, edge = SMALL[name]
    # Some modules draw weights of their own, position biases for one.
    torch.manual_seed(0)
    return awake(build()), image(edge)

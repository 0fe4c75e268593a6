"""The Explain panel on every family of torchvision's classifiers, small: each layer shown, each sum the engine's."""

import typing
from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.maxvit import MaxVit
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.regnet import BlockParams
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2
from torchvision.models.vgg import make_layers

import lrp_explorer as lrp
from lrp_explorer.panels.explain import ExplainPanel
from lrp_explorer.panels.own import OwnData
from lrp_explorer.panels.state import ExplainState

# As it is before a test watches it.
RELEVANCE = lrp.Session.relevance

CLASSES = 5
EDGE = 64
# Its layers would have no pixel left of fewer.
LARGER = {"inception": 80}


def headed(build, features):
    """Give it a small head: the published one has up to a hundred million weights, which take a second to draw."""
    with torch.device("meta"):
        net = build()
        net.classifier = nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, CLASSES))
    net.to_empty(device="cpu")
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.reset_parameters()
    return net


def resnet(block, **options):
    return models.ResNet(block, [1, 1, 1, 1], CLASSES, **options)


def regnet(squeezed):
    return models.RegNet(BlockParams([1, 1], [16, 32], [8, 8], [1.0, 1.0], [2, 2], se_ratio=squeezed), CLASSES)


def efficientnet(*blocks, **options):
    return models.EfficientNet(blocks, 0.0, num_classes=CLASSES, last_channel=32, **options)


def swin(window, **options):
    return models.SwinTransformer([8, 8], 8, [2], [2], [window, window], num_classes=CLASSES, **options)


FAMILIES = {
    "alexnet": lambda: headed(models.AlexNet, 256 * 36),
    "convnext": lambda: models.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=CLASSES),
    "densenet": lambda: models.DenseNet(8, (2, 1), 16, num_classes=CLASSES),
    "efficientnet": lambda: efficientnet(MBConvConfig(4, 3, 2, 16, 16, 1, 1.0, 1.0)),
    "efficientnet_v2": lambda: efficientnet(
        FusedMBConvConfig(2, 3, 1, 16, 16, 1), norm_layer=partial(nn.BatchNorm2d, eps=1e-3)
    ),
    "googlenet": lambda: models.GoogLeNet(CLASSES, aux_logits=False, init_weights=False),
    "inception": lambda: models.Inception3(CLASSES, aux_logits=False, init_weights=False),
    "maxvit": lambda: MaxVit((EDGE, EDGE), 8, 8, [16], [1], 8, 0.2, num_classes=CLASSES),
    "mnasnet": lambda: models.MNASNet(0.1, CLASSES),
    "mobilenet_v2": lambda: models.MobileNetV2(CLASSES, 0.25, [[1, 16, 1, 1], [6, 24, 1, 2]]),
    "mobilenet_v3": lambda: models.MobileNetV3(
        [InvertedResidualConfig(16, 3, 16, 16, True, "HS", 2, 1, 1.0)], 16, CLASSES
    ),
    "regnet_x": lambda: regnet(None),
    "regnet_y": lambda: regnet(0.25),
    "resnet": lambda: resnet(BasicBlock),
    "resnext": lambda: resnet(Bottleneck, groups=4, width_per_group=4),
    "shufflenet": lambda: models.ShuffleNetV2([2, 1, 1], [8, 16, 32, 64, 32], CLASSES),
    "squeezenet": lambda: models.SqueezeNet("1_1", CLASSES),
    # Every second block shifts its windows, where there are several.
    "swin": lambda: swin(4),
    "swin_v2": lambda: swin(8, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2),
    "vgg": lambda: headed(lambda: models.VGG(make_layers([8, "M", 8, "M"]), init_weights=False), 8 * 49),
    "vit": lambda: models.VisionTransformer(EDGE, 32, 1, 2, 16, 32, num_classes=CLASSES),
    "wide_resnet": lambda: resnet(Bottleneck, width_per_group=80),
}


class Shelf:
    """A catalogue of them all, with one picture."""

    picture = torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(0))

    def models(self):
        return list(FAMILIES)

    def datasets(self, model):
        return [OwnData.name]

    def card(self, model):
        return None

    def open_data(self, data, model):
        edge = LARGER.get(model, EDGE)
        return OwnData(self.picture[..., :edge, :edge])

    def open_model(self, name):
        torch.manual_seed(0)
        return FAMILIES[name]().eval()


@pytest.fixture(scope="module")
def panel():
    made = ExplainPanel(Shelf(), ExplainState(model="vgg", data=OwnData.name, composite="epsilon-plus"), device="cpu")
    made.unfold()
    yield made
    made.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family(panel, family, monkeypatch):
    answers = []

    def watched(*args, **kwargs):
        answers.append(RELEVANCE(*args, **kwargs))
        return answers[-1]

    monkeypatch.setattr(lrp.Session, "relevance", watched)
    panel.state.model = family
    assert panel.wait(60)
    assert panel.errors.message == ""
    shown, relevance = panel.stage._shown, answers[-1]
    assert [layer.name for layer in shown.layers] == relevance.layers
    for layer, total in zip(shown.layers, shown.sums.sums, strict=True):
        whole = relevance[layer.name].double()
        # To single precision, in which the channels of a layer are summed.
        assert total == pytest.approx(float(whole.sum()), abs=1e-5 * float(whole.abs().sum()) + 1e-12), layer.name
        assert torch.Size(layer.shape).numel() == whole.numel()
    panel.state.layer = shown.layers[len(shown.layers) // 2].name
    assert panel.errors.message == ""


def test_the_families_are_all_there_are():
    names = models.list_models(module=models)
    assert len(names) > 70
    with torch.device("meta"):
        made = {type(build()) for family, build in FAMILIES.items() if family not in ("alexnet", "vgg")}
    made |= {models.AlexNet, models.VGG}
    assert {typing.get_type_hints(models.get_model_builder(name))["return"] for name in names} == made

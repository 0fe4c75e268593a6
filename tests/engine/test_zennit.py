"""The five named composites against zennit, in float64, on networks of the VGG, AlexNet and SqueezeNet types."""

from functools import cache

import pytest
import torch
from oracles.by_zennit import COMPOSITES, HIGH, LOW, awake, by_zennit, image
from torch import nn
from torchvision.models.alexnet import AlexNet
from torchvision.models.squeezenet import SqueezeNet
from torchvision.models.vgg import VGG, cfgs, make_layers

import lrp_explorer as lrp

TOLERANCE = 1e-10


def vgg(layout, batch_norm=False):
    """VGG of the published depth, each layer a quarter as wide."""
    layers = [width if width == "M" else width // 4 for width in cfgs[layout]]
    with torch.device("meta"):
        model = VGG(make_layers(layers, batch_norm), num_classes=10)
        model.classifier = nn.Sequential(
            nn.Linear(128 * 49, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 32), nn.ReLU(True), nn.Linear(32, 10)
        )
    return model


def alexnet():
    with torch.device("meta"):
        model = AlexNet(num_classes=10)
        model.classifier = nn.Sequential(nn.Dropout(), nn.Linear(256 * 36, 48), nn.ReLU(True), nn.Linear(48, 10))
    return model


def squeezenet():
    with torch.device("meta"):
        return SqueezeNet("1_1", num_classes=10)


def mlp():
    with torch.device("meta"):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(192, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 10)
        )


MODELS = {
    "mlp": (mlp, 8, "3"),
    "vgg11": (lambda: vgg("A"), 48, "features.10"),
    "vgg16": (lambda: vgg("D"), 48, "features.16"),
    "vgg11_bn": (lambda: vgg("A", batch_norm=True), 48, "features.15"),
    "vgg13_bn": (lambda: vgg("B", batch_norm=True), 48, "features.16"),
    "alexnet": (alexnet, 64, "features.7"),
    "squeezenet1_1": (squeezenet, 64, "features.6.expand3x3_activation"),
}


@cache
def recorded(name):
    build, size, _ = MODELS[name]
    model, x = awake(build()), image(size)
    return model, x, lrp.Session(model, x, device="cpu")


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", MODELS)
def test_the_named_composites_are_those_of_zennit(name, composite):
    model, x, session = recorded(name)
    layer, target = MODELS[name][2], session.logits.argmax(1)
    relevance = session.relevance(target=target, composite=COMPOSITES[composite][0])
    expected = by_zennit(model, x, target, composite, layer)
    for found, wanted in zip([relevance.input, relevance[layer]], expected, strict=True):
        assert wanted.abs().amax(tuple(range(1, wanted.dim()))).min() > 0
        assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


def test_the_names_are_those_of_the_objects():
    assert set(COMPOSITES) <= set(lrp.composites.names())
    for name, (ours, _) in COMPOSITES.items():
        bounds = {"low": LOW, "high": HIGH} if name == "epsilon-gamma-box" else {}
        assert lrp.composites.get(name)(**bounds) == ours


def test_a_name_and_its_object_give_the_same():
    _, _, session = recorded("vgg11")
    by_name = session.relevance(target=1, composite="epsilon-plus-flat").input
    assert torch.equal(by_name, session.relevance(target=1, composite=lrp.composites.EpsilonPlusFlat()).input)

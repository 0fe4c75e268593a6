"""The five named composites against zennit, in float64, on networks of the VGG, AlexNet and SqueezeNet types."""

from contextlib import contextmanager
from functools import cache

import pytest
import torch
from torch import nn
from torchvision.models.alexnet import AlexNet
from torchvision.models.squeezenet import SqueezeNet
from torchvision.models.vgg import VGG, cfgs, make_layers
from zennit import canonizers
from zennit import composites as zennit

import lrp_explorer as lrp

TOLERANCE = 1e-10
LOW, HIGH = (-2.1, -2.0, -1.8), (2.2, 2.4, 2.6)
COMPOSITES = {
    "epsilon-gamma-box": (lrp.composites.EpsilonGammaBox(LOW, HIGH), zennit.EpsilonGammaBox),
    "epsilon-plus": (lrp.composites.EpsilonPlus(), zennit.EpsilonPlus),
    "epsilon-plus-flat": (lrp.composites.EpsilonPlusFlat(), zennit.EpsilonPlusFlat),
    "epsilon-alpha2-beta1": (lrp.composites.EpsilonAlpha2Beta1(), zennit.EpsilonAlpha2Beta1),
    "epsilon-alpha2-beta1-flat": (lrp.composites.EpsilonAlpha2Beta1Flat(), zennit.EpsilonAlpha2Beta1Flat),
}


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
    "alexnet": (alexnet, 64, "features.7"),
    "squeezenet1_1": (squeezenet, 64, "features.6.expand3x3_activation"),
}


def awake(model):
    """Weights under which activations neither fade nor grow, biases and batch norm statistics that count."""
    torch.manual_seed(7)
    model = model.to_empty(device="cpu").double()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            module.num_batches_tracked.zero_()
    return model.eval().requires_grad_(False)


@cache
def recorded(name):
    build, size, _ = MODELS[name]
    model = awake(build())
    x = torch.randn(2, 3, size, size, dtype=torch.float64).clamp(-1.8, 2.2)
    return model, x, lrp.Session(model, x, device="cpu")


@contextmanager
def merged(model, composite):
    """Register zennit's composite, with the batch norms that it merged made exact identities.

    Up to 0.5.1 a merged batch norm keeps its eps and divides by √(1 + eps) once more; later versions set it to 0.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [norm.eps for norm in norms]
    with composite.context(model) as modified:
        for norm in norms:
            norm.eps = 0.0
        try:
            yield modified
        finally:
            for norm, eps in zip(norms, kept, strict=True):
                norm.eps = eps


def by_zennit(model, x, target, composite, layer):
    """Relevance of the input, and of the output neurons of one layer in between."""
    seen = []
    x = x.clone().requires_grad_()
    with merged(model, composite) as modified:
        handle = modified.get_submodule(layer).register_forward_hook(lambda module, a, out: seen.append(out))
        logits = modified(x)
        handle.remove()
        start = torch.zeros_like(logits).scatter(1, target[:, None], logits.detach().gather(1, target[:, None]))
        return torch.autograd.grad(logits, [x, seen[0]], start)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", MODELS)
def test_the_named_composites_are_those_of_zennit(name, composite):
    model, x, session = recorded(name)
    ours, theirs = COMPOSITES[composite]
    low, high = (torch.tensor(bound, dtype=torch.float64).view(1, 3, 1, 1) for bound in (LOW, HIGH))
    bounds = {"low": low, "high": high} if composite == "epsilon-gamma-box" else {}
    theirs = theirs(**bounds, canonizers=[canonizers.SequentialMergeBatchNorm()])
    layer, target = MODELS[name][2], session.logits.argmax(1)
    relevance = session.relevance(target=target, composite=ours)
    expected = by_zennit(model, x, target, theirs, layer)
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

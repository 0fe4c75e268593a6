"""Grad-CAM equals a hand-written one with hooks; which layer it takes, and which it refuses."""

import pytest
import torch
from oracles.by_autograd import grad_cam
from refusals import refused
from torch import nn
from torch.nn import functional as F

from lrp_explorer.baselines import attribute
from lrp_explorer.errors import InputError, ModelError, UnknownNameError


def run(model, x, target=None, **parameters):
    return attribute(model, x, "grad-cam", target, device="cpu", **parameters)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("layer", ["first", "norm", "second"])
def test_the_formula(layer, relu, model, x, target):
    wanted = grad_cam(model, getattr(model, layer), x, target, relu)
    assert (wanted < 0).any() != relu
    found = run(model, x, target, layer=layer, relu=relu)
    torch.testing.assert_close(found[layer], wanted, rtol=1e-10, atol=1e-13)
    grown = F.interpolate(wanted, x.shape[2:], mode="bilinear", align_corners=False).expand_as(x)
    assert found.input.shape == x.shape
    torch.testing.assert_close(found.input, grown, rtol=1e-10, atol=1e-13)
    assert found.layers == ["input", layer]


def test_the_map_before_the_axes_are_flattened_is_the_default(model, x, target):
    # The last convolution's, after its ReLU, which is no module.
    found = run(model, x, target)
    assert found.layers == ["input", "relu"]
    assert found.composite == "GradCAM(layer='relu', relu=True)"
    assert torch.equal(found.input, run(model, x, target, layer="relu").input)


def test_examples_do_not_see_each_other(model, x, target):
    together = run(model, x, target).input
    alone = [run(model, x[i : i + 1], int(target[i])).input for i in range(len(x))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-10, atol=1e-14)


def test_a_convolution_on_a_single_position_is_no_map(x):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 5, 1), nn.Flatten()).double().eval()
    assert run(net, x).layers == ["input", "0"]
    named = run(net, x, layer="2")
    assert named["2"].shape == (3, 1, 1, 1)
    torch.testing.assert_close(named.input, named["2"].expand_as(x), rtol=1e-12, atol=0)


def test_layers_that_are_no_modules(x):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 3, 3, 3))

        def forward(self, x):
            return F.relu(F.conv2d(x, self.weight)).mean((2, 3))

    torch.manual_seed(0)
    net = Functional().double().eval()
    found = run(net, x, 1, relu=False, layer="conv2d")
    value = F.conv2d(x, net.weight)
    wanted = (value * (value > 0).double().mean((2, 3), keepdim=True) / 36)[:, 1:2]
    torch.testing.assert_close(found[found.layers[1]], wanted.detach(), rtol=1e-10, atol=1e-14)


def test_a_module_of_many_operations_stands_for_its_output(x):
    torch.manual_seed(1)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net = nn.Sequential()
    net.add_module("body", body)
    net.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(144, 5)))
    net = net.double().eval()
    found = run(net, x, 2, layer="body")
    wanted = grad_cam(net, body, x, torch.full((3,), 2), True)
    torch.testing.assert_close(found["body"], wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("axes", "kind"), [((12,), nn.Conv1d), ((6, 6, 6), nn.Conv3d)])
def test_sequences_and_volumes(axes, kind):
    torch.manual_seed(1)
    net = nn.Sequential(kind(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.LazyLinear(4)).double().eval()
    x = torch.randn(2, 2, *axes, dtype=torch.float64)
    net(x)
    found = run(net, x, 1, relu=False)
    wanted = grad_cam(net, net[1], x, torch.tensor([1, 1]), False)
    torch.testing.assert_close(found["1"], wanted, rtol=1e-10, atol=1e-13)
    mode = {3: "linear", 5: "trilinear"}[x.dim()]
    torch.testing.assert_close(found.input, F.interpolate(wanted, axes, mode=mode).expand_as(x), rtol=1e-10, atol=1e-13)


def test_other_layers_have_no_map(model, x):
    found = run(model, x)
    with refused(UnknownNameError, "first", "input, relu", "GradCAM", "lrp.explain"):
        found["first"]


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        ("secnd", UnknownNameError, ["secnd", "second"]),
        ("hidden", InputError, ["hidden", r"\(3, 16\)", "convolution"]),
        (3, InputError, ["layer", "3"]),
    ],
)
def test_a_layer_that_cannot_serve(layer, error, words, model, x):
    with refused(error, *words):
        run(model, x, layer=layer)


def test_a_bad_relu(model, x):
    with refused(InputError, "relu", "yes"):
        run(model, x, relu="yes")


def test_a_model_without_convolutions(x):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).double().eval()
    with refused(InputError, "Sequential", "no convolution", "layer="):
        run(net, x)
    with refused(InputError, "Grad-CAM", r"\(3, 192\)"):
        run(net, x.flatten(1))


def test_a_layer_that_the_logit_does_not_depend_on(x):
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.aside = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.used(x).mean((2, 3)) + (self.aside(x) > 0).to(x.dtype).mean((2, 3))

    with refused(ModelError, "aside", "gradient"):
        run(Aside().double().eval(), x, layer="aside")

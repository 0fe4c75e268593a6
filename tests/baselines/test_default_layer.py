"""Grad-CAM's default layer: the last map that everything flows through before the picture's axes go."""

import os

import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn import functional as F
from torchvision import models

from lrp_explorer.baselines import attribute
from lrp_explorer.baselines.grad_cam import outermost
from lrp_explorer.baselines.picture import last_map
from lrp_explorer.errors import InputError
from lrp_explorer.graph import trace

# What torchcam 0.5.0 chooses (torchcam.methods._utils.locate_candidate_layer) at 224 pixels, Inception at 299. It sees
# modules alone: of DenseNet it names the batch norm before the ReLU, which then writes over that tensor in place.
TORCHCAM = {
    "alexnet": "avgpool", "vgg11": "avgpool", "vgg16": "avgpool", "vgg16_bn": "avgpool",
    "squeezenet1_0": "classifier.2", "squeezenet1_1": "classifier.2",
    "resnet18": "layer4", "resnet50": "layer4", "resnext50_32x4d": "layer4", "wide_resnet50_2": "layer4",
    "densenet121": "features", "googlenet": "inception5b", "inception_v3": "Mixed_7c",
    "shufflenet_v2_x0_5": "conv5", "mnasnet0_5": "layers", "mobilenet_v2": "features",
    "mobilenet_v3_small": "features", "mobilenet_v3_large": "features", "efficientnet_b0": "features",
    "efficientnet_v2_s": "features", "convnext_tiny": "features",
    "regnet_x_400mf": "trunk_output", "regnet_y_400mf": "trunk_output", "vit_b_32": "conv_proj", "swin_t": "permute",
    "swin_v2_t": "permute", "maxvit_t": "blocks.3",
}  # fmt: skip
OTHERWISE = {"densenet121": "relu"}
QUICK = ("alexnet", "resnet18")


@pytest.mark.parametrize("family", TORCHCAM)
def test_the_default_is_what_torchcam_chooses(family):
    if family not in QUICK and not os.environ.get("LRP_EXPLORER_ALL_FAMILIES"):
        pytest.skip("tracing takes seconds; set LRP_EXPLORER_ALL_FAMILIES=1 for every family")
    options = {"init_weights": False, "aux_logits": False} if family in ("googlenet", "inception_v3") else {}
    built_at_once = family.startswith(("regnet", "vit", "swin", "maxvit"))
    with torch.device("cpu" if built_at_once else "meta"):
        model = models.get_model(family, weights=None, **options).eval()
        edge = 299 if family == "inception_v3" else 224
        graph = trace(model, torch.empty(2, 3, edge, edge))
    found = last_map(graph)
    assert found == graph.resolve(OTHERWISE.get(family, TORCHCAM[family]))
    assert OTHERWISE.get(family, TORCHCAM[family]).startswith(outermost(graph, found))


class Network(nn.Module):
    """Convolutions to make maps of, and a function of the first one's output that gives the logits."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.squeeze, self.excite, self.head = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1), nn.Linear(4, 3)

    def forward(self, x):
        return self.function(self, self.first(x))


def gated(net, x):
    gate = net.excite(net.squeeze(F.adaptive_avg_pool2d(x, 1)).relu()).sigmoid()
    return net.head((x * gate).mean((2, 3)))


def windows(net, x):
    """Cut into windows and put together again, as attention in windows does; then pooled as a picture."""
    b, c, h, w = x.shape
    cut = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    whole = cut.tanh().permute(0, 3, 1, 4, 2, 5).reshape(b, c, h, w)
    return net.head(F.adaptive_avg_pool2d(whole, 1).flatten(1))


def shuffled(net, x):
    b, c, h, w = x.shape
    moved = x.relu().view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
    return net.head(moved.mean((2, 3)))


NETWORKS = {
    "activation": (lambda net, x: net.head(x.relu().mean((2, 3))), "relu"),
    "sum and its activation": (lambda net, x: net.head((x + net.second(x.relu())).relu().mean((2, 3))), "relu_1"),
    "sum": (lambda net, x: net.head((x + net.second(x)).amax((2, 3))), "add"),
    "concatenation": (lambda net, x: torch.cat([net.second(x), x.tanh()], 1).flatten(2).mean(2)[:, :3], "cat"),
    "gate": (gated, "mul"),
    "one place left": (lambda net, x: net.head(net.second(F.max_pool2d(x.relu(), 6)).flatten(1)), "relu"),
    "one place spread again": (
        lambda net, x: F.interpolate(F.adaptive_avg_pool2d(x.sigmoid(), 1), size=4).flatten(1)[:, :3], "sigmoid",
    ),
    "kept by pooling": (lambda net, x: F.adaptive_avg_pool2d(x.relu(), 2).flatten(1)[:, :3], "adaptive_avg_pool2d"),
    "channels last": (lambda net, x: net.head(x.permute(0, 2, 3, 1).tanh()).mean((1, 2)), "first"),
    "channels last and back": (
        lambda net, x: net.head(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).mean((2, 3)), "permute_1",
    ),
    "sequence": (lambda net, x: net.head(x.flatten(2).transpose(1, 2)).relu().mean(1), "first"),
    "windows": (windows, "reshape"),
    "shuffled": (shuffled, "reshape"),
    "slice of a map": (lambda net, x: net.head(x.relu()[:, :, 1:-1].mean((2, 3))), "slice"),
    "branches of different depth": (
        lambda net, x: net.head((F.avg_pool2d(x.tanh(), 2) + F.avg_pool2d(net.second(x), 2)).mean((2, 3))), "add",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_map_before_the_axes_go(name):
    function, wanted = NETWORKS[name]
    graph = trace(Network(function).eval(), torch.empty(2, 2, 6, 6))
    found = last_map(graph)
    assert found is not None
    assert found.startswith(wanted)


def test_maps_that_only_a_branch_has_are_refused():
    def apart(net, x):
        return net.head(x.mean((2, 3)))

    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Network(apart)
            self.aside = nn.Linear(2, 3)

        def forward(self, x):
            return self.net(x) + self.aside(x.mean((2, 3)))

    torch.manual_seed(0)
    model, x = Beside().eval(), torch.randn(2, 2, 6, 6)
    with refused(InputError, "Beside", "everything flows through", "branches", "layer="):
        attribute(model, x, "grad-cam", device="cpu")
    assert attribute(model, x, "grad-cam", layer="net.first", device="cpu").layers == ["input", "net.first"]


def test_the_name_of_the_whole_block_is_shown_and_known():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    model = nn.Sequential()
    model.add_module("stage", nn.Sequential(block))
    model.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    x = torch.randn(2, 2, 6, 6)
    found = attribute(model.eval(), x, "grad-cam", device="cpu")
    assert found.composite == "GradCAM(layer='stage', relu=True)"
    assert torch.equal(found["stage"], found["stage.0.2"])
    assert torch.equal(found.input, attribute(model, x, "grad-cam", layer="stage", device="cpu").input)

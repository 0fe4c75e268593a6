"""Random small networks in float64, of the layers that the oracles know; one seed, one network."""

from __future__ import annotations

import random
from typing import NamedTuple

import torch
from oracles.products import Gated
from oracles.walk import Branches, Folded, Sum
from torch import nn

CLASSES = 4
BATCH = 3
SHAPE = (3, 10, 9)


class Case(NamedTuple):
    """A network, a batch for it, and one target for each example."""

    net: nn.Sequential
    x: torch.Tensor
    target: torch.Tensor


def conv_case(seed: int) -> Case:
    """Two or three stages of convolution, activation, pooling or branches, then a dense head."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    layers, channels = [], 3
    for _ in range(draw.choice([2, 3])):
        new, channels = _stage(draw, channels)
        layers += new
    layers += _head(draw, nn.Sequential(*layers).double().eval())
    return _case(nn.Sequential(*layers), SHAPE)


def dense_case(seed: int) -> Case:
    """One to three hidden layers."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    layers, width = [], 11
    for _ in range(draw.choice([1, 2, 3])):
        new = draw.randint(5, 14)
        layers += [nn.Linear(width, new, bias=draw.random() < 0.8), _activation(draw)]
        width = new
    return _case(nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(width, CLASSES)), (11,))


def _case(net: nn.Sequential, shape: tuple[int, ...]) -> Case:
    net = net.double().eval()
    for parameter in net.parameters():
        # Torch's own initialisation lets activations fade; awake ones make every term of a rule count.
        fan = parameter[0].numel() if parameter.dim() > 1 else 12
        nn.init.normal_(parameter, std=(1.5 / fan) ** 0.5)
        parameter.requires_grad_(False)
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, std=0.3)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        nn.init.normal_(norm.weight)
    x = torch.randn(BATCH, *shape, dtype=torch.float64)
    return Case(net, x, torch.tensor([2, 0, 3]))


def _activation(draw: random.Random) -> nn.Module:
    return draw.choice([nn.ReLU(), nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(0.2), nn.Tanh(), nn.SiLU()])


def _conv(draw: random.Random, channels: int, groups: int = 1) -> tuple[nn.Conv2d, int]:
    width = draw.choice([4, 6])
    kernel = draw.choice([1, 2, 3, (2, 3)])
    dilation = draw.choice([1, 1, 2]) if kernel == 2 else 1
    # Later stages keep the size, so that whatever is drawn fits.
    stride, padding = (draw.choice([1, 1, 2]), draw.choice([0, (1, 0)])) if channels == 3 else (1, 1)
    bias = draw.random() < 0.8
    return nn.Conv2d(channels, width, kernel, stride, padding, dilation, groups, bias=bias), width


def _stage(draw: random.Random, channels: int) -> tuple[list[nn.Module], int]:
    kind = draw.choice(["plain", "plain", "norm", "branches", "block"])
    if kind == "branches" and channels % 2 == 0:
        left, right = nn.Conv2d(channels, 3, 1), nn.Conv2d(channels, 4, 3, padding=1, groups=1)
        parts = Branches(nn.Sequential(left, nn.ReLU()), nn.Sequential(right, _activation(draw)))
        return [parts, *_pool(draw)], 7
    if kind == "block":
        inner = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1))
        return [Sum(inner), Gated(nn.Conv2d(channels, channels, 1)), *_pool(draw)], channels
    groups = draw.choice([1, 2]) if channels % 2 == 0 else 1
    conv, width = _conv(draw, channels, groups)
    first = Folded(conv, nn.BatchNorm2d(width)) if kind == "norm" else conv
    return [first, _activation(draw), *_pool(draw)], width


def _pool(draw: random.Random) -> list[nn.Module]:
    return draw.choice(
        [
            [],
            [nn.MaxPool2d(2)],
            [nn.MaxPool2d(3, stride=1, padding=1)],
            [nn.MaxPool2d(2, stride=2, ceil_mode=True)],
            [nn.AvgPool2d(2)],
            [nn.AvgPool2d(3, stride=2, padding=1)],
            [nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)],
            [nn.Dropout(0.3)],
        ]
    )


def _head(draw: random.Random, body: nn.Module) -> list[nn.Module]:
    pooled = draw.choice([[], [nn.AdaptiveAvgPool2d(1)], [nn.AdaptiveAvgPool2d((2, 1))]])
    with torch.no_grad():
        width = nn.Sequential(body, *pooled, nn.Flatten())(torch.zeros(1, *SHAPE, dtype=torch.float64)).shape[1]
    return [*pooled, nn.Flatten(), nn.Linear(width, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, CLASSES)]

"""Random small networks over the op table: modules and functions mixed, one seed, one network."""

from __future__ import annotations

import random
import warnings
from dataclasses import dataclass

import torch
from oracles.random_steps import ANY, PIECEWISE_LINEAR, PRECISE, Step
from torch import Tensor, nn

CLASSES = 3
# What a logit may differ by, relative to the largest: rounding, met in another order where batch norms are folded.
ROUNDING = {torch.float64: 1e-10, torch.float32: 2e-3, torch.bfloat16: 0.2}


@dataclass(frozen=True)
class Case:
    """A network and a batch for it.

    Attributes
    ----------
    net, x
        The network, in training or evaluation mode, and its input.
    steps : tuple of str
        What it is made of, for messages.
    piecewise_linear : bool
        Whether LRP-0 is input × gradient.
    """

    net: nn.Module
    x: Tensor
    steps: tuple[str, ...]
    piecewise_linear: bool


class Chain(nn.Module):
    """Steps one after another; some of them are added to what they read, or joined with it."""

    def __init__(self, steps: list[nn.Module], ways: list[str], head: nn.Module) -> None:
        super().__init__()
        self.steps, self.ways, self.head = nn.ModuleList(steps), ways, head

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits."""
        for step, way in zip(self.steps, self.ways, strict=True):
            y = step(x)
            x = y if way == "next" else torch.cat([x, y], 1) if way == "joined" else x + y if way == "sum" else x - y
        return self.head(x)


class Head(nn.Module):
    """From maps to logits, in one of several ways."""

    def __init__(self, way: str, channels: int) -> None:
        super().__init__()
        self.way, self.layer = way, nn.LazyLinear(CLASSES) if way == "flat" else nn.Linear(channels, CLASSES)
        self.conv = nn.Conv2d(channels, CLASSES, 1) if way == "maps" else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits."""
        if self.conv is not None:
            return self.conv(x).mean((2, 3))
        if self.way == "flat":
            return self.layer(x.flatten(1))
        return self.layer(x.amax((2, 3)) if self.way == "largest" else x.mean((-2, -1)))


def case(seed: int, longest: int = 4) -> Case:
    """Draw a network: its precision, its mode, a convolution, and up to so many steps more that its input can take."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    linear = draw.random() < 0.6
    dtype = torch.float64 if linear else draw.choice([torch.float64, torch.float32, torch.float32, torch.bfloat16])
    catalogue = dict(PIECEWISE_LINEAR) if linear else PIECEWISE_LINEAR | ANY
    if dtype == torch.bfloat16:
        catalogue = {name: step for name, step in catalogue.items() if name not in PRECISE}
    x = torch.randn(2, draw.choice([1, 2, 3]), draw.choice([6, 7, 8]), draw.choice([6, 8, 9])).to(dtype)
    steps, ways, names, value = [], [], [], x
    # The first is a layer with weights, as in classifiers.
    wanted = ["convolution", *draw.choices(sorted(catalogue), k=draw.randint(longest // 2, longest))]
    for name in wanted:
        made, out = _tried(catalogue[name], draw, value)
        if made is None or out is None:
            continue
        way = draw.choice(["sum", "less", "joined", "next"]) if out.shape == value.shape else "next"
        steps.append(made)
        ways.append(way)
        names.append(f"{name} ({way})")
        with torch.no_grad():
            value = Chain([made], [way], nn.Identity()).eval()(value)
    head = Head(draw.choice(["flat", "mean", "largest", "maps"]), value.shape[1])
    net = Chain(steps, ways, head).to(dtype).eval()
    with torch.no_grad():
        net(x)
    awake(net, draw)
    net.train(draw.random() < 0.25)
    return Case(net, x, tuple(names), linear)


def _tried(step: Step, draw: random.Random, value: Tensor) -> tuple[nn.Module | None, Tensor | None]:
    """Make a step, and what it makes of a value; nothing where it cannot take the value."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = step(draw, tuple(value.shape[1:])).to(value.dtype).eval()
            out = made(value)
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None, None
    usable = out.dim() == 4 and 0 < out[0].numel() <= 4000 and out.dtype == value.dtype
    return (made, out) if usable and bool(torch.isfinite(out).all()) else (None, None)


def awake(net: nn.Module, draw: random.Random) -> None:
    """Statistics and factors of norms that are told from their defaults."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and isinstance(module.running_mean, Tensor):
            module.running_mean.normal_(0, 0.3)
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 2.0)
            if module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)

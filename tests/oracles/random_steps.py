"""What random networks are made of: each step takes maps ``(batch, channels, height, width)`` and gives maps."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Shape = tuple[int, ...]
Step = Callable[[random.Random, Shape], nn.Module]


class Apply(nn.Module):
    """A function as a module, with a constant vector of one number for each channel."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor], channels: int) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("c", torch.randn(channels, 1, 1))
        self.w = nn.Parameter(torch.randn(channels, channels) / channels**0.5)

    def forward(self, y: Tensor) -> Tensor:
        """Apply it."""
        return self.function(self, y)


def function(f: Callable[[Any, Tensor], Tensor]) -> Step:
    """Make a step of a function of the module that holds the constants, and of the value."""
    return lambda draw, shape: Apply(f, shape[0])


def writing(write: Callable[[Any, Tensor], object]) -> Step:
    """Make a step of a statement that writes into a copy of the value."""

    def written(m: Any, y: Tensor) -> Tensor:
        y = y.clone()
        write(m, y)
        return y

    return function(written)


def _convolution(draw: random.Random, shape: Shape) -> nn.Module:
    groups = draw.choice([1, 1, shape[0]])
    mode = draw.choice(["zeros", "zeros", "zeros", "reflect", "replicate", "circular"])
    padding = "same" if draw.random() < 0.2 else draw.choice([0, 1])
    stride = 1 if padding == "same" else draw.choice([1, 1, 2])
    return nn.Conv2d(
        shape[0],
        groups * draw.choice([2, 4]) if groups > 1 else draw.choice([4, 6]),
        draw.choice([1, 2, 3]),
        stride,
        padding,
        draw.choice([1, 1, 2]),
        groups,
        draw.random() < 0.8,
        mode,
    )


def _block(draw: random.Random, shape: Shape) -> nn.Module:
    width = shape[0]
    layers = [nn.Conv2d(shape[0], width, 3, padding=1, bias=draw.random() < 0.5), nn.BatchNorm2d(width), nn.ReLU()]
    if draw.random() < 0.3:
        layers = [nn.BatchNorm2d(shape[0]), nn.ReLU(), layers[0]]
    return nn.Sequential(*layers, nn.Dropout2d(0.3))


def _transposed(draw: random.Random, shape: Shape) -> nn.Module:
    return nn.ConvTranspose2d(shape[0], 4, draw.choice([2, 3]), draw.choice([1, 2]), bias=draw.random() < 0.5)


def _max_pool(draw: random.Random, shape: Shape) -> nn.Module:
    return nn.MaxPool2d(draw.choice([2, 3]), draw.choice([1, 2]), draw.choice([0, 1]), 1, ceil_mode=draw.random() < 0.3)


def _average_pool(draw: random.Random, shape: Shape) -> nn.Module:
    divisor = draw.choice([None, None, 5])
    return nn.AvgPool2d(
        draw.choice([2, 3]), draw.choice([1, 2]), draw.choice([0, 1]), draw.random() < 0.3, draw.random() < 0.5, divisor
    )


def _unpooled(m: Any, y: Tensor) -> Tensor:
    pooled, places = F.max_pool2d(y, 2, return_indices=True)
    return F.max_unpool2d(pooled, places, 2, output_size=y.shape[2:])


def _folded_back(m: Any, y: Tensor) -> Tensor:
    return F.fold(F.unfold(y, 2), y.shape[2:], 2)


def _channels_last(m: Any, y: Tensor) -> Tensor:
    return F.linear(y.permute(0, 2, 3, 1), m.w).permute(0, 3, 1, 2)


# LRP-0 of these is input × gradient: piecewise linear, or of degree one at least.
PIECEWISE_LINEAR: Mapping[str, Step] = {
    "convolution": _convolution,
    "block": _block,
    "transposed": _transposed,
    "convolution by a function": function(lambda m, y: F.conv2d(y, m.w[:, :, None, None], m.c.flatten())),
    "batch norm": lambda draw, shape: nn.BatchNorm2d(shape[0]),
    "max pooling": _max_pool,
    "average pooling": _average_pool,
    "adaptive average": lambda draw, shape: nn.AdaptiveAvgPool2d(draw.choice([2, 3, (3, 2)])),
    "adaptive maximum": lambda draw, shape: nn.AdaptiveMaxPool2d(draw.choice([2, 3, (3, 2)])),
    "LP pooling": lambda draw, shape: nn.LPPool2d(2, 2),
    "relu": lambda draw, shape: nn.ReLU(inplace=draw.random() < 0.5),
    "relu by a function": function(lambda m, y: torch.relu(y)),
    "relu by hand": function(lambda m, y: y * (y > 0)),
    "leaky relu": lambda draw, shape: nn.LeakyReLU(0.1),
    "leaky relu by hand": function(lambda m, y: torch.where(y > 0, y, 0.1 * y)),
    "prelu": lambda draw, shape: nn.PReLU(shape[0]),
    "size": function(lambda m, y: y.abs()),
    "nearest": lambda draw, shape: nn.Upsample(scale_factor=2),
    "bilinear": function(lambda m, y: F.interpolate(y, size=(5, 4), mode="bilinear", align_corners=False)),
    "bicubic": function(lambda m, y: F.interpolate(y, size=(5, 7), mode="bicubic")),
    "pixel shuffle": lambda draw, shape: nn.PixelShuffle(2),
    "pixel unshuffle": lambda draw, shape: nn.PixelUnshuffle(2),
    "channel shuffle": lambda draw, shape: nn.ChannelShuffle(2),
    "padded": function(lambda m, y: F.pad(y, (1, 0, 2, 1), value=0.3)),
    "reflected": lambda draw, shape: nn.ReflectionPad2d(1),
    "turned": function(lambda m, y: torch.rot90(y, 1, (2, 3))),
    "flipped, rolled": function(lambda m, y: y.flip(2).roll((1, 2), (1, 3))),
    "cut": function(lambda m, y: y[:, :, 1:, ::2]),
    "split and joined": function(lambda m, y: torch.cat(list(reversed(y.chunk(2, 1))), 1)),
    "unbound and stacked": function(lambda m, y: torch.stack(y.unbind(2), 3)),
    "patches and back": function(_folded_back),
    "scaled and shifted": function(lambda m, y: 0.7 * (y - m.c) / 1.3 + 0.1),
    "factor of each channel": function(lambda m, y: y * m.c),
    "less the mean": function(lambda m, y: y - y.mean(1, keepdim=True)),
    "dense over channels": function(_channels_last),
    "einsum": function(lambda m, y: torch.einsum("bchw,dc->bdhw", y, m.w)),
    "from the left": function(lambda m, y: torch.matmul(m.w, y.flatten(2)).view(y.shape)),
    "maximum": function(lambda m, y: torch.maximum(y, y.flip(3))),
    "minimum with a constant": function(lambda m, y: torch.minimum(y, m.c)),
    "max along an axis": function(lambda m, y: y.max(2, keepdim=True)[0]),
    "by the largest": function(lambda m, y: y * (y == y.amax(1, keepdim=True))),
    "by argmax": function(lambda m, y: y * F.one_hot(y.argmax(1), y.shape[1]).movedim(-1, 1)),
    "topk": function(lambda m, y: y.topk(2, 2)[0]),
    "sorted": function(lambda m, y: y.sort(dim=1)[0]),
    "running maximum": function(lambda m, y: y.cummax(3)[0]),
    "cumulative": function(lambda m, y: y.cumsum(2) * 0.3),
    "unpooled": function(_unpooled),
    "gathered": function(lambda m, y: y.gather(1, (y > 0).long())),
    "slice written": writing(lambda m, y: y[:, 0].fill_(0.5)),
    "mask written": writing(lambda m, y: y.__setitem__(y < -0.2, 0.1)),
    "channels written": writing(lambda m, y: y.__setitem__((slice(None), slice(1, None)), 2 * y[:, :-1])),
    "added in places": writing(lambda m, y: y.index_add_(1, torch.tensor([0, 0, 1]), 0.5 * y[:, :3])),
    "halved in place": writing(lambda m, y: y[..., ::2].mul_(0.5)),
    "masked fill": function(lambda m, y: y.masked_fill(y > 1.0, 1.0)),
    "spectrum": function(lambda m, y: torch.fft.rfft(y).abs()),
    "norm over channels": function(lambda m, y: y.norm(dim=1, keepdim=True)),
    "nothing joined": function(lambda m, y: torch.cat([torch.tensor([]), y], 1)),
}
# A little rounding may make these choose another value.
PRECISE = frozenset(
    "by the largest,by argmax,topk,sorted,running maximum,unpooled,gathered,mask written,masked fill,max pooling,"
    "adaptive maximum,maximum,max along an axis,leaky relu by hand,relu by hand".split(",")
)


def _gated(draw: random.Random, shape: Shape) -> nn.Module:
    return Apply(lambda m, y: y * torch.sigmoid(m.c * y.mean((2, 3), keepdim=True)), shape[0])


def _attended(m: Any, y: Tensor) -> Tensor:
    tokens = y.flatten(2).transpose(1, 2)
    out = F.scaled_dot_product_attention(tokens, F.linear(tokens, m.w), tokens)
    return out.transpose(1, 2).reshape(y.shape)


class Tokens(nn.Module):
    """A layer over tokens, which the places of maps are."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, y: Tensor) -> Tensor:
        """Apply the layer to the places."""
        out = self.layer(y.flatten(2).transpose(1, 2))
        return out.transpose(1, 2).reshape(y.shape)


ANY: Mapping[str, Step] = {
    "sigmoid": lambda draw, shape: nn.Sigmoid(),
    "tanh": function(lambda m, y: torch.tanh(y)),
    "gelu": lambda draw, shape: nn.GELU(),
    "silu": lambda draw, shape: nn.SiLU(inplace=draw.random() < 0.5),
    "elu": function(lambda m, y: F.elu(y)),
    "softplus": lambda draw, shape: nn.Softplus(),
    "hardswish": lambda draw, shape: nn.Hardswish(),
    "relu6": lambda draw, shape: nn.ReLU6(),
    "mish": lambda draw, shape: nn.Mish(),
    "clamped": function(lambda m, y: y.clamp(-0.5, 0.8)),
    "clamped by a tensor": function(lambda m, y: y.clamp(max=m.c.abs())),
    "gate": _gated,
    "gated linear unit": function(lambda m, y: F.glu(torch.cat([y, y.flip(1)], 1), 1)),
    "group norm": lambda draw, shape: nn.GroupNorm(1, shape[0]),
    "instance norm": lambda draw, shape: nn.InstanceNorm2d(shape[0], affine=True),
    "layer norm": lambda draw, shape: Tokens(nn.LayerNorm(shape[0])),
    "layer norm by a function": function(lambda m, y: F.layer_norm(y, y.shape[1:])),
    "response norm": lambda draw, shape: nn.LocalResponseNorm(3),
    "softmax": function(lambda m, y: y.softmax(1)),
    "attention": function(_attended),
    "heads": lambda draw, shape: Tokens(nn.TransformerEncoderLayer(shape[0], 1, 5, batch_first=True)),
    "product": function(lambda m, y: y * y.flip(2)),
    "square": function(lambda m, y: y.square() * 0.5),
    "unit vectors": function(lambda m, y: F.normalize(y, dim=1)),
    "standardised": function(lambda m, y: (y - y.mean(1, keepdim=True)) / (y.std(1, keepdim=True) + 0.1)),
    "soft maximum": function(lambda m, y: y.logsumexp(2, keepdim=True)),
    "product of all": function(lambda m, y: (0.1 * y + 1).prod(3, keepdim=True)),
    "log sigmoid": function(lambda m, y: F.logsigmoid(y)),
    "power of a spectrum": function(lambda m, y: torch.fft.rfft(y).abs().pow(2) * 0.1),
    "dropout": lambda draw, shape: nn.Dropout(0.5),
    "alpha dropout": function(lambda m, y: F.alpha_dropout(y, 0.3, m.training)),
}

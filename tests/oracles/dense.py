"""The rules a second time, slowly: every layer as a dense matrix, every pair of neurons as one entry.

Written from the formulas alone, in NumPy float64, sharing nothing with the package. A layer becomes the matrix
``weight[k, j]`` of its Jacobian, an example becomes the matrix of contributions ``c[k, j] = a[j] * weight[k, j]``,
and each rule is one expression in it. `replicates` ties an oracle to the rule of the same name.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

Array = np.ndarray
Share = Callable[[Any, "Dense", Array], Array]
ORACLES: dict[str, Share] = {}
LINEAR = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Upsample),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d, nn.Sequential),
)


@dataclass(frozen=True)
class Dense:
    """A layer as matrices: weight and links (outputs, inputs), bias (outputs,); links is 1 where weights act.

    Layers that no matrix describes keep `source`, the module itself, alone.
    """

    weight: Array
    bias: Array
    links: Array
    in_shape: tuple[int, ...]
    source: nn.Module | None = None


@cache
def to_dense(module: nn.Module, in_shape: tuple[int, ...]) -> Dense:
    """Write a layer as matrices: column j of its Jacobian is what it makes of the j-th unit vector."""
    if not isinstance(module, LINEAR):
        none = np.zeros((0, 0))
        return Dense(none, none[0:0], none, in_shape, module)
    if isinstance(module, nn.MaxPool2d):
        links = _windows(module, in_shape)
        return Dense(links, np.zeros(len(links)), links, in_shape)
    with torch.no_grad():
        bias = module(torch.zeros(1, *in_shape, dtype=torch.float64)).numpy().reshape(-1)
    connecting = module[0] if isinstance(module, nn.Sequential) else module
    links = _columns(_unbiased(connecting, 1.0), in_shape)
    return Dense(_columns(_unbiased(module), in_shape), bias, links, in_shape)


def sum_of(width: int) -> Dense:
    """The sum of two values of `width` neurons each, as a layer that sees them side by side."""
    both = np.hstack([np.eye(width), np.eye(width)])
    return Dense(both, np.zeros(width), both, (2 * width,))


def _columns(module: nn.Module, in_shape: tuple[int, ...]) -> Array:
    units = torch.eye(math.prod(in_shape), dtype=torch.float64).reshape(-1, *in_shape)
    with torch.no_grad():
        return (module(units) - module(torch.zeros_like(units[:1]))).flatten(1).numpy().T


def _windows(pool: nn.MaxPool2d, in_shape: tuple[int, ...]) -> Array:
    """1 where an output of max pooling sees an input (outputs, inputs); padding is no input."""
    numbers = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    size, stride, margin, gap = (np.broadcast_to(number, 2) for number in numbers)
    channels, *extent = pool(torch.zeros(1, *in_shape)).shape[1:]
    links = np.zeros((channels, *extent, *in_shape))
    for c, i, j, row, column in np.ndindex(channels, *extent, *size):
        y, x = np.array([i, j]) * stride - margin + np.array([row, column]) * gap
        if 0 <= y < in_shape[1] and 0 <= x < in_shape[2]:
            links[c, i, j, c, y, x] = 1.0
    return links.reshape(-1, math.prod(in_shape))


def _unbiased(module: nn.Module, weight: float | None = None) -> nn.Module:
    """Copy a layer without its bias and, where `weight` is given and it has any, with all its weights at that."""
    bare = copy.deepcopy(module)
    with torch.no_grad():
        if isinstance(getattr(bare, "bias", None), torch.Tensor):
            bare.bias.zero_()
        if weight is not None and isinstance(getattr(bare, "weight", None), torch.Tensor):
            bare.weight.fill_(weight)
    return bare


def relevance(rule: Any, layer: Dense, a: Array, upper: Array) -> Array:
    """R_j = Σ_k share[k, j] R_k, example by example: a (batch, *inputs), upper (batch, *outputs)."""
    share = ORACLES[type(rule).__name__]
    rows = [r.reshape(-1) @ share(rule, layer, x.reshape(-1)) for x, r in zip(a, upper, strict=True)]
    return np.stack(rows).reshape(a.shape)


def replicates(name: str) -> Callable[[Share], Share]:
    """Tie oracle(rule, layer, a (inputs,)) -> share (outputs, inputs) to the rule called `name`."""

    def tie(oracle: Share) -> Share:
        assert name not in ORACLES
        ORACLES[name] = oracle
        return oracle

    return tie


def over(contribution: Array, total: Array, epsilon: Array | float) -> Array:
    """Each contribution over its stabilised total; sign(0) = +1."""
    return contribution / (total + epsilon * np.where(total < 0, -1.0, 1.0))[:, None]


def _bias(rule: Any, layer: Dense) -> Array:
    return layer.bias if rule.bias == "absorb" else np.zeros_like(layer.bias)


def _parts(rule: Any, layer: Dense, a: Array) -> tuple[Array, Array, Array]:
    """Contributions (outputs, inputs), the bias, and the sums of the contributions with it."""
    contribution, bias = layer.weight * a, _bias(rule, layer)
    return contribution, bias, contribution.sum(1) + bias


def _positive(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _negative(x: Array) -> Array:
    return np.minimum(x, 0.0)


@replicates("Zero")
def zero(rule: Any, layer: Dense, a: Array) -> Array:
    """a w / z, over a z kept off zero by the stabiliser alone."""
    contribution, _, total = _parts(rule, layer, a)
    return over(contribution, total, rule.stabilizer)


@replicates("Epsilon")
def epsilon(rule: Any, layer: Dense, a: Array) -> Array:
    """a w / (z + ε sign z), ε absolute or a factor of the layer's std or rms in this example."""
    contribution, _, total = _parts(rule, layer, a)
    scale = {None: 1.0, "std": total.std(), "rms": np.sqrt(np.mean(total**2))}[rule.relative]
    return over(contribution, total, rule.epsilon * scale)


@replicates("Gamma")
def gamma(rule: Any, layer: Dense, a: Array) -> Array:
    """Contributions of the sign of z (with its bias, always) count 1 + γ times; where z = 0 nothing passes."""
    contribution, bias, _ = _parts(rule, layer, a)
    total = contribution.sum(1) + layer.bias
    raised = contribution + rule.gamma * _positive(contribution)
    lowered = contribution + rule.gamma * _negative(contribution)
    up = over(raised, raised.sum(1) + bias + rule.gamma * _positive(bias), rule.stabilizer)
    down = over(lowered, lowered.sum(1) + bias + rule.gamma * _negative(bias), rule.stabilizer)
    return np.where((total > 0)[:, None], up, np.where((total < 0)[:, None], down, 0.0))


@replicates("AlphaBeta")
def alpha_beta(rule: Any, layer: Dense, a: Array) -> Array:
    """α times the share of the positive contributions less β times the share of the negative ones."""
    contribution, bias, _ = _parts(rule, layer, a)
    plus, minus = _positive(contribution), _negative(contribution)
    up = over(plus, plus.sum(1) + _positive(bias), rule.stabilizer)
    down = over(minus, minus.sum(1) + _negative(bias), rule.stabilizer)
    return rule.alpha * up - rule.beta * down


@replicates("ZPlus")
def z_plus(rule: Any, layer: Dense, a: Array) -> Array:
    """The share of the positive contributions."""
    contribution, bias, _ = _parts(rule, layer, a)
    plus = _positive(contribution)
    return over(plus, plus.sum(1) + _positive(bias), rule.stabilizer)


@replicates("ZBox")
def z_box(rule: Any, layer: Dense, a: Array) -> Array:
    """a w − l w⁺ − h w⁻ over its sum; low and high a number, or one per channel."""
    low, high = (_bound(bound, layer.in_shape) for bound in (rule.low, rule.high))
    contribution = layer.weight * a - _positive(layer.weight) * low - _negative(layer.weight) * high
    return over(contribution, contribution.sum(1), rule.stabilizer)


def _bound(bound: Any, in_shape: tuple[int, ...]) -> Array:
    values = np.asarray(getattr(bound, "tensor", bound), dtype=np.float64)
    if values.ndim == 1:
        values = values.reshape(-1, *[1] * (len(in_shape) - 1))
    return np.broadcast_to(values, in_shape).reshape(-1)


@replicates("WSquare")
def w_square(rule: Any, layer: Dense, a: Array) -> Array:
    """w² over the sum of w², the bias counted as one more weight."""
    square = layer.weight**2
    return over(square, square.sum(1) + _bias(rule, layer) ** 2, rule.stabilizer)


@replicates("Flat")
def flat(rule: Any, layer: Dense, a: Array) -> Array:
    """The same for every input that the neuron sees; padding is not an input."""
    return over(layer.links, layer.links.sum(1), rule.stabilizer)


@replicates("Pass")
@replicates("LRNIdentity")
@replicates("NormIdentity")
def identity(rule: Any, layer: Dense, a: Array) -> Array:
    """Neuron by neuron, whatever the layer computes."""
    return np.eye(len(a))


@replicates("Gradient")
def gradient(rule: Any, layer: Dense, a: Array) -> Array:
    """The layer's Jacobian."""
    return layer.weight


@replicates("Magnitude")
def magnitude(rule: Any, layer: Dense, a: Array) -> Array:
    """By the size of each summand, its sign aside."""
    size = np.abs(layer.weight * a)
    return over(size, size.sum(1), rule.stabilizer)


@replicates("Winner")
def winner(rule: Any, layer: Dense, a: Array) -> Array:
    """All to the largest input of the window, the first one where several are equal."""
    seen = np.where(layer.links > 0, a, -np.inf)
    return np.eye(len(a))[seen.argmax(1)]


@replicates("Average")
def average(rule: Any, layer: Dense, a: Array) -> Array:
    """In proportion to the inputs of the window."""
    seen = layer.links * a
    return over(seen, seen.sum(1), rule.stabilizer)


@replicates("LRNTaylor")
def lrn_taylor(rule: Any, layer: Dense, a: Array) -> Array:
    """Messages of the Taylor expansion at the root point without neighbours, over their sum; channel by channel."""
    norm = layer.source
    assert isinstance(norm, nn.LocalResponseNorm)
    scale, x = norm.alpha / norm.size, a.reshape(layer.in_shape[0], -1)
    channels, places = x.shape
    messages = np.zeros((channels, places, channels, places))
    for k, place in np.ndindex(channels, places):
        window = [j for j in range(k - norm.size // 2, k + (norm.size - 1) // 2 + 1) if 0 <= j < channels]
        total = norm.k + scale * sum(x[j, place] ** 2 for j in window)
        for j in window:
            fall = -2 * norm.beta * scale * x[k, place] * x[j, place] ** 2 / total ** (norm.beta + 1)
            own = x[k, place] / (norm.k + scale * x[k, place] ** 2) ** norm.beta
            messages[k, place, j, place] = own if j == k else fall
    flat_messages = messages.reshape(a.size, a.size)
    return over(flat_messages, flat_messages.sum(1), rule.stabilizer)

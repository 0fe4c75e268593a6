"""One step of every rule by automatic differentiation: vector-Jacobian products of the plain function, no more.

Written from the formulas alone, sharing nothing with the package. `r` is the relevance of the output, `x` the input; a
layer with weights is ``call(x, weight)``, what it computes without its bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

Call = Callable[[Tensor, Tensor], Tensor]
Function = Callable[[Tensor], Tensor]


class Step(Protocol):
    """A rule of layers with weights."""

    def __call__(self, r: Tensor, x: Tensor, call: Call, weight: Tensor, bias: Tensor) -> Tensor: ...


def pull(function: Function, x: Tensor, s: Tensor) -> Tensor:
    """Vector-Jacobian product of `function` at `x`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, s)[0]


def over(r: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """Relevance over its stabilised denominator, sign(0) = +1; without an ε nothing passes where z = 0."""
    if epsilon == 0.0:
        return torch.where(z == 0, 0.0, r / torch.where(z == 0, 1.0, z))
    return r / torch.where(z < 0, z - epsilon, z + epsilon)


def share(function: Function, x: Tensor, r: Tensor, epsilon: float) -> Tensor:
    """A linear function shared by contribution, what it adds of its own counted as a bias."""
    return x * pull(function, x, over(r, function(x), epsilon))


def norm(x: Tensor, axes: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Function:
    """Layer norm as a function of its input, the standard deviation held constant (AttnLRP, sec. 3.3)."""
    axes = tuple(axes)
    deviation = (x.detach().var(axes, correction=0, keepdim=True) + eps).sqrt()

    def function(x: Tensor) -> Tensor:
        y = (x - x.mean(axes, keepdim=True)) / deviation
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    return function


def epsilon(size: float) -> Step:
    """ε rule; LRP-0 where `size` is 0."""

    def step(r: Tensor, x: Tensor, call: Call, weight: Tensor, bias: Tensor) -> Tensor:
        s = over(r, call(x, weight) + bias, size)
        return x * pull(lambda x: call(x, weight), x, s)

    return step


def _both(x: Tensor, call: Call, for_positive: Tensor, for_negative: Tensor) -> tuple[Tensor, Callable]:
    """Weights of their own for positive and for negative inputs: the sum, and the way back of an s."""
    up, down = x.clamp(min=0), x.clamp(max=0)

    def back(s: Tensor) -> Tensor:
        return up * pull(lambda x: call(x, for_positive), up, s) + down * pull(lambda x: call(x, for_negative), down, s)

    return call(up, for_positive) + call(down, for_negative), back


def alpha_beta(alpha: float, beta: float, size: float = 1e-6) -> Step:
    """αβ rule; z⁺ is α = 1, β = 0."""

    def step(r: Tensor, x: Tensor, call: Call, weight: Tensor, bias: Tensor) -> Tensor:
        plus, minus = weight.clamp(min=0), weight.clamp(max=0)
        z, back = _both(x, call, plus, minus)
        received = alpha * back(over(r, z + bias.clamp(min=0), size))
        if beta:
            z, back = _both(x, call, minus, plus)
            received = received - beta * back(over(r, z + bias.clamp(max=0), size))
        return received

    return step


def gamma(size: float = 0.25, stabilizer: float = 1e-6) -> Step:
    """Generalised γ rule: what has the sign of z counts 1 + γ times; where z = 0 nothing passes."""

    def step(r: Tensor, x: Tensor, call: Call, weight: Tensor, bias: Tensor) -> Tensor:
        plus, minus = weight + size * weight.clamp(min=0), weight + size * weight.clamp(max=0)
        z = call(x, weight) + bias
        raised, back_raised = _both(x, call, plus, minus)
        lowered, back_lowered = _both(x, call, minus, plus)
        raised, lowered = raised + bias + size * bias.clamp(min=0), lowered + bias + size * bias.clamp(max=0)
        up, down = over(r, raised, stabilizer), over(r, lowered, stabilizer)
        return back_raised(torch.where(z > 0, up, 0.0)) + back_lowered(torch.where(z < 0, down, 0.0))

    return step


def box(low: Tensor, high: Tensor, size: float = 1e-6) -> Step:
    """zᴮ rule, bounds of the shape of one example; the bias takes no part."""

    def step(r: Tensor, x: Tensor, call: Call, weight: Tensor, bias: Tensor) -> Tensor:
        plus, minus = weight.clamp(min=0), weight.clamp(max=0)
        least, most = low.expand_as(x), high.expand_as(x)
        s = over(r, call(x, weight) - call(least, plus) - call(most, minus), size)
        terms = ((x, weight), (least, plus), (most, minus))
        parts = [value * pull(lambda x, w=w: call(x, w), value, s) for value, w in terms]
        return parts[0] - parts[1] - parts[2]

    return step


def flat(size: float = 1e-6) -> Step:
    """Flat rule: inputs and weights all 1."""

    def step(r: Tensor, x: Tensor, call: Call, weight: Tensor, bias: Tensor) -> Tensor:
        ones, weights = torch.ones_like(x), torch.ones_like(weight)
        return pull(lambda x: call(x, weights), ones, over(r, call(ones, weights), size))

    return step


def product(function: Callable[[Tensor, Tensor], Tensor], left: Tensor, right: Tensor, r: Tensor, size: float):
    """Matrix product of two values: one half to each, by contribution (AttnLRP, prop. 3.3)."""
    s = over(r, 2 * function(left, right), size)
    return left * pull(lambda a: function(a, right), left, s), right * pull(lambda b: function(left, b), right, s)


def softmax(x: Tensor, dim: int, r: Tensor) -> Tensor:
    """Softmax by its Taylor expansion (AttnLRP, prop. 3.1)."""
    return x * (r - x.softmax(dim) * r.sum(dim, keepdim=True))


def attention(q: Tensor, k: Tensor, v: Tensor, r: Tensor, size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled dot-product attention as its three parts, one after the other."""
    q = q / q.shape[-1] ** 0.5
    scores = q @ k.transpose(-2, -1)
    to_weights, to_v = product(torch.matmul, scores.softmax(-1), v, r, size)
    to_q, to_k = product(torch.matmul, q, k.transpose(-2, -1), softmax(scores, -1, to_weights), size)
    return to_q, to_k.transpose(-2, -1), to_v


def folded(func: Callable, norm: tuple | None, weight: Tensor, bias: Tensor | None, rest: Sequence) -> tuple:
    """Weights and bias with a batch norm of the layer's inputs taken in; `rest` are the layer's further arguments."""
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    if norm is None:
        return weight, bias
    factor, shift = _affine(norm)
    groups, spread = (rest[3] if rest else 1), weight.shape[2:]
    ones = [1] * len(spread)
    # The shift alone, seen through a window that fits the kernel.
    window = shift.view(1, -1, *ones).expand(1, -1, *spread)
    moved = func(window, weight, None, 1, 0, 1, groups) if rest else func(window, weight)
    rows = factor.view(groups, -1).repeat_interleave(len(weight) // groups, 0)
    return weight * rows.view(*rows.shape, *ones), bias + moved.flatten()


def folded_behind(norm: tuple, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and bias with a batch norm of the layer's outputs taken in."""
    factor, shift = _affine(norm)
    return weight * factor.view(-1, *[1] * (weight.dim() - 1)), bias * factor + shift


def _affine(norm: tuple) -> tuple[Tensor, Tensor]:
    _x, mean, variance, weight, bias, _training, _momentum, eps = norm
    factor = weight / (variance + eps).sqrt()
    return factor, bias - mean * factor

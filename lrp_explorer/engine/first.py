"""One step down through a first layer: by bounds of the input, by squared weights, or by nothing but the view."""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_explorer.engine.account import divide, per_example
from lrp_explorer.engine.linear import LinearStep
from lrp_explorer.rules import Flat, WSquare, ZBox


def by_box(step: LinearStep, rule: ZBox, relevance: Tensor) -> Tensor:
    """Execute the zᴮ rule."""
    low, high = rule.low.like(step.x), rule.high.like(step.x)  # type: ignore[union-attr]
    s = _quotient(step, relevance, in_box(step, rule), rule.stabilizer)
    plain, positive = _both(step, s)
    # x·wᵀs − l·w⁺ᵀs − h·w⁻ᵀs, with w⁻ = w − w⁺.
    return (step.x - high).mul_(plain).addcmul_(high - low, positive)


def _both(step: LinearStep, s: Tensor) -> tuple[Tensor, ...]:
    """Return wᵀs and w⁺ᵀs; where every output sees every channel in one go, as of a layer with twice the channels."""
    weight = step.layer.weight
    if not step.layer.dense or not isinstance(weight, Tensor):
        return step.transposed(s, 1.0, 0.0, 0.0), step.transposed(s, 0.0, 1.0, 0.0)
    axis = 1 if weight.dim() > 2 else -1
    twice = step.x.new_empty(1).expand(*step.x.shape[:1], 2 * weight.shape[1], *step.x.shape[2:])
    if axis == -1:
        twice = twice.new_empty(1).expand(*step.x.shape[:-1], 2 * weight.shape[1])
    return step.layer.transpose(s, torch.cat([weight, weight.clamp(min=0)], 1), twice).chunk(2, axis)


def in_box(step: LinearStep, rule: ZBox) -> Tensor:
    """Σ_j (a w − l w⁺ − h w⁻), which no ε, γ or target moves."""
    return step.memo(("box", rule.low, rule.high, step.rectified is None), lambda: _in_box(step, rule))


def _in_box(step: LinearStep, rule: ZBox) -> Tensor:
    # Where relevance is zero the ReLU's output serves as well as z, and is there already.
    z = step.z if step.rectified is None else step.rectified
    corner = _corner(step, rule)
    return torch.sub(z, corner, out=corner if corner.shape == z.shape else None)


def _corner(step: LinearStep, rule: ZBox) -> Tensor:
    """Add up the bias and Σ_j (l w⁺ + h w⁻); nobody else holds the result."""
    layer, weights = step.layer, step.weights
    low, high = rule.low.like(step.x), rule.high.like(step.x)  # type: ignore[union-attr]
    if _mixes_examples(step):
        low, high = low.expand_as(step.x), high.expand_as(step.x)
    positive, negative = weights.combined(0.0, 1.0, 0.0), weights.combined(0.0, 0.0, 1.0)
    uniform = all(bound.tensor.dim() < 2 for bound in (rule.low, rule.high))  # type: ignore[union-attr]
    if uniform and layer.dense and isinstance(positive, Tensor) and positive.dim() > 2:
        # Bounds are the same everywhere: their channels are summed once for all places.
        low, high = (bound.flatten(2)[..., 0].reshape(1, -1, *[1] * (positive.dim() - 2)) for bound in (low, high))
        summed = (positive * low + negative * high).sum(1, keepdim=True)
        return layer.apply(torch.ones_like(step.x[:1, :1]), summed, layer.bias)
    return layer.apply(low, positive, layer.bias).add_(layer.apply(high, negative, None))


def by_square(step: LinearStep, rule: WSquare, relevance: Tensor) -> Tensor:
    """Execute the w² rule."""
    weight, denominator = squares(step, rule)
    s = _quotient(step, relevance, denominator, rule.stabilizer)
    if step.account is not None and rule.bias == "absorb" and step.layer.bias is not None:
        step.account.to_bias = step.account.to_bias + per_example(s * step.layer.bias.square())
    return step.layer.transpose(s, weight, step.x)


def squares(step: LinearStep, rule: WSquare) -> tuple[Tensor, Tensor]:
    """w², and Σ_j w²_jk."""
    weight = torch.as_tensor(step.layer.weight).square()
    denominator = step.layer.apply(torch.ones_like(step.x if _mixes_examples(step) else step.x[:1]), weight, None)
    if rule.bias == "absorb" and step.layer.bias is not None:
        denominator = denominator + step.layer.bias.square()
    return weight, denominator


def by_view(step: LinearStep, rule: Flat, relevance: Tensor) -> Tensor:
    """Execute the flat rule."""
    if not step.layer.dense:
        weight, denominator = view(step)
        return step.layer.transpose(_quotient(step, relevance, denominator, rule.stabilizer), weight, step.x)
    # All weights are equal: one channel of outputs and one of inputs stand for all.
    ones = torch.ones_like(torch.as_tensor(step.layer.weight)[:1])
    denominator = step.memo("view of one", lambda: step.layer.apply(torch.ones_like(step.x[:1]), ones, None))
    s = _quotient(step, relevance, denominator, rule.stabilizer)
    axis = 1 if ones.dim() > 2 else -1
    shared = step.layer.transpose(s.sum(axis, keepdim=True), ones[:, :1], step.x.narrow(axis, 0, 1))
    return shared.expand_as(step.x).contiguous()


def view(step: LinearStep) -> tuple[Tensor, Tensor]:
    """Ones in place of the weights, and how many inputs an output sees."""
    weight = torch.ones_like(torch.as_tensor(step.layer.weight))
    if _mixes_examples(step):
        return weight, step.layer.apply(torch.ones_like(step.x), weight, None)
    return weight, step.memo("view", lambda: step.layer.apply(torch.ones_like(step.x[:1]), weight, None))


def _mixes_examples(step: LinearStep) -> bool:
    """Whether sums run along the first axis of x, as in a product of a matrix with all examples from the left."""
    weight = step.layer.weight
    return step.x.dim() == 2 and isinstance(weight, Tensor) and weight.dim() > 1 and step.layer.geometry is None


def _quotient(step: LinearStep, relevance: Tensor, denominator: Tensor, stabilizer: float) -> Tensor:
    s = divide(relevance, denominator, float(stabilizer))
    if step.account is not None:
        step.account.book(relevance, s, denominator, float(stabilizer))
    return s

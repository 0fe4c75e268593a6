"""AttnLRP and CP-LRP of a vision transformer as gradient × input through a changed copy (Achtibat et al. 2024).

With ε = 0 every rule of both is a gradient in which something is held constant: a norm's deviation, the ratio of a
non-linearity to its input, the attention weights (CP-LRP) or one half of every product (AttnLRP). This shares nothing
with the package, and is how lxt computes them.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *upper: Tensor) -> Any:
        return upper[0] * ctx.factor, None


def _layer_norm(self: nn.LayerNorm, x: Tensor) -> Tensor:
    axes = tuple(range(-len(self.normalized_shape), 0))
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True) + self.eps).sqrt().detach() * self.weight + self.bias


def _ratio(self: nn.GELU, x: Tensor) -> Tensor:
    return x * (nn.functional.gelu(x) / x).detach()


def _halved(self: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Any:
    parts = _Scaled.apply(query, 0.25), _Scaled.apply(key, 0.25), _Scaled.apply(value, 0.5)
    return type(self).forward(self, *parts, **options)


def _held(self: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Any:
    return type(self).forward(self, query.detach(), key.detach(), value, **options)


def explain(model: nn.Module, x: Tensor, target: Tensor, *, through_softmax: bool) -> Tensor:
    """Relevance of the input; the model has `nn.LayerNorm`, `nn.GELU` and `nn.MultiheadAttention` as modules."""
    model = copy.deepcopy(model).requires_grad_()
    forwards = {
        nn.LayerNorm: _layer_norm,
        nn.GELU: _ratio,
        nn.MultiheadAttention: _halved if through_softmax else _held,
    }
    for module in model.modules():
        kind = next((kind for kind in forwards if isinstance(module, kind)), None)
        if kind is not None:
            module.forward = MethodType(forwards[kind], module)
    leaf = x.clone().requires_grad_()
    return x * torch.autograd.grad(model(leaf).gather(1, target[:, None]).sum(), leaf)[0]

"""The baselines' formulas written down once more, by autograd through the user's own model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def score(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Logit of each example's target."""
    return model(x)[torch.arange(len(x)), target]


def gradient(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Gradient of each example's target logit with respect to the input, one example at a time."""
    found = []
    for one, index in zip(x, target, strict=True):
        leaf = one[None].detach().clone().requires_grad_()
        found.append(torch.autograd.grad(model(leaf)[0, index], leaf)[0])
    return torch.cat(found)


def integrated(model: nn.Module, x: Tensor, begin: Tensor, target: Tensor, steps: int, digits: type) -> Tensor:
    """Integrated gradients by Gauss-Legendre quadrature whose weights are held in the precision `digits`."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    mean = torch.zeros_like(x)
    for node, weight in zip((nodes + 1) / 2, (weights / 2).astype(digits), strict=True):
        mean += float(weight) * gradient(model, begin + float(node) * (x - begin), target)
    return mean * (x - begin)


def grad_cam(model: nn.Module, layer: nn.Module, x: Tensor, target: Tensor, relu: bool) -> Tensor:
    """Grad-CAM's raw map at a module of the model, ``(batch, 1, height, width)``."""
    kept = []
    # The clone keeps the value from what an in-place ReLU does to it.
    handle = layer.register_forward_hook(lambda _module, _args, out: kept.append(out) or out.clone())
    total = score(model, x.detach().clone().requires_grad_(), target).sum()
    handle.remove()
    slope = torch.autograd.grad(total, kept[0])[0]
    axes = tuple(range(2, slope.dim()))
    found = (slope.mean(axes, keepdim=True) * kept[0].detach()).sum(1, keepdim=True)
    return F.relu(found) if relu else found

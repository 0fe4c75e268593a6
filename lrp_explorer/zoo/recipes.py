"""How each of our own models is trained: for how long, at which pace, on which distortions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lrp_explorer.zoo.distortion import distort, distort_pairs

BATCH = 128
RATE = 3e-3
DECAY = 1e-4

SHRINKAGE = 0.1
"""For two digits. A steady gradient moves a weight by about the learning rate, noise by less: this holds noise down."""


@dataclass(frozen=True)
class Recipe:
    """What differs from one training to another.

    Attributes
    ----------
    epochs : int
        Passes over the training examples. With many more, the decay silences neurons of the first layer by the dozen,
        for the last tenth of a per cent.
    vary : callable
        Distorts a batch of pictures.
    shrinkage : float
        By how much each weight moves towards zero after each step, as a share of the learning rate.
    """

    epochs: int
    vary: Callable[[Tensor, torch.Generator], Tensor] = distort
    shrinkage: float = 0.0


RECIPES = {
    "digits-mlp": Recipe(300),
    "digits-cnn": Recipe(150),
    "mnist-mlp": Recipe(12),
    "mnist-cnn": Recipe(10),
    "two-digits-mlp": Recipe(200, distort_pairs, SHRINKAGE),
    "two-digits-cnn": Recipe(60, distort_pairs, SHRINKAGE),
    "two-digits-mnist-mlp": Recipe(16, distort_pairs, 0.6 * SHRINKAGE),  # MNIST has finer detail to keep
}


def shrink(model: nn.Module, threshold: float) -> None:
    """Move each weight towards zero by `threshold`, and not beyond; biases stay.

    This is a penalty on the sum of absolute weights: those that gain less from the data than it takes end at zero.

    Source: Daubechies, Defrise and De Mol, "An iterative thresholding algorithm for linear inverse problems with a
    sparsity constraint", 2004, the soft threshold S_w.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(functional.softshrink(parameter, threshold))


def pace(step: int, steps: int) -> float:
    """Give the share of the learning rate at a step: up in a line for the first tenth, down to zero as a cosine."""
    rise = max(1, steps // 10)
    return min(1.0, (step + 1) / rise) * (1 + math.cos(math.pi * step / steps)) / 2

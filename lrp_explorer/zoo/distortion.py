"""Small random distortions of training pictures."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

TURN = math.radians(10)
SCALE = 0.1
SHEAR = 0.1
SHIFT = 1.5
"""Greatest distortion either way: radians, logarithm of the factor, slope, pixels."""


def distort(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, scale, shear and shift each picture a little, at random.

    Parameters
    ----------
    pictures : Tensor
        `(batch, channels, height, width)`; the shape is kept.
    generator : torch.Generator
        Where the random numbers come from.
    """

    def between(limit: float) -> Tensor:
        return (2 * torch.rand(len(pictures), generator=generator) - 1) * limit

    angle, scale, shear = between(TURN), torch.exp(between(SCALE)), between(SHEAR)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    across, down = (between(2 * SHIFT / side) for side in (pictures.shape[3], pictures.shape[2]))
    rows = torch.stack([cos, shear * cos - sin, across, sin, shear * sin + cos, down], dim=1)
    grid = functional.affine_grid(rows.view(-1, 2, 3), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False)

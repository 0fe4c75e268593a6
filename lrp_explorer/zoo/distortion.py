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


def distort_pairs(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Distort both digits of each picture by themselves; deal the lower ones out anew, each with ink of any strength.

    A lower digit that stayed with its upper one could be learned as a sign of the label, and ink that is always there
    could be counted on as if it were a bias.

    Parameters
    ----------
    pictures : Tensor
        `(batch, 1, height, width)`, two digits of half the height one above the other; the shape is kept.
    generator : torch.Generator
        Where the random numbers come from.
    """
    count, _, height, width = pictures.shape
    halves = distort(pictures.reshape(2 * count, 1, height // 2, width), generator).view(count, 2, height // 2, width)
    dealt = halves[torch.randperm(count, generator=generator), 1:]
    strength = torch.rand(count, 1, 1, 1, generator=generator)
    return torch.cat([halves[:, :1], dealt * strength], dim=2)

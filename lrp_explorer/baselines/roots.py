"""Where a function on a segment is zero, for a batch of segments at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# The Illinois method needs about ten where the function is smooth.
_REFINEMENTS = 60


@dataclass(frozen=True)
class Point:
    """One position ``(batch,)`` on every segment, and the function's value there."""

    at: Tensor
    value: Tensor

    def where(self, condition: Tensor, other: Point) -> Point:
        """Take this point where `condition` holds, and `other` elsewhere."""
        return Point(torch.where(condition, self.at, other.at), torch.where(condition, self.value, other.value))

    def smaller(self, other: Point) -> Point:
        """Take whichever is closer to a root; this one where they are equal."""
        return other.where(other.value.abs() < self.value.abs(), self)


def first_root(f: Callable[[Tensor], Tensor], start: Tensor, reach: float, samples: int) -> Point:
    """Find the root closest to 0 on ``[0, reach]``, as far as the samples separate it from the next.

    Parameters
    ----------
    f : callable
        Values ``(batch,)`` at positions ``(batch,)``.
    start : Tensor
        Values ``(batch,)`` at 0, known already.
    reach : float
        End of the segment.
    samples : int
        Equidistant positions at which a change of sign is looked for.

    Returns
    -------
    Point
        The root; where no change of sign is seen, the sample of smallest magnitude.
    """
    low = high = best = Point(torch.zeros_like(start), start)
    searching = start != 0
    for index in range(1, samples + 1):
        if not bool(searching.any()):
            break
        at = torch.full_like(start, reach * index / samples)
        here = Point(at, f(at))
        best = best.smaller(here).where(searching, best)
        low, high = high.where(searching, low), here.where(searching, high)
        searching = searching & (here.value.sign() == start.sign())
    # Equal ends stay where they are.
    return _refined(f, best.where(searching, low), best.where(searching, high), start)


def _refined(f: Callable[[Tensor], Tensor], low: Point, high: Point, start: Tensor) -> Point:
    """Close in on the change of sign between two points, by the Illinois variant of regula falsi.

    Dowell and Jarratt 1971 (doi:10.1007/BF01934364).
    """
    tolerance = torch.finfo(start.dtype).eps ** 0.75 * start.abs()
    best = low.smaller(high)
    below, moved_low = low.value.sign(), torch.zeros_like(start)
    for _ in range(_REFINEMENTS):
        spread = high.value - low.value
        if not bool(((best.value.abs() > tolerance) & (spread != 0)).any()):
            break
        at = torch.where(spread == 0, high.at, high.at - high.value * (high.at - low.at) / spread)
        here = Point(at, f(at))
        best = best.smaller(here)
        on_low = here.value.sign() == below
        # An end that stays a second time counts half, or it would stay for ever.
        stays = torch.where(moved_low == torch.where(on_low, 1.0, -1.0), 0.5, 1.0)
        low = here.where(on_low, Point(low.at, low.value * stays))
        high = Point(high.at, high.value * stays).where(on_low, here)
        moved_low = torch.where(on_low, 1.0, -1.0)
    return best

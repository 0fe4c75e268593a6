"""Two digits, one above the other: pictures of 56×28 whose label is that of the upper digit alone.

The lower digit says nothing of the label, so an explanation that shows it shows where the model is misled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from lrp_explorer.errors import DataError

SINGLES = {"two-digits": "digits", "two-digits-mnist": "mnist"}
"""Data sets of two digits, and the data set that the digits come from."""

SEED = "lrp-explorer two digits 1"


@dataclass(frozen=True)
class DigitPairs:
    """Each digit of a split above another one of the same split; stacked when asked for.

    Attributes
    ----------
    digits : numpy.ndarray
        uint8 `(examples, 28, 28)`; the upper half of example i is digit i.
    labels : tuple of int
        Index into `classes` of each digit, and so of the example that has it above.
    classes : tuple of str
        Class names.

    Raises
    ------
    DataError
        If there are fewer than two digits, or not a label for each.
    """

    digits: np.ndarray
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.digits.ndim != 3 or len(self.digits) < 2 or len(self.digits) != len(self.labels):
            raise DataError(
                f"digits of shape {self.digits.shape} with {len(self.labels)} labels cannot be paired; expected at "
                "least two digits (examples, height, width) and a label for each"
            )

    @cached_property
    def partners(self) -> np.ndarray:
        """For each example the index of its lower digit, `(examples,)`."""
        return partners(len(self.digits))

    def picture(self, index: int) -> Image.Image:
        """Give the picture of one example, grey, the upper digit above the lower."""
        return Image.fromarray(self.pixels([index])[0])

    def pixels(self, indices: Sequence[int]) -> np.ndarray:
        """Give the pictures of several examples, uint8 `(examples, height, width)`."""
        upper = np.asarray(indices, int)
        return np.concatenate([self.digits[upper], self.digits[self.partners[upper]]], axis=1)

    def caption(self, index: int) -> str:
        """Give the number and both classes."""
        upper, lower = (self.classes[self.labels[place]] for place in (index, self.partners[index]))
        return f"{index}: {upper} above {lower}"


def partners(count: int) -> np.ndarray:
    """Choose the lower digit of each upper one: each once, none below itself, at random but always the same.

    All are put into the order of a seeded digest of their index, and each has the next one below it, the last one the
    first. Random numbers of a library may change with its version; these do not.

    Parameters
    ----------
    count : int
        How many digits there are, at least 2.

    Returns
    -------
    numpy.ndarray
        int, `(count,)`.
    """
    digests = [hashlib.sha256(f"{SEED} {index}".encode()).digest() for index in range(count)]
    order = np.array(sorted(range(count), key=digests.__getitem__))
    chosen = np.empty(count, dtype=int)
    chosen[order] = np.roll(order, -1)
    return chosen

"""Scikit-learn's handwritten digits, laid out as MNIST is.

The scans are 8×8, each value the ink (0 to 16) of a block of 4×4 pixels. MNIST's pictures are 28×28: the digit, with
anti-aliased strokes, in a box of 20×20, placed so that its centre of mass is the picture's centre.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from PIL import Image

SIZE = 28
BOX = 20
CENTRE = 14.0
"""Row and column of MNIST's mean centre of mass (measured: 14.0 ± 0.3)."""

OVERSAMPLING = 4
"""Sub-pixels for each pixel of the box and axis; a stroke's edge is drawn finely and then averaged, as MNIST's were."""

RAMP = (0.3, 0.7)
"""Share of the scan's most ink at which a stroke's edge begins and is full; it restores MNIST's contrast."""

TEST_SHARE = 0.3
SEED = "lrp-explorer digits 1"


def lay_out(scan: np.ndarray) -> np.ndarray:
    """Lay one scan out as MNIST does.

    Parameters
    ----------
    scan : numpy.ndarray
        `(8, 8)`, ink from 0 on; not empty.

    Returns
    -------
    numpy.ndarray
        uint8 `(28, 28)`, white ink on black.
    """
    # The margin lets strokes that touch the scan's edge end round instead of cut off.
    padded = Image.fromarray(np.pad(scan, 1).astype(np.float32))
    side = BOX * OVERSAMPLING
    margin = side // 8
    smooth = np.asarray(padded.resize((side + 2 * margin, side + 2 * margin), Image.Resampling.LANCZOS))
    low, high = RAMP
    fine = ((smooth / smooth.max() - low) / (high - low)).clip(0, 1)[margin:-margin, margin:-margin]
    box = fine.reshape(BOX, OVERSAMPLING, BOX, OVERSAMPLING).mean(axis=(1, 3))
    top, left = (_offset(box.sum(axis=axis)) for axis in (1, 0))
    canvas = np.zeros((SIZE, SIZE), dtype=np.uint8)
    canvas[top : top + BOX, left : left + BOX] = np.round(box * 255)
    return canvas


def _offset(ink: np.ndarray) -> int:
    centre = float(ink @ np.arange(BOX) / ink.sum())
    return min(max(round(CENTRE - centre), 0), SIZE - BOX)


@cache
def load(split: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Give the pictures `(examples, 28, 28)`, uint8, read-only, and the labels of a split.

    Parameters
    ----------
    split : str
        `"train"` (1258 examples) or `"test"` (539).
    """
    from sklearn.datasets import load_digits

    inks, targets = load_digits(return_X_y=True)
    scans, labels = np.asarray(inks).reshape(-1, 8, 8), np.asarray(targets)
    held_out = held_out_mask(scans, labels)
    chosen = np.flatnonzero(held_out if split == "test" else ~held_out)
    pictures = np.stack([lay_out(scans[index]) for index in chosen])
    pictures.setflags(write=False)
    return pictures, tuple(int(labels[index]) for index in chosen)


def held_out_mask(scans: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Choose the held-out examples: the same share of each class, by a seeded digest of the scan alone.

    The choice does not depend on the order of the examples, nor on any library's random numbers. Equal scans have
    equal digests and would stay together.

    Parameters
    ----------
    scans : numpy.ndarray
        `(examples, 8, 8)`, values from 0 to 16.
    labels : numpy.ndarray
        `(examples,)`.

    Returns
    -------
    numpy.ndarray
        bool, `(examples,)`.
    """
    digests = np.array([hashlib.sha256(SEED.encode() + scan.astype(np.uint8).tobytes()).hexdigest() for scan in scans])
    held_out = np.zeros(len(scans), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        threshold = np.sort(digests[members])[round(TEST_SHARE * len(members))]
        held_out[members] = digests[members] < threshold
    return held_out

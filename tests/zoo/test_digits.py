"""The digits are laid out as MNIST is, and the held-out ones were never seen."""

import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lrp_explorer.zoo import digits


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.concatenate([digits.load("train")[0], digits.load("test")[0]])


def ink(pictures: np.ndarray) -> np.ndarray:
    return pictures.astype(float) / 255


def test_every_scan_is_laid_out_once(pictures):
    assert pictures.shape == (1797, 28, 28)
    assert pictures.dtype == np.uint8
    assert not digits.load("test")[0].flags.writeable  # it is shared


def test_each_digit_keeps_to_a_box_of_20_by_20_and_fills_its_height(pictures):
    rows, columns = (ink(pictures).max(axis=axis) > 0 for axis in (2, 1))

    def extent(marks: np.ndarray) -> np.ndarray:
        return marks.shape[1] - marks.argmax(axis=1) - marks[:, ::-1].argmax(axis=1)

    assert extent(rows).max() <= 20
    assert extent(columns).max() <= 20
    assert np.median(extent(rows)) == 20


def test_the_centre_of_mass_is_the_pictures_centre(pictures):
    weight = ink(pictures)
    total = weight.sum(axis=(1, 2))
    for axis in (2, 1):
        centre = weight.sum(axis=axis) @ np.arange(28) / total
        assert np.abs(centre - 14).max() <= 0.5 + 1e-9  # whole pixels, as MNIST


def test_the_contrast_is_that_of_mnist(pictures):
    weight = ink(pictures)
    assert weight.max(axis=(1, 2)).min() == 1.0
    assert (weight[:, 0].max(), weight[:, :, 0].max()) == (0, 0)
    # MNIST's training pictures have a mean of 0.131 and 13.2 % of their pixels above one half.
    assert weight.mean() == pytest.approx(0.131, abs=0.015)
    assert (weight > 0.5).mean() == pytest.approx(0.132, abs=0.015)


def test_the_resampling_is_smooth():
    """No step from block to block: an even patch of ink has an even inside and a graded edge."""
    scan = np.zeros((8, 8))
    scan[2:6, 2:6] = 16
    picture = ink(digits.lay_out(scan))
    inside = picture[11:17, 11:17]
    assert inside.min() == 1.0
    row = picture[14]
    assert np.all(np.diff(row[:14]) >= 0)
    assert np.all(np.diff(row[14:]) <= 0)
    assert ((row > 0.02) & (row < 0.98)).any()


def test_faint_ink_is_brought_to_full_contrast():
    strong = np.zeros((8, 8))
    strong[1:7, 3:5] = 16
    np.testing.assert_array_equal(digits.lay_out(strong), digits.lay_out(strong / 4))


def test_the_split_is_fixed_and_stratified():
    (train, train_labels), (test, test_labels) = digits.load("train"), digits.load("test")
    assert (len(train), len(test)) == (1258, 539)
    share = np.bincount(test_labels) / (np.bincount(train_labels) + np.bincount(test_labels))
    assert np.abs(share - 0.3).max() < 0.005
    assert hashlib.sha256(np.array(test_labels, np.uint8).tobytes()).hexdigest()[:12] == "e6348c83c569"


def test_no_held_out_scan_is_trained_on():
    train, test = ({picture.tobytes() for picture in digits.load(split)[0]} for split in ("train", "test"))
    assert not train & test


def test_the_split_depends_on_the_scans_alone_and_equal_scans_stay_together():
    scans, labels = load_digits(return_X_y=True)
    scans = scans.reshape(-1, 8, 8)
    chosen = digits.held_out_mask(scans, labels)
    order = np.argsort(labels, kind="stable")[::-1]
    np.testing.assert_array_equal(digits.held_out_mask(scans[order], labels[order]), chosen[order])
    doubled = digits.held_out_mask(np.concatenate([scans, scans]), np.concatenate([labels, labels]))
    np.testing.assert_array_equal(doubled[: len(scans)], doubled[len(scans) :])

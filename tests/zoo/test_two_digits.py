"""Two digits, one above the other: the upper one gives the label, and the splits stay apart."""

import hashlib
import pickle

import numpy as np
import pytest
from PIL import Image

from lrp_explorer import zoo
from lrp_explorer.errors import DataError, UnknownNameError
from lrp_explorer.zoo import digits
from lrp_explorer.zoo.two_digits import DigitPairs, partners

SIZES = {"train": 1258, "test": 539}


def halves(data: zoo.ImageDataset) -> tuple[np.ndarray, np.ndarray]:
    """The upper and the lower digit of each example, as the model sees them."""
    pictures = np.stack([data.image(index) for index in range(len(data))])
    assert pictures.shape[1:] == (56, 28)
    return pictures[:, :28], pictures[:, 28:]


@pytest.mark.parametrize("split", SIZES)
def test_the_label_is_that_of_the_upper_digit(split):
    data = zoo.load_dataset("two-digits", split)
    source, labels = digits.load(split)
    upper, _ = halves(data)
    np.testing.assert_array_equal(upper, source)
    assert data.labels == list(labels)
    assert (len(data), data.classes) == (SIZES[split], tuple("0123456789"))


@pytest.mark.parametrize("split", SIZES)
def test_every_digit_of_the_split_is_below_another_one_once(split):
    upper, lower = halves(zoo.load_dataset("two-digits", split))
    source = digits.load(split)[0]
    assert sorted(half.tobytes() for half in lower) == sorted(half.tobytes() for half in source)
    assert (upper != lower).any(axis=(1, 2)).all()


def test_no_digit_of_one_split_is_in_the_other_neither_above_nor_below():
    train, test = (
        {half.tobytes() for side in halves(zoo.load_dataset("two-digits", split)) for half in side} for split in SIZES
    )
    assert (len(train), len(test)) == tuple(SIZES.values())
    assert not train & test


def test_the_pairing_is_always_the_same():
    np.random.seed(1)  # noqa: NPY002, the global state is what must not matter
    first = partners(539)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(partners(539), first)
    assert hashlib.sha256(first.astype("<u2").tobytes()).hexdigest()[:12] == "c733da79b2ed"


@pytest.mark.parametrize("count", [2, 3, 10, 1258])
def test_a_pairing_uses_each_once_and_none_with_itself(count):
    chosen = partners(count)
    assert sorted(chosen) == list(range(count))
    assert (chosen != np.arange(count)).all()


@pytest.mark.parametrize("split", SIZES)
def test_the_lower_digit_says_nothing_of_the_label(split):
    labels = np.array(digits.load(split)[1])
    table = np.zeros((10, 10))
    np.add.at(table, (labels, labels[partners(len(labels))]), 1)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / len(labels)
    chi_squared = ((table - expected) ** 2 / expected).sum()
    assert 40 < chi_squared < 132  # of 81 degrees of freedom: 81 ± 4 deviations, nor evened out by hand
    assert (table > 0).all()


def test_an_example_is_a_tensor_and_can_be_named():
    data = zoo.load_dataset("two-digits", card=zoo.model_card("two-digits-cnn"))
    example, label = data[4]
    assert (tuple(example.shape), type(label)) == ((1, 56, 28), int)
    np.testing.assert_array_equal((example[0] * 255).round().numpy(), data.image(4))
    below = digits.load("test")[1][partners(539)[4]]
    assert data.caption(4) == f"4: {label} above {below}"
    np.testing.assert_array_equal(data.image(-1), data.image(538))
    with pytest.raises(IndexError):
        data[539]


def test_it_can_be_sent_to_another_process():
    data = zoo.load_dataset("two-digits", card=zoo.model_card("two-digits-mlp"))
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy.image(7), data.image(7))


def test_a_picture_of_ones_own_is_fitted_to_the_proportions():
    values = np.zeros((112, 112), np.uint8)
    values[:, 28:84] = 200
    example = zoo.model_card("two-digits-cnn").preprocess(Image.fromarray(values))
    assert example.shape == (1, 56, 28)
    assert example[:, :, 1:-1].mul(255).round().unique().tolist() == [200]  # the edge may take in a little beyond


@pytest.mark.parametrize("shape", [(1, 28, 28), (0, 28, 28), (5, 28, 28), (3, 28), (3, 28, 28, 3)])
def test_what_cannot_be_paired_is_refused(shape):
    labels = (0,) * min(shape[0], 3)
    with pytest.raises(DataError, match=r"cannot be paired; expected at least two digits") as caught:
        DigitPairs(np.zeros(shape, np.uint8), labels, tuple("0123456789"))
    assert f"digits of shape {shape} with {len(labels)} labels" in str(caught.value)


def test_a_name_or_split_that_does_not_exist_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown data set 'two-digit'\. Did you mean 'two-digits'"):
        zoo.load_dataset("two-digit")
    with pytest.raises(UnknownNameError, match=r"unknown split 'validation'"):
        zoo.load_dataset("two-digits", "validation")


def test_without_mnist_its_files_are_named_and_the_embedded_digits_still_pair(cache, offline):
    with pytest.raises(DataError, match=r"'mnist' is not on this machine.*Missing or damaged: train-images-idx3"):
        zoo.load_dataset("two-digits-mnist")
    assert len(zoo.load_dataset("two-digits")) == 539


@pytest.mark.parametrize("split", ["train", "test"])
def test_mnist_is_paired_alike(split, mnist_folder, monkeypatch):
    monkeypatch.setenv("LRP_EXPLORER_CACHE", str(mnist_folder))
    pairs, single = (zoo.load_dataset(name, split) for name in ("two-digits-mnist", "mnist"))
    assert pairs.labels == single.labels
    below = partners(len(single))
    for index in range(0, len(single), 997):
        both = np.concatenate([single.image(index), single.image(int(below[index]))])
        np.testing.assert_array_equal(pairs.image(index), both)

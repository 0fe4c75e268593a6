"""Mean images against the plain mean, and of the same examples as the masks."""

import numpy as np
import pytest
import torch

from lrp_explorer.analyses.aggregate import aggregate
from lrp_explorer.analyses.mean_image import mean_images
from lrp_explorer.errors import DataError, InputError, UnknownNameError


def plain(digits, chosen, limit):
    ids = [i for i, label in enumerate(digits.labels) if label == chosen][:limit]
    return torch.stack([digits[i][0] for i in ids]).double().mean(0).numpy(), len(ids)


@pytest.mark.parametrize("limit", [5, None])
def test_it_is_the_mean_of_the_first_examples_of_each_class(digits, limit):
    images = mean_images(digits, [3, 8], limit)
    for row, chosen in enumerate((3, 8)):
        mean, count = plain(digits, chosen, limit)
        np.testing.assert_allclose(images.of(chosen), mean, rtol=1e-12, atol=1e-14)
        assert images.counts[row] == count
    whole = np.average(images.values[:2], axis=0, weights=images.counts[:2])
    np.testing.assert_allclose(images.of("all"), whole, rtol=1e-12, atol=1e-14)


def test_the_examples_are_those_of_the_masks(digits, model):
    images = mean_images(digits, limit=3)
    masks = aggregate(model, digits, limit=3, reduce="mean", progress=False, device="cpu")
    assert (images.classes, images.counts) == (masks.classes, masks.counts)


def test_many_small_batches_give_the_same(digits, monkeypatch):
    whole = mean_images(digits, limit=7).values
    monkeypatch.setattr("lrp_explorer.analyses.mean_image.batch_size", lambda shape: 2)
    np.testing.assert_allclose(mean_images(digits, limit=7).values, whole, rtol=1e-12, atol=1e-14)


def test_bad_input_is_told(digits):
    with pytest.raises(InputError, match="limit is 0"):
        mean_images(digits, limit=0)
    with pytest.raises(UnknownNameError, match="unknown class 'nine'"):
        mean_images(digits, "nine")
    with pytest.raises(UnknownNameError):
        mean_images(digits, [1], 2).of(7)
    with pytest.raises(DataError, match="empty"):
        mean_images([])
    uneven = [(torch.zeros(1, 4, 4), 0), (torch.zeros(1, 4, 4), 0), (torch.zeros(1, 5, 4), 0)]
    with pytest.raises(DataError, match="example 2 has shape"):
        mean_images(uneven)


def test_it_gives_up_when_told(digits):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mean_images(digits, limit=2, check=stop)

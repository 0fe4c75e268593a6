"""Mean images against the plain mean, and of the same examples as the masks."""

import numpy as np
import pytest
import torch

from lrp_explorer.analyses.aggregate import prepare
from lrp_explorer.analyses.mean_image import mean_images
from lrp_explorer.errors import DataError, UnknownNameError


def plain(digits, chosen, limit):
    ids = [i for i, label in enumerate(digits.labels) if label == chosen][:limit]
    return torch.stack([digits[i][0] for i in ids]).double().mean(0).numpy(), len(ids)


@pytest.fixture
def folded(digits, model):
    """Choice and masks of a run."""

    def fold(**settings):
        run = prepare(model, digits, reduce="mean", device="cpu", **settings)
        masks = run.run()
        assert run.choice is not None
        return run.choice, masks

    return fold


@pytest.mark.parametrize("limit", [5, None])
def test_it_is_the_mean_of_the_first_examples_of_each_class(digits, folded, limit):
    images = mean_images(digits, folded(classes=[3, 8], limit=limit)[0])
    for row, chosen in enumerate((3, 8)):
        mean, count = plain(digits, chosen, limit)
        np.testing.assert_allclose(images.of(chosen), mean, rtol=1e-12, atol=1e-14)
        assert images.counts[row] == count
    whole = np.average(images.values[:2], axis=0, weights=images.counts[:2])
    np.testing.assert_allclose(images.of("all"), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("target", ["label", "prediction"])
def test_the_examples_are_those_of_the_masks(digits, folded, target):
    choice, masks = folded(limit=3, target=target)
    images = mean_images(digits, choice)
    assert (images.classes, images.counts) == (masks.classes, masks.counts)


def test_many_small_batches_give_the_same(digits, folded, monkeypatch):
    choice, _ = folded(limit=7)
    whole = mean_images(digits, choice).values
    monkeypatch.setattr("lrp_explorer.analyses.mean_image.batch_size", lambda shape: 2)
    np.testing.assert_allclose(mean_images(digits, choice).values, whole, rtol=1e-12, atol=1e-14)


def test_bad_input_is_told(digits, folded):
    choice, _ = folded(classes=[1], limit=2)
    with pytest.raises(UnknownNameError):
        mean_images(digits, choice).of(7)
    shapes = {i: torch.zeros(1, 4 + (i == choice.shards[0].batches[0].ids[1]), 4) for i in range(len(digits))}
    with pytest.raises(DataError, match=r"example \d+ has shape"):
        mean_images([(shapes[i], 1) for i in range(len(digits))], choice)


def test_it_gives_up_when_told(digits, folded):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mean_images(digits, folded(limit=2)[0], check=stop)

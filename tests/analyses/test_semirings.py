"""Masks over semirings: every threshold from one pass, path counts, best paths and their costs."""

import numpy as np
import pytest
import torch

import lrp_explorer as lrp
from lrp_explorer import semirings
from lrp_explorer.analyses.aggregate import aggregate

SETTINGS = {"limit": 6, "progress": False, "device": "cpu", "layer": ["input", "dense1"]}


@pytest.fixture(scope="module")
def bottleneck(model, digits):
    return aggregate(model, digits, semiring="bottleneck", reduce=("and", "or", "vote(0.5)", "max"), **SETTINGS)


@pytest.mark.parametrize("theta", [1e-6, 1e-3, 0.01, 0.05, 0.2])
def test_one_pass_of_bottleneck_gives_the_boolean_masks_of_every_threshold(model, digits, bottleneck, theta):
    names = ("and", "or", "vote(0.5)")
    boolean = aggregate(model, digits, semiring=semirings.Boolean(theta=theta), reduce=names, **SETTINGS)
    then = bottleneck.at(theta)
    assert then.reductions == names
    for layer in SETTINGS["layer"]:
        for name in names:
            np.testing.assert_array_equal(then[layer, name], boolean[layer, name], err_msg=f"{layer} {name}")
    assert boolean["input", "and"].dtype == bool


def test_the_thresholds_tried_say_something(bottleneck):
    shares = [bottleneck.at(theta)["input", "or"].mean() for theta in (1e-6, 1e-3, 0.01, 0.05, 0.2)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


@pytest.mark.parametrize("name", ["boolean", "counting", "viterbi", "tropical"])
def test_every_semiring_is_folded_as_its_maps_stacked(model, digits, name):
    chosen = [i for i, label in enumerate(digits.labels) if label == 2][:6]
    x = torch.stack([digits[i][0] for i in chosen])
    maps = lrp.Session(model, x, "cpu", memory=0).relevance(2, semiring=name)
    masks = aggregate(model, digits, classes=2, semiring=name, reduce=("and", "or", "min", "max", "mean"), **SETTINGS)
    for layer in SETTINGS["layer"]:
        stack = maps[layer].numpy()
        relevant = stack if stack.dtype == bool else stack < np.inf if name == "tropical" else stack > 0
        np.testing.assert_array_equal(masks[layer, "and"][0], relevant.all(0))
        np.testing.assert_array_equal(masks[layer, "or"][0], relevant.any(0))
        np.testing.assert_array_equal(masks[layer, "min"][0], stack.min(0))
        np.testing.assert_array_equal(masks[layer, "max"][0], stack.max(0))
        np.testing.assert_allclose(masks[layer, "mean"][0], stack.astype(np.float64).mean(0), rtol=1e-12)

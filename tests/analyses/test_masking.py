"""Masks put on real digits, and what the model says then."""

import numpy as np
import pytest
import torch

from lrp_explorer.analyses.masking import apply, masked_prediction, strongest
from lrp_explorer.errors import InputError, UnknownNameError


def test_keep_and_remove_share_the_pixels_out(digits):
    example = digits[0][0]
    mask = np.zeros((28, 28), bool)
    mask[:14] = True
    kept, removed = apply(example, mask, "keep", -1.0), apply(example, mask, "remove", -1.0)
    assert torch.equal(kept[:, :14], example[:, :14])
    assert torch.equal(removed[:, 14:], example[:, 14:])
    assert (kept[:, 14:] == -1).all()
    assert (removed[:, :14] == -1).all()


def test_a_picture_may_fill_and_the_example_stays(digits):
    example, fill = digits[0][0], np.full((1, 28, 28), 0.25)
    before = example.clone()
    done = apply(example, np.zeros((1, 28, 28), bool), "keep", fill)
    assert (done == 0.25).all()
    assert done.dtype == example.dtype
    assert torch.equal(example, before)


def test_the_prediction_is_that_of_the_model(model, digits):
    example = digits[3][0]
    rng = np.random.default_rng(0)
    mask = rng.random((28, 28)) < 0.3
    found = masked_prediction(model, example, mask, "remove", 0.5, device="cpu")
    with torch.no_grad():
        expected = model(torch.stack([example, found.example])).double().numpy()
    np.testing.assert_allclose([found.before, found.after], expected, rtol=1e-5, atol=1e-5)
    assert found.predictions == tuple(expected.argmax(1))
    assert found.share == pytest.approx(mask.mean())
    assert masked_prediction(model, example, mask, "keep", device="cpu").share == pytest.approx(1 - mask.mean())


def test_nothing_replaced_changes_nothing(model, digits):
    found = masked_prediction(model, digits[3][0], np.ones((28, 28), bool), "keep", device="cpu")
    assert found.share == 0
    np.testing.assert_array_equal(found.before, found.after)


def test_strongest_takes_a_share_with_ties_and_without_nan():
    values = np.array([3.0, np.nan, 1.0, 3.0, -5.0])
    assert strongest(values, 0.2).tolist() == [True, False, False, True, False]
    assert strongest(values, 0.6).tolist() == [True, False, True, True, False]
    assert strongest(values, 0.2, lowest=True).tolist() == [False, False, False, False, True]
    assert not strongest(values, 0.0).any()
    assert strongest(values, 1.0).tolist() == [True, False, True, True, True]


def test_bad_input_is_told(digits):
    example = digits[0][0]
    with pytest.raises(UnknownNameError, match="action"):
        apply(example, np.zeros((28, 28), bool), "blur")
    with pytest.raises(InputError, match="holds float64"):
        apply(example, np.zeros((28, 28)))
    with pytest.raises(InputError, match=r"shape \(56, 28\)"):
        apply(example, np.zeros((56, 28), bool))
    with pytest.raises(InputError, match=r"fill has shape \(3, 3\)"):
        apply(example, np.zeros((28, 28), bool), fill=np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"share is 1.5"):
        strongest(np.zeros(3), 1.5)

"""From picture to tensor and back, for each way a model may want it."""

import numpy as np
import pytest
import torch
from PIL import Image

from lrp_explorer import zoo
from lrp_explorer.errors import InputError
from lrp_explorer.zoo.preprocessing import Unit, picture


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)


def test_a_picture_of_the_right_size_passes_unchanged(noise):
    unit = Unit()
    example = unit(Image.fromarray(noise))
    assert (example.shape, example.dtype) == ((1, 28, 28), torch.float32)
    np.testing.assert_array_equal(example[0].numpy(), noise.astype(np.float32) / 255)
    np.testing.assert_array_equal(unit.to_image(example), noise)


def test_colours_become_grey_or_stay_as_wanted(noise):
    image = Image.fromarray(np.stack([noise, noise.T, 255 - noise], axis=-1))
    assert Unit(28, channels=1)(image).shape == (1, 28, 28)
    example = Unit(28, channels=3)(image)
    np.testing.assert_array_equal(Unit(28, channels=3).to_image(example), np.asarray(image))


def test_another_shape_is_cropped_to_its_central_square():
    values = np.zeros((56, 112), np.uint8)
    values[:, 28:84] = 200
    example = Unit()(Image.fromarray(values))
    assert example[:, :, 1:-1].mul(255).round().unique().tolist() == [200]  # the edge may take in a little beyond


def test_a_normalised_example_turns_back_into_its_picture():
    card = zoo.model_card("squeezenet1_0")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    seen = card.to_image(card.preprocess(image))
    np.testing.assert_array_equal(seen, np.asarray(image)[16:240, 16:240])


def test_grey_pictures_suit_colour_models(noise):
    assert zoo.model_card("squeezenet1_0").preprocess(Image.fromarray(noise)).shape == (3, 224, 224)


def test_values_beyond_the_bounds_are_clipped_for_display():
    assert picture(torch.tensor([[[-1.0, 0.0, 0.5, 2.0]]])).tolist() == [[0, 0, 128, 255]]


def test_an_example_that_needs_a_gradient_can_be_shown():
    assert picture(torch.ones(1, 2, 2, requires_grad=True)).tolist() == [[255, 255], [255, 255]]


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (8, 8), (2, 8, 8)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(
        InputError, match=r"is no picture; expected \(1, height, width\) or \(3, height, width\)"
    ) as caught:
        picture(torch.zeros(shape))
    assert str(shape) in str(caught.value)

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lrp_explorer.errors import InputError
from lrp_explorer.figures import pictures


def _read(address):
    head, code = address.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 3)])
def test_the_address_holds_exactly_the_pixels(shape):
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    expected = np.broadcast_to(image.reshape(3, 4, -1), (3, 4, 3))
    assert np.array_equal(_read(pictures.as_address(image)), expected)


@pytest.mark.parametrize("shape", [(4,), (3, 4, 2), (1, 3, 4, 3), (0, 4)])
def test_other_shapes_are_refused_with_what_was_expected(shape):
    with pytest.raises(InputError, match=r"expected \(height, width\)"):
        pictures.as_rgb(np.zeros(shape, dtype=np.uint8))


def test_other_types_are_refused():
    with pytest.raises(InputError, match="float64 was given; expected uint8"):
        pictures.as_rgb(np.zeros((3, 4)))

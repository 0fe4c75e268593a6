"""The strip of thumbnails without a browser."""

import numpy as np
import pytest
import traitlets

from lrp_explorer.errors import InputError
from lrp_explorer.figures import theme
from lrp_explorer.panels.channel import unpack
from lrp_explorer.panels.thumbnails import LARGEST, ThumbnailStrip


def shown(strip: ThumbnailStrip) -> list[np.ndarray]:
    return [unpack(item["picture"]) for item in strip._state["items"]]


def painted(strip: ThumbnailStrip) -> list[np.ndarray]:
    """Look colours up as the browser does."""
    table = np.frombuffer(strip._state["table"], np.uint8).reshape(256, 3)
    return [table[indices] for indices in shown(strip)]


@pytest.fixture
def strip() -> ThumbnailStrip:
    strip = ThumbnailStrip()
    strip.set([(f"layer {i}", "4 × 4", np.zeros((4, 4))) for i in range(3)])
    return strip


def test_maps_get_the_colours_of_all_other_figures() -> None:
    strip = ThumbnailStrip()
    values = np.linspace(-1, 1, 255).reshape(5, 51)
    strip.set([("a", "", values)])
    np.testing.assert_array_equal(painted(strip)[0], theme.colours(values, 1.0))


def test_zero_is_white_and_the_ends_saturate() -> None:
    strip = ThumbnailStrip()
    strip.set([("a", "", np.array([[0.0, 7.0, 1.0, -7.0, -1.0, np.nan, np.inf]]))])
    zero, over, top, under, bottom, nothing, infinite = painted(strip)[0][0]
    assert zero.tolist() == nothing.tolist() == [255, 255, 255]
    assert over.tolist() == top.tolist() == infinite.tolist() != under.tolist() == bottom.tolist()


def test_colour_pictures_stay_as_they_are() -> None:
    strip = ThumbnailStrip()
    picture = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    strip.set([("a", "", picture)])
    np.testing.assert_array_equal(shown(strip)[0], picture)


@pytest.mark.parametrize("shape", [(224, 224), (113, 10), (1, 1000), (300, 449)])
def test_large_maps_are_averaged(shape: tuple[int, int]) -> None:
    strip = ThumbnailStrip()
    strip.set([("a", "", np.full(shape, 0.5))])
    small = shown(strip)[0]
    assert max(small.shape) <= LARGEST
    assert np.all(small == shown_value(0.5))


def shown_value(value: float) -> int:
    return round(value * 127) + 128


def test_opposite_signs_cancel_when_averaged() -> None:
    strip = ThumbnailStrip()
    strip.set([("a", "", np.indices((224, 224)).sum(axis=0) % 2 * 2.0 - 1)])
    assert np.all(shown(strip)[0] == 128)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros(4), np.zeros((0, 3)), np.zeros((4, 4, 4), np.uint8)],
)
def test_other_pictures_are_refused(strip: ThumbnailStrip, picture: np.ndarray) -> None:
    with pytest.raises(InputError, match="picture of 'bad'"):
        strip.set([("bad", "", picture)])
    assert len(shown(strip)) == 3


def test_selecting_from_here(strip: ThumbnailStrip) -> None:
    strip.selected = 2
    assert strip._state["selected"] == 2
    strip.selected = -1
    assert strip._state["selected"] == -1


@pytest.mark.parametrize("index", [-2, 3])
def test_selecting_what_is_not_there(strip: ThumbnailStrip, index: int) -> None:
    with pytest.raises((InputError, traitlets.TraitError), match=f"selected is {index}; there are 3 pictures"):
        strip.selected = index


def test_selecting_in_the_browser(strip: ThumbnailStrip) -> None:
    seen = []
    strip.observe(lambda change: seen.append(change["new"]), "selected")
    strip._channel._handle_custom_msg({"kind": "select", "index": 1, "view": "v", "turn": 4}, [])
    assert seen == [1]
    assert {"selected": 1, "view": "v", "turn": 4}.items() <= strip._state.items()


def test_a_late_click_on_what_is_gone_is_answered_and_changes_nothing(strip: ThumbnailStrip) -> None:
    strip.selected = 2
    strip.set([("only", "", np.zeros((2, 2)))])
    assert strip.selected == 0
    strip._channel._handle_custom_msg({"kind": "select", "index": 2, "view": "v", "turn": 1}, [])
    assert strip.selected == 0
    assert strip._state["turn"] == 1


@pytest.mark.parametrize("size", [0, 600])
def test_a_size_that_cannot_be(size: int) -> None:
    with pytest.raises(InputError, match=f"size is {size}"):
        ThumbnailStrip(size=size)

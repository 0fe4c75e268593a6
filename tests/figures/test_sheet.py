"""The explanation as one picture file."""

import numpy as np
import pytest

from lrp_explorer.errors import InputError
from lrp_explorer.figures import sheet, theme


def pixels(*arguments, **options) -> np.ndarray:
    return np.asarray(sheet.draw(*arguments, **options))


def test_colours_are_those_of_the_other_figures() -> None:
    relevance = np.array([[1.0, -1.0], [0.0, 0.5]])
    drawn = pixels(np.zeros((2, 2), np.uint8), relevance)
    left = 2 * sheet.GAP + sheet.SIDE
    quarter = sheet.SIDE // 4
    for row in (0, 1):
        for column in (0, 1):
            found = drawn[sheet.HEAD + quarter + 2 * quarter * row, left + quarter + 2 * quarter * column]
            assert found.tolist() == theme.colours(relevance[row, column], 1.0).tolist()


def test_pixels_are_enlarged_as_squares() -> None:
    image = np.zeros((28, 28, 3), np.uint8)
    image[3, 5] = (10, 200, 30)
    drawn = pixels(image, np.ones((28, 28)))
    block = (drawn[sheet.HEAD : sheet.HEAD + 448, sheet.GAP : sheet.GAP + 448] == (10, 200, 30)).all(axis=2)
    rows, columns = np.nonzero(block)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (48, 63, 80, 95)
    assert block.sum() == 256


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (224, 224), (300, 600), (2000, 1000), (3, 900)])
def test_sizes(shape: tuple[int, int]) -> None:
    drawn = pixels(np.zeros((*shape, 3), np.uint8), np.zeros(shape), "title")
    assert drawn.shape[0] < 1100
    assert drawn.shape[1] < 2200


def test_the_bar_is_white_in_the_middle_and_coloured_at_its_ends() -> None:
    drawn = pixels(np.zeros((4, 4), np.uint8), np.full((4, 4), 2.0))
    column = drawn[sheet.HEAD : sheet.HEAD + sheet.SIDE, 3 * sheet.GAP + 2 * sheet.SIDE + 5]
    assert column[0].tolist() == theme.colours(np.array(1.0), 1.0).tolist()
    assert column[-1].tolist() == theme.colours(np.array(-1.0), 1.0).tolist()
    assert column[sheet.SIDE // 2].min() > 245


def test_words_are_drawn_and_kept_on_the_sheet() -> None:
    image, relevance = np.zeros((4, 4), np.uint8), np.zeros((4, 4))
    blank, short = pixels(image, relevance), pixels(image, relevance, "tabby", "détail · ε")
    assert (blank[: sheet.HEAD - 2] != short[: sheet.HEAD - 2]).any()
    assert (blank[-30:] != short[-30:]).any()
    long = pixels(image, relevance, "very " * 100)
    assert (long[: sheet.HEAD - 2, -sheet.GAP :] == 255).all()


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"the image is \(4, 5\), the relevance \(4, 4\)"):
        sheet.draw(np.zeros((4, 5), np.uint8), np.zeros((4, 4)))

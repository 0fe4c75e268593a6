"""Where masks stand: never over each other, as large as they can be, and in the usual way unless that costs much."""

from itertools import product

import numpy as np
import pytest

from lrp_explorer.figures.mask_plan import GAIN, Plan, plan, scale


@pytest.mark.parametrize(("high", "wide"), [(28, 28), (56, 28), (8, 20)])
@pytest.mark.parametrize("reductions", [1, 2, 3, 6, 9])
@pytest.mark.parametrize("classes", [1, 2, 3, 5, 11, 16])
def test_masks_lie_beside_each_other_within_the_whole(classes, reductions, high, wide):
    found = plan(classes, reductions, high, wide)
    taken = np.zeros(found.size, int)
    for pair in product(range(reductions), range(classes)):
        top, left = found.corner(*pair)
        taken[top : top + high, left : left + wide] += 1
        assert taken[top : top + high, left : left + wide].shape == (high, wide)
        middle = left + wide / 2, top + high / 2
        assert found.nearest(*middle) == pair
        assert found.nearest(left - 0.4, top - 0.4) == pair
    assert taken.max() == 1
    assert sorted(one for band in range(found.bands) for one in found.band(band)) == list(range(classes))
    usual = Plan(classes, reductions, high, wide, found.gap)
    assert found == usual or scale(found) > GAIN * scale(usual)


def test_eleven_classes_with_three_reductions_stand_in_the_usual_way():
    found = plan(11, 3, 28, 28)
    assert (found.across, found.bands) == (True, 1)


def test_few_classes_are_rows():
    assert not plan(2, 3, 28, 28).across
    assert scale(plan(2, 3, 28, 28)) > 1.4 * scale(Plan(2, 3, 28, 28, 2))


def test_one_reduction_is_folded():
    found = plan(11, 1, 28, 28)
    assert (found.across, found.bands) == (True, 2)
    assert scale(found) > 1.4 * scale(Plan(11, 1, 28, 28, 2))


def test_what_can_be_stretched_needs_no_other_plan():
    assert plan(2, 3, 40, 64, fixed=False) == Plan(2, 3, 40, 64, 5)


def test_labels_have_room_between_bands():
    found = plan(11, 1, 28, 28)
    assert found.apart * scale(found) >= 36

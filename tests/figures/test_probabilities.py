import numpy as np
import pytest
from figures.rendered import rendered

from lrp_explorer.errors import InputError
from lrp_explorer.figures import probabilities, theme


def test_softmax_is_exact_and_does_not_overflow():
    assert probabilities.softmax(np.log([1.0, 3.0])).tolist() == pytest.approx([0.25, 0.75], abs=1e-15)
    assert probabilities.softmax(np.array([10000.0, 10000.0])).tolist() == [0.5, 0.5]


def test_the_most_probable_come_first_and_the_lower_class_where_equal():
    numbers = probabilities.info(np.log([1.0, 4.0, 1.0, 2.0]), names=["a", "b"], k=3)
    assert numbers.classes == (1, 3, 0)
    assert numbers.names == ("b", "class 3", "a")
    assert numbers.probabilities.tolist() == pytest.approx([0.5, 0.25, 0.125])
    assert numbers.describe() == "Most probable classes: b 50.0%, class 3 25.0%, a 12.5%."


def test_fewer_classes_than_asked_for():
    assert probabilities.info(np.zeros(2)).classes == (0, 1)


def test_bars_carry_the_class_where_they_are_clicked():
    fig = probabilities.bars(probabilities.info(np.log([1.0, 4.0, 3.0]), names=["x", "y", "<z>"], chosen=2))
    bars, rows = rendered(fig)["data"]
    assert bars["marker"]["color"] == [theme.ACCENT_PALE, theme.ACCENT_SOFT, theme.ACCENT_PALE]
    assert bars["customdata"] == rows["customdata"] == [1, 2, 0]
    assert fig.data[1].x.tolist() == [1.0, 1.0, 1.0]
    texts = [a.text for a in fig.layout.annotations]
    assert texts == ["y", "50.0%", "<b>&lt;z&gt;</b>", "<b>37.5%</b>", "x", "12.5%"]


def test_a_batch_of_logits_is_refused():
    with pytest.raises(InputError, match="choose one example"):
        probabilities.info(np.zeros((2, 10)))

import numpy as np
import pytest
from figures.rendered import rendered

from lrp_explorer.errors import InputError
from lrp_explorer.figures import theme, thresholds

THETAS = np.logspace(-4, 0, 5)
SHARES = np.array([[1.0, 1.0, 0.8, 0.2, 0.0], [0.5, 0.5, 0.1, 0.0, 0.0]])


def figure(**options):
    return thresholds.influence(["input", "con<v"], THETAS, SHARES, **options)


def test_a_line_for_each_layer_over_powers_of_ten_with_theta_marked():
    drawn = rendered(figure(theta=0.01))
    assert drawn["layout"]["xaxis"]["type"] == "log"
    assert drawn["layout"]["xaxis"]["range"] == [-4.0, 0.0]
    mark, first, second = drawn["data"]
    assert mark["x"] == [0.01, 0.01]
    assert first["name"] == "input"
    assert "con&lt;v" in second["hovertemplate"]
    assert np.array_equal(figure().data[1].y, SHARES[0])
    assert np.array_equal(figure().data[2].x, THETAS)


def test_without_a_threshold_none_is_marked():
    assert list(figure().data[0].x) == []


def test_lines_darken_towards_the_output_and_the_chosen_one_stands_out():
    plain = [trace.line.color for trace in figure().data[1:]]
    green = [int(colour.split(",")[1]) for colour in plain]
    assert green[0] > green[1]
    chosen = figure(chosen="con<v")
    assert [t.line.color for t in chosen.data[1:]] == [plain[0], theme.POSITIVE]
    assert chosen.data[2].line.width > chosen.data[1].line.width
    assert any("con&lt;v" in note.text for note in chosen.layout.annotations)
    assert len(chosen.layout.annotations) == len(figure().layout.annotations) + 1


def test_moving_the_threshold_changes_the_mark_alone():
    fig = figure(theta=0.01)
    fig.data[0].update(thresholds.restyle(0.1))
    assert rendered(fig) == rendered(figure(theta=0.1))


def test_shares_at_a_threshold():
    numbers = thresholds.info(["a", "b"], THETAS, SHARES)
    for place, theta in enumerate(THETAS):
        assert numbers.at(theta) == pytest.approx(SHARES[:, place], abs=1e-12)
    assert numbers.at(10**-1.5) == pytest.approx([0.5, 0.05])
    assert numbers.describe(0.01).endswith("At θ = 0.01: 80.0% of a, 10.0% of b.")


@pytest.mark.parametrize(
    ("thetas", "shares", "said"),
    [
        (THETAS, SHARES[:, :3], r"shares of shape \(2, 3\) were given for 2 layers and 5 thresholds"),
        (THETAS[::-1], SHARES, "expected finite, growing ones above zero"),
        ([0.0, 1.0], SHARES[:, :2], "thresholds run from .*0.0"),
        (THETAS, SHARES * 2, r"expected \[0, 1\]"),
    ],
)
def test_what_cannot_be_drawn_is_refused(thetas, shares, said):
    with pytest.raises(InputError, match=said):
        thresholds.info(["a", "b"], thetas, shares)

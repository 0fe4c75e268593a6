import numpy as np
import pytest

from lrp_explorer.figures import theme


def test_limit_is_the_largest_absolute_value():
    assert theme.limit(np.array([[0.5, -3.0], [2.0, 0.0]])) == 3.0


def test_limit_of_nothing_can_still_be_drawn():
    assert theme.limit(np.zeros((3, 3))) == 1.0
    assert theme.limit(np.array([])) == 1.0
    assert theme.limit(np.array([np.nan, np.inf, 2.0])) == 2.0


def test_limit_by_quantile_lets_outliers_saturate():
    values = np.concatenate([np.linspace(0, 1, 1000), [1000.0]])
    assert theme.limit(values, 0.99) == pytest.approx(0.99, abs=0.01)


def test_limit_by_quantile_of_a_sparse_map_is_not_zero():
    values = np.zeros(1000)
    values[0] = -4.0
    assert theme.limit(values, 0.99) == 4.0


@pytest.mark.parametrize("quantile", [0.0, -1.0, 1.5])
def test_limit_refuses_an_impossible_quantile(quantile):
    with pytest.raises(ValueError, match="expected a share in"):
        theme.limit(np.ones(3), quantile)


def test_colours_put_zero_on_white_and_the_ends_on_the_scale():
    painted = theme.colours(np.array([-2.0, -9.0, 0.0, np.nan, 2.0]), limit=2.0)
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[1, 52, 119], [1, 52, 119], [255, 255, 255], [255, 255, 255], [106, 16, 3]]


def _linear(colours):
    share = np.asarray(colours, dtype=float) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _lightness(colours):
    """OKLab lightness, from linear light."""
    light = _linear(colours)
    cones = light @ np.array(
        [[0.4122214708, 0.2119034982, 0.0883024619], [0.5363325363, 0.6806995451, 0.2817188376],
         [0.0514459929, 0.1073969566, 0.6299787005]]
    )  # fmt: skip
    return np.cbrt(cones) @ np.array([0.2104542553, 0.7936177850, -0.0040720468])


def test_equal_strength_looks_equally_strong_for_both_signs():
    strength = np.linspace(0, 1, 21)
    positive = _lightness(theme.colours(strength, 1.0))
    negative = _lightness(theme.colours(-strength, 1.0))
    assert np.abs(positive - negative).max() < 0.02
    assert (np.diff(positive) < 0).all()
    assert (np.diff(negative) < 0).all()


def test_signs_differ_under_red_green_blindness():
    # Machado, Oliveira and Fernandes 2009, severity 1.0, on linear light: protanopia, deuteranopia.
    machado = {
        "protanopia": [
            [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
        ],
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
        ],
    }  # fmt: skip
    for seen in machado.values():
        for strength in np.linspace(0.3, 1.0, 15):
            pair = _linear(theme.colours(np.array([strength, -strength]), 1.0)) @ np.array(seen).T
            blueness = pair[:, 2] / pair.sum(axis=1)
            assert blueness[0] < 1 / 3 < blueness[1]
            assert blueness[1] - blueness[0] > 0.1


def test_transparent_scale_is_clear_at_zero_and_grows_to_both_ends():
    alphas = [float(colour.rsplit(",", 1)[1][:-1]) for _, colour in theme.transparent_scale(0.8)]
    assert alphas[0] == alphas[-1] == 0.8
    assert min(alphas) == alphas[5] == 0.0
    assert theme.transparent_scale(0.8)[5][0] == 0.5


def test_names_cannot_become_markup():
    assert theme.text("<b>&") == "&lt;b&gt;&amp;"


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("features.28", "features.28"),
        ("layer3.5.downsample.0", "l3.5.d.0"),
        ("features.3.expand1x1", "f.3.expand1x1"),
        ("features.3.expand1x1_activation", "f.3.expand1x1…"),
        ("a_name_without_any_dot", "a_name_withou…"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_long_names_are_abbreviated_and_stay_apart(name, short):
    assert theme.shorten(name, 14) == short

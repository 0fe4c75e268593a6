import numpy as np
import pytest
from figures.rendered import rendered

from lrp_explorer.figures import heatmap, layers, scales, theme, vectors

MAP = np.array([[np.nan, 0.0], [1.0, 4.0]])


def light(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(theme.rgb(colour)) / 255]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("scale", [scales.STRENGTH, scales.COUNT, scales.COST, scales.TRUTH])
def test_positions_grow_and_lightness_falls_with_strength(scale):
    stops = [stop for stop, _ in scale.stops]
    assert (stops[0], stops[-1]) == (0.0, 1.0)
    assert stops == sorted(stops)
    lights = [light(colour) for _, colour in scale.stops]
    assert lights == sorted(lights, reverse=not scale.falling)
    assert lights[0] != lights[-1]


def test_a_map_without_signs_begins_at_zero_and_leaves_blank_what_has_no_path():
    drawn = rendered(heatmap.alone(MAP, scale=scales.COUNT))
    trace = drawn["data"][0]
    assert (trace["zmin"], trace["zmax"]) == (0.0, 4.0)
    assert trace["colorbar"]["title"]["text"] == "log₁₀ of paths"
    assert "log₁₀ of paths %{z" in trace["hovertemplate"]
    assert drawn["layout"]["plot_bgcolor"] == theme.NOTHING
    assert np.isnan(heatmap.alone(MAP, scale=scales.COUNT).data[0].z[0, 0])


def test_the_map_of_relevance_is_as_before():
    trace = heatmap.alone(np.array([[1.0, -4.0]])).data[0]
    assert (trace.zmin, trace.zmax) == (-4.0, 4.0)
    assert [tuple(stop) for stop in trace.colorscale] == list(theme.DIVERGING)
    assert trace.colorbar.title.text == "relevance"


def test_truth_has_two_colours_whatever_the_values():
    trace = heatmap.alone(np.zeros((2, 2)), scale=scales.TRUTH).data[0]
    assert (trace.zmin, trace.zmax) == (0.0, 1.0)
    assert len({colour for _, colour in trace.colorscale}) == 2
    assert trace.colorbar.ticktext == ("no", "yes")
    painted = layers.thumbnail(layers.info("a", np.array([[[0.0, 1.0], [1.0, 0.0]]]), scale=scales.TRUTH))
    assert painted[0, 0].tolist() == [255, 255, 255]
    assert painted[0, 1].tolist() == list(theme.rgb(theme.ACCENT))


def test_the_strongest_cost_is_the_cheapest():
    numbers = heatmap.info(np.array([[np.nan, 3.0], [0.5, 2.0]]), scale=scales.COST)
    assert numbers.strongest == (1, 0)
    assert "75.0% of them with a path" in numbers.describe()
    assert "Strongest at row 1, column 0: cost 0.5" in numbers.describe()
    assert heatmap.info(MAP, scale=scales.STRENGTH).strongest == (1, 1)
    assert "50.0% of them with a path" in heatmap.info(MAP, scale=scales.STRENGTH).describe()


def test_alpha_grows_with_strength_in_every_overlay():
    def alphas(scale):
        return [float(colour.rstrip(")").split(",")[3]) for _, colour in scale.transparent(0.8)]

    assert alphas(scales.STRENGTH)[0] == 0.0
    assert alphas(scales.STRENGTH)[-1] == 0.8
    assert alphas(scales.TRUTH) == [0.0, 0.0, 0.8, 0.8]
    assert alphas(scales.COST)[0] == 0.8
    assert alphas(scales.COST)[-1] > 0.1


def test_the_strip_paints_what_the_map_paints():
    for scale in (scales.STRENGTH, scales.COUNT, scales.COST, scales.TRUTH):
        layer = layers.info("a", np.array([[[0.0, 1.0], [0.5, np.nan]]]), limit=1.0, scale=scale)
        steps = np.rint(scale.positions(layer.values, layer.limit) * 127).astype(int) + 128
        # A step is a 127th of the range; truth jumps in the middle.
        far = np.abs(scale.strip_table()[steps].astype(int) - layers.thumbnail(layer)).max(axis=-1)
        assert far[0].max() == far[1, 1] == 0
        assert far[1, 0] <= 3
        assert layers.thumbnail(layer)[1, 1].tolist() == list(theme.rgb(theme.NOTHING))
    signed = layers.info("a", np.array([[[1.0, -1.0], [0.0, 0.0]]]))
    table = scales.SIGNED.strip_table()
    assert np.array_equal(table[[255, 1]], layers.thumbnail(signed)[0])


def test_bars_without_signs_rise_from_the_ground_and_one_path_is_seen():
    painted = vectors.paint(np.array([0.0, np.nan, 2.0, 2.0]), limit=2.0, side=20, scale=scales.COUNT)
    ink = (painted == theme.rgb(theme.ACCENT)).all(axis=-1).sum(axis=0)
    assert ink[[0, 5, 10]].tolist() == [3, 0, 20]
    cheap = vectors.paint(np.array([0.0, 2.0]), limit=2.0, side=20, scale=scales.COST)
    assert (cheap == theme.rgb(theme.ACCENT)).all(axis=-1).sum(axis=0)[[0, 10]].tolist() == [20, 3]


def test_many_neurons_without_signs_are_one_outline():
    fig = vectors.draw(np.linspace(0, 1, 1001), scale=scales.STRENGTH)
    assert len(fig.data) == 1
    assert "strength %{y" in fig.data[0].hovertemplate


def test_a_layer_says_what_it_was_told_to():
    layer = layers.info("conv", MAP[None], scale=scales.COUNT, said="up to 10^4 paths")
    assert layer.describe() == (
        "Layer conv (1 × 2 × 2), log₁₀ of paths: up to 10^4 paths. Strongest at row 1, column 1: 4."
    )
    assert layers.info("conv", np.ones((1, 2, 2))).detail == "sum 4"

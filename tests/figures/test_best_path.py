import numpy as np
import pytest
from figures.rendered import rendered

from lrp_explorer.errors import InputError
from lrp_explorer.figures import best_path, heatmap, theme
from lrp_explorer.results import PathStep

STEPS = (
    PathStep("input", (0, 6, 3), 0.25, 0.5),
    PathStep("conv", (4, 1, 0), 0.5, 0.5),
    PathStep("fc", (7,), 1.0, 1.0),
)
NAMES = ["input", "conv", "fc"]


def test_a_bar_for_each_layer_and_the_path_over_them():
    drawn = rendered(best_path.strengths(NAMES, [0.5, 1.0, 1.0], STEPS, chosen="conv"))
    bars, path = drawn["data"]
    assert bars["marker"]["color"] == [theme.ACCENT_SOFT, theme.ACCENT, theme.ACCENT_SOFT]
    assert (path["x"], path["y"]) == ([0, 1, 2], [0.25, 0.5, 1.0])
    assert path["hovertext"][1] == "conv, channel 4, row 1, column 0<br>strength 0.5 · next edge 0.5"
    assert path["hovertext"][2].startswith("fc, neuron 7")
    assert drawn["layout"]["xaxis"]["ticktext"] == NAMES
    low, high = drawn["layout"]["yaxis"]["range"]
    assert low == 0.0
    assert high > 1.0


def test_values_of_many_magnitudes_take_a_logarithmic_axis():
    fig = best_path.strengths(["a", "b"], [1e-8, 1.0])
    assert fig.layout.yaxis.type == "log"
    assert fig.layout.yaxis.range[0] < -8
    assert best_path.strengths(["a", "b"], [0.0, 1.0]).layout.yaxis.type is None


def test_a_layer_without_a_path_has_no_bar_and_the_axis_stays_finite():
    fig = best_path.draw(best_path.info(["a", "b"], [np.inf, 2.0], "cost"))
    assert np.isnan(fig.data[0].y[0])
    assert np.isfinite(fig.layout.yaxis.range).all()
    assert rendered(best_path.draw(best_path.info(["a"], [np.nan], "cost")))["layout"]["yaxis"]["range"] == [0.0, 1.0]


def test_the_path_in_words():
    text = best_path.info(NAMES, [0.5, 1.0, 1.0], "strength", STEPS).describe()
    assert text == (
        "Strength in each layer: 0.5 in input, 1 in fc. The path chosen, of strength 0.25: input channel 0, row 6, "
        "column 3; conv channel 4, row 1, column 0; fc neuron 7."
    )


def test_places_on_the_picture_are_the_middles_of_what_a_neuron_shares_out():
    shapes = {"input": (1, 8, 4), "conv": (5, 2, 2), "fc": (10,)}
    assert best_path.positions(STEPS, shapes, (8, 4)) == [(6.0, 3.0), (5.5, 0.5)]
    assert best_path.positions(STEPS[2:], shapes, (8, 4)) == []


@pytest.mark.parametrize(("draw", "maps"), [(heatmap.explanation, 2), (heatmap.overlay, 1)])
def test_a_path_is_drawn_once_over_every_map(draw, maps):
    fig = draw(np.zeros((8, 4), np.uint8), np.ones((8, 4)))
    marked = best_path.mark(fig, [(6.0, 3.0), (5.5, 0.5)])
    lines = [trace for trace in marked.data if trace.type == "scatter"]
    assert len(lines) == maps
    assert [trace.xaxis for trace in lines] == ["x", "x2"][:maps]
    assert (list(lines[0].x), list(lines[0].y)) == ([3.0, 0.5], [6.0, 5.5])
    assert rendered(marked)
    assert len(best_path.mark(draw(np.zeros((8, 4), np.uint8), np.ones((8, 4))), []).data) == 2


def test_as_many_values_as_layers_are_wanted():
    with pytest.raises(InputError, match="2 names and 1 values"):
        best_path.info(["a", "b"], [1.0], "strength")

import numpy as np
import pytest
from figures.rendered import rendered

from lrp_explorer.errors import InputError
from lrp_explorer.figures import layers


def _counting(*shape):
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)


def test_a_spatial_layer_is_summed_over_its_channels():
    layer = layers.info("conv", _counting(2, 3, 4))
    assert layer.kind == "map"
    assert layer.values.tolist() == (_counting(3, 4) * 2 + 12).tolist()
    assert (layer.total, layer.limit, layer.shape) == (276.0, 34.0, (2, 3, 4))


def test_channels_last_are_recognised_where_the_shape_tells():
    layer = layers.info("stage", _counting(3, 3, 5))
    assert layer.kind == "map"
    assert layer.values.tolist() == _counting(3, 3, 5).sum(axis=2).tolist()


def test_a_vector_stays_a_vector():
    layer = layers.info("fc", np.array([1.0, -3.0]))
    assert (layer.kind, layer.limit, layer.total) == ("vector", 3.0, -2.0)
    assert layer.values.tolist() == [1.0, -3.0]


def test_a_map_of_one_pixel_is_a_vector():
    layer = layers.info("pool", _counting(5, 1, 1))
    assert (layer.kind, layer.values.shape) == ("vector", (5,))


def test_tokens_are_laid_out_as_the_square_they_came_from():
    layer = layers.info("blocks.0", _counting(9, 2))
    assert layer.kind == "tokens"
    assert layer.values.tolist() == (_counting(9, 2).sum(axis=1)).reshape(3, 3).tolist()


def test_a_class_token_is_left_out_of_the_square_but_not_of_the_sum():
    layer = layers.info("blocks.0", _counting(5, 2))
    assert layer.values.tolist() == [[5.0, 9.0], [13.0, 17.0]]
    assert layer.total == 45.0


def test_tokens_without_a_square_stand_in_a_row():
    assert layers.info("words", _counting(7, 2)).values.shape == (1, 7)


def test_the_layer_in_words():
    assert layers.info("fc", np.array([1.0, -3.0])).describe() == (
        "Relevance of layer fc (2), sum -2. Strongest at neuron 1: -3."
    )
    assert layers.info("conv", -_counting(1, 2, 3)).describe() == (
        "Relevance of layer conv (1 × 2 × 3), sum -15. Strongest at row 1, column 2: -5."
    )


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 3, 5), (9, 2)])
def test_relevance_may_come_summed_already(shape):
    whole = _counting(*shape)
    summed = whole.sum(axis=layers.summed_axis(shape), keepdims=True)
    early, late = layers.info("x", summed, shape=shape), layers.info("x", whole)
    assert (early.kind, early.shape, early.total, early.limit) == (late.kind, late.shape, late.total, late.limit)
    assert np.array_equal(early.values, late.values)


@pytest.mark.parametrize("shape", [(), (1, 2, 3, 4), (0,), (2, 0, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="relevance of layer 'x' has shape"):
        layers.info("x", np.zeros(shape))


def test_large_draws_maps_as_heatmap_and_vectors_as_bars():
    heat = rendered(layers.large(layers.info("conv", _counting(2, 3, 4))))
    assert [t["type"] for t in heat["data"]] == ["heatmap"]
    bars = rendered(layers.large(layers.info("fc", np.array([1.0, -3.0])), names=["no", "yes"]))
    assert [t["type"] for t in bars["data"]] == ["bar"]
    assert bars["layout"]["xaxis"]["ticktext"] == ["no", "yes"]


def test_tokens_in_a_row_may_be_taller_than_wide():
    drawn = rendered(layers.large(layers.info("words", _counting(7, 2))))
    assert "scaleanchor" not in drawn["layout"]["yaxis"]
    assert drawn["data"][0]["hovertemplate"].startswith("token %{x}")


@pytest.mark.parametrize("shape", [(2, 3, 4), (9, 2), (6,)])
def test_restyle_changes_exactly_what_a_new_drawing_would_change(shape):
    values = _counting(*shape) - 5
    fig = layers.large(layers.info("x", values))
    after = layers.info("x", -values)
    changes = layers.restyle(after)
    for path, value in changes.items():
        fig.data[0][path] = value
    assert fig.to_json() == layers.large(after).to_json()


def test_too_many_neurons_are_drawn_anew():
    assert layers.restyle(layers.info("fc", np.ones(4096))) is None


def test_thumbnail_of_a_map_has_a_pixel_for_each_value():
    painted = layers.thumbnail(layers.info("conv", np.array([[[0.0, 2.0], [-2.0, -0.728]]])))
    assert painted.tolist() == [[[255, 255, 255], [106, 16, 3]], [[1, 52, 119], [144, 179, 231]]]


def test_strip_has_one_tile_for_each_layer_in_rows_of_ten():
    shapes = [(1, 4, 4), (9, 2), (6,)]
    names = [f"layer.{i}" for i in range(12)]
    drawn = rendered(layers.strip(names, [_counting(*shapes[i % 3]) for i in range(12)]))
    assert [t["type"] for t in drawn["data"]] == ["image"] * 12
    assert [a["text"] for a in drawn["layout"]["annotations"]] == names
    assert drawn["data"][10]["yaxis"] == "y11"
    assert drawn["layout"]["height"] == 28 + 16 + 240


def test_strip_refuses_names_without_maps():
    with pytest.raises(InputError, match="2 names and 1 maps were given"):
        layers.strip(["a", "b"], [np.ones(3)])

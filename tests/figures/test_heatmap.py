import numpy as np
import pytest
from figures.rendered import rendered

from lrp_explorer.errors import InputError
from lrp_explorer.figures import heatmap

IMAGE = np.arange(6, dtype=np.uint8).reshape(2, 3)
RELEVANCE = np.array([[1.0, -2.0, 0.0], [0.5, 0.25, 4.0]])


def test_info_counts_what_is_for_and_against():
    numbers = heatmap.info(RELEVANCE)
    assert (numbers.total, numbers.positive, numbers.negative) == (3.75, 5.75, -2.0)
    assert numbers.limit == 4.0
    assert numbers.strongest == (1, 2)
    assert numbers.relevance.dtype == np.float32


def test_info_in_words():
    assert heatmap.info(RELEVANCE).describe() == (
        "Heatmap of 2 by 3 values, sum 3.75: 5.75 in favour, -2 against. Strongest at row 1, column 2: 4."
    )


def test_a_given_limit_is_kept():
    assert heatmap.info(RELEVANCE, limit=10.0).limit == 10.0


def test_explanation_shows_both_on_shared_axes_with_zero_in_the_middle():
    drawn = rendered(heatmap.explanation(IMAGE, RELEVANCE, title="digit"))
    picture, heat = drawn["data"]
    assert (picture["type"], heat["type"]) == ("image", "heatmap")
    assert (heat["zmin"], heat["zmax"]) == (-4.0, 4.0)
    assert heat["colorscale"][5] == [0.5, "#ffffff"]
    assert (drawn["layout"]["xaxis2"]["matches"], drawn["layout"]["yaxis2"]["matches"]) == ("x", "y")
    assert drawn["layout"]["yaxis"]["scaleanchor"] == "x"
    assert drawn["layout"]["yaxis"]["range"] == drawn["layout"]["yaxis2"]["range"] == [1.5, -0.5]
    assert "relevance %{z" in heat["hovertemplate"]
    assert drawn["layout"]["title"]["text"] == "digit"


def test_overlay_is_clear_where_nothing_is_relevant():
    drawn = rendered(heatmap.overlay(IMAGE, RELEVANCE, opacity=0.5))
    heat = drawn["data"][1]
    assert heat["colorscale"][5] == [0.5, "rgba(255,255,255,0.000)"]
    assert heat["colorscale"][0][1].endswith(",0.500)")


def test_image_and_heatmap_alone():
    assert [t["type"] for t in rendered(heatmap.image(IMAGE))["data"]] == ["image"]
    alone = rendered(heatmap.alone(RELEVANCE, limit=8.0))
    assert [t["type"] for t in alone["data"]] == ["heatmap"]
    assert alone["data"][0]["zmax"] == 8.0


def test_restyle_changes_exactly_what_a_new_drawing_would_change():
    first = heatmap.explanation(IMAGE, RELEVANCE)
    second = heatmap.info(RELEVANCE * -2)
    first.data[1].update(heatmap.restyle(second))
    assert first.to_json() == heatmap.explanation(IMAGE, RELEVANCE * -2).to_json()


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"the image is \(2, 2\), the relevance \(2, 3\)"):
        heatmap.explanation(IMAGE[:, :2], RELEVANCE)


def test_relevance_with_channels_is_refused_with_what_to_do():
    with pytest.raises(InputError, match="sum over the channels"):
        heatmap.info(RELEVANCE[None])


def test_an_impossible_opacity_is_refused():
    with pytest.raises(InputError, match=r"opacity is 2.0; expected a number in \[0, 1\]"):
        heatmap.overlay(IMAGE, RELEVANCE, opacity=2.0)

"""The grid of masks, one mask large, and the masked example: what is drawn is what was given."""

import numpy as np
import pytest
from figures.rendered import rendered

from lrp_explorer.errors import InputError
from lrp_explorer.figures import mask_cells, mask_effect, mask_tiles, mask_views, masks, scales
from lrp_explorer.figures.scales import SIGNED, TRUTH

RNG = np.random.default_rng(7)
NAMES, COUNTS = ("3", "8 & <9>"), (5, 4)


def given(*shape):
    mean = RNG.normal(size=(2, *shape))
    return {"mean": mean, "or": mean > 0.5, "count": RNG.integers(0, 4, (2, *shape)), "min": mean - 1}


def cells(arrays, **options):
    return mask_cells.cells(arrays, NAMES, COUNTS, **{"scale": SIGNED, **options})


def test_truth_comes_first_and_numbers_share_one_scale_around_zero():
    arrays = given(1, 6, 5)
    found = cells(arrays)
    assert found.reductions == ("or", "count", "mean", "min")
    assert found.kinds == ("truth", "share", "number", "number")
    assert found.limit == pytest.approx(max(np.abs(arrays["mean"]).max(), np.abs(arrays["min"]).max()))
    np.testing.assert_array_equal(found.values[0], arrays["or"][:, 0])
    np.testing.assert_allclose(found.values[1], arrays["count"][:, 0] / np.array(COUNTS)[:, None, None], rtol=1e-6)
    np.testing.assert_allclose(found.values[2], arrays["mean"][:, 0], rtol=1e-6)
    drawn = rendered(masks.grid(found))["data"]
    assert [(trace["zmin"], trace["zmax"]) for trace in drawn[:2]] == [(0, 1), (0, 1)]
    assert drawn[2]["zmax"] == -drawn[2]["zmin"] == pytest.approx(found.limit)


def test_numbers_without_a_sign_begin_at_zero():
    arrays = {"max": RNG.random((2, 1, 4, 4))}
    trace = rendered(masks.grid(cells(arrays, scale=scales.WEAKEST)))["data"][0]
    assert trace["zmin"] == 0
    assert trace["zmax"] == pytest.approx(arrays["max"].max())


def test_every_value_is_where_its_words_say():
    arrays = given(1, 6, 5)
    fig = masks.grid(cells(arrays))
    numbers = fig.data[2]
    z, text, n = (np.asarray(part) for part in (numbers.z, numbers.text, numbers.customdata))
    seen = 0
    for i, j in np.argwhere(~np.isnan(z)):
        name, reduction = text[i, j].split("<br>")[0].split(" · ")
        row, column = (int(word.split()[1]) for word in text[i, j].split("<br>")[1].split(", "))
        chosen = ("3", "8 &amp; &lt;9&gt;").index(name)
        assert z[i, j] == np.float32(arrays[reduction][chosen, 0, row, column])
        assert n[i, j] == COUNTS[chosen]
        assert masks.place(cells(arrays), j + numbers.x0, i + numbers.y0) == ({"mean": 2, "min": 3}[reduction], chosen)
        seen += 1
    assert seen == 2 * 2 * 30


@pytest.mark.parametrize("reductions", [1, 2, 3])
@pytest.mark.parametrize("classes", [1, 2, 3, 11, 16])
def test_in_every_plan_each_value_is_where_its_words_and_a_click_say(classes, reductions):
    names = [f"c{i}" for i in range(classes)]
    arrays = {name: RNG.normal(size=(classes, 1, 4, 4)) + 10 for name in ("min", "mean", "max")[:reductions]}
    given = mask_cells.cells(arrays, names, range(classes), SIGNED)
    seen = set()
    for trace in masks.grid(given).data:
        z, text, n = (np.asarray(part) for part in (trace.z, trace.text, trace.customdata))
        for i, j in np.argwhere(~np.isnan(z)):
            where, inside = text[i, j].split("<br>")
            name, reduction = where.split(" · ")
            row, column = (int(word.split()[1]) for word in inside.split(", "))
            chosen = names.index(name)
            assert z[i, j] == np.float32(arrays[reduction][chosen, 0, row, column])
            assert n[i, j] == chosen
            assert masks.place(given, j + trace.x0, i + trace.y0) == (list(arrays).index(reduction), chosen)
            seen.add((reduction, chosen, row, column))
    assert len(seen) == classes * reductions * 16
    labels = [note.text for note in masks.grid(given).layout.annotations]
    assert all(any(f"<b>{name}</b>" in label for label in labels) for name in names)


def test_few_classes_are_rows_and_many_masks_of_one_kind_are_folded():
    arrays = {name: RNG.normal(size=(2, 1, 28, 28)) for name in ("min", "mean", "max")}
    few = masks.grid(cells(arrays))
    shapes = few.layout.shapes[1:]
    assert [shape.x0 for shape in shapes] == [-0.5, -0.5, 29.5, 29.5, 59.5, 59.5]
    assert [shape.y0 for shape in shapes] == [-0.5, 29.5] * 3
    names = [str(i) for i in range(11)]
    many = masks.grid(mask_cells.cells({"mean": RNG.normal(size=(11, 1, 28, 28))}, names, range(11), SIGNED))
    assert len({shape.y0 for shape in many.layout.shapes[1:]}) == 2
    assert [note.text for note in many.layout.annotations].count("mean") == 2


def test_crowded_names_stay_distinct():
    names = [f"my class {i}" for i in range(30, 46)]
    fig = masks.grid(mask_cells.cells({"mean": RNG.random((16, 1, 40, 20))}, names, range(16), SIGNED))
    labels = [note.text.split("</b>")[0][3:] for note in fig.layout.annotations[:16]]
    assert len(set(labels)) == 16
    assert max(map(len, labels)) < len("my class 30")
    assert fig.data[0].text[0][0].startswith("my class 30 · mean")


def test_shares_tell_of_what_they_are():
    arrays = {"or": RNG.random((2, 3, 4, 4)) > 0.8, "count": RNG.integers(0, 4, (2, 3, 4, 4))}
    maps, bars = masks.grid(cells(arrays)), masks.grid(cells(arrays, channels=True))
    assert "share of examples %{z:.1%}" in maps.data[1].hovertemplate
    assert maps.data[-1].colorbar.title.text == "share of examples"
    assert cells(arrays, channels=True).scale_of(0).quantity == "share of places"
    assert "<br>share %{z:.1%}" in bars.data[0].hovertemplate


def test_restyle_and_relabel_change_what_a_new_drawing_would_change():
    first, second = given(1, 6, 5), given(1, 6, 5)
    fig, later = masks.grid(cells(first)), mask_cells.cells(second, NAMES, (9, 9), SIGNED)
    for trace, change in zip(fig.data, masks.restyle(later), strict=True):
        trace.update(change)
    for path, text in (masks.relabel(later) | masks.reframe(later, (2, 1))).items():
        fig.layout[path] = text
    assert fig.to_json() == masks.grid(later, (2, 1)).to_json()
    assert masks.structure(cells(first)) == masks.structure(later)


def test_channels_are_summed_or_shown_as_bars():
    arrays = {"mean": RNG.normal(size=(2, 3, 4, 4)), "or": RNG.random((2, 3, 4, 4)) > 0.8}
    maps, bars = cells(arrays), cells(arrays, channels=True)
    np.testing.assert_allclose(maps.values[1], arrays["mean"].sum(1), rtol=1e-5)
    np.testing.assert_array_equal(maps.values[0], arrays["or"].any(1))
    assert bars.bars
    assert bars.kinds == ("share", "number")
    np.testing.assert_allclose(bars.values[1], arrays["mean"].sum((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(bars.values[0], arrays["or"].mean((2, 3)), rtol=1e-6)
    top = cells(arrays, join="max", channels=True)
    np.testing.assert_allclose(top.values[1], arrays["mean"].max((2, 3)), rtol=1e-6)


def test_a_row_of_neurons_is_painted_as_bars_that_lose_no_strong_one():
    values = np.zeros((2, 1000))
    values[0, 777] = 4.0
    values[1, 5] = -4.0
    fig = masks.grid(cells({"mean": values}))
    z = np.asarray(fig.data[0].z)
    assert np.nanmax(z) == 4.0
    assert np.nanmin(z) == -4.0
    i, j = np.argwhere(z == 4.0)[0]
    assert "neuron or channel 775–789" in fig.data[0].text[i][j]
    # Up for relevance in favour, down for relevance against.
    assert np.argwhere(z == 4.0)[:, 0].max() < mask_tiles.HIGH / 2 <= np.argwhere(z == -4.0)[:, 0].min()


def test_large_pictures_are_joined_to_blocks_and_the_words_say_so():
    arrays = {"mean": RNG.normal(size=(2, 3, 224, 224)), "or": np.zeros((2, 3, 224, 224), bool)}
    arrays["or"][0, 1, 100, 37] = True
    fig = masks.grid(cells(arrays))
    assert sum(np.asarray(trace.z).size for trace in fig.data) < 1.2 * mask_cells.CELLS
    z, text = np.asarray(fig.data[0].z), np.asarray(fig.data[0].text)
    assert np.nansum(z) == 1
    assert text[z == 1][0] == "3 · or<br>row 100–101, column 36–37"


def test_a_class_without_examples_has_no_value():
    arrays = {"mean": np.full((2, 2, 4, 4), np.nan), "or": np.zeros((2, 2, 4, 4), bool)}
    arrays["mean"][0] = 1.0
    found = mask_cells.cells(arrays, NAMES, (3, 0), SIGNED)
    assert np.isnan(found.values[1][1]).all()
    np.testing.assert_array_equal(found.values[1][0], 2.0)
    assert "or: 3 0% relevant" in found.describe()
    rendered(masks.grid(found))


def test_paths_are_counted_in_powers_of_ten_and_no_path_is_no_value():
    counts = np.ones((2, 1, 2, 3))
    counts[0, 0, 0] = 0.0, 10.0, 1000.0
    found = cells({"max": counts}, scale=scales.COUNT, join="sum")
    np.testing.assert_array_equal(found.values[0][0], [[np.nan, 1.0, 3.0], [0.0, 0.0, 0.0]])


def test_bad_input_is_told():
    with pytest.raises(InputError, match="no mask to draw"):
        cells({})
    with pytest.raises(InputError, match="'mean' has 3 rows; expected one for each of 2 classes"):
        cells({"mean": np.zeros((3, 1, 4, 4))})
    with pytest.raises(InputError, match=r"the mask is \(4, 4\), the mean image \(5, 4\)"):
        mask_views.difference(np.zeros((4, 4)), np.zeros((5, 4)), 1.0)


def test_one_mask_stands_beside_the_mean_image_and_the_difference():
    values, image = np.array([[0.0, 2.0], [-1.0, 0.0]]), np.array([[-0.5, 1.5], [0.5, -0.5]])
    large = mask_views.Large(values, SIGNED, 2.0, 7, image=image)
    fig = mask_views.large(large)
    drawn = [np.asarray(trace.z) for trace in fig.data]
    np.testing.assert_array_equal(drawn[0], values)
    np.testing.assert_array_equal(drawn[1], image)
    np.testing.assert_allclose(drawn[2], [[0.0, 0.0], [-1.0, 0.0]])
    assert "of 7 examples" in large.describe()
    other = mask_views.Large(-values, SIGNED, 2.0, 9, image=image)
    for trace, change in zip(fig.data, mask_views.restyle(other), strict=True):
        trace.update(change)
    assert fig.to_json() == mask_views.large(other).to_json()


def test_truth_tells_what_decided_it():
    values, level = np.array([[0.0, 1.0]]), np.array([[0.1, 0.9]])
    fig = mask_views.large(mask_views.Large(values, TRUTH, 1.0, 7, level=level))
    np.testing.assert_allclose(np.asarray(fig.data[0].customdata)[0], [[0.1, 7], [0.9, 7]], rtol=1e-6)
    assert "decided by %{customdata[0]" in fig.data[0].hovertemplate


def test_bars_of_a_layer_name_their_neurons_and_examples():
    large = mask_views.Large(np.array([0.5, -1.0]), SIGNED, 2.0, 7, unit="channel")
    fig = mask_views.large(large)
    assert fig.data[0].hovertext[1] == "channel 1, n = 7"
    assert fig.layout.yaxis.range == (-2.1, 2.1)
    assert mask_views.restyle(large) is None


def test_the_effect_shows_both_leading_classes():
    before, after = np.array([9.0, 1, 0, 0, 0, 2]), np.array([0.0, 0, 0, 9, 0, 1])
    assert mask_effect.leading(before, after) == (0, 5, 1, 3)
    drawn = rendered(mask_effect.effect(np.zeros((4, 4), np.uint8), before, after, "abcdef"))
    assert [trace["type"] for trace in drawn["data"]] == ["image", "bar", "bar"]
    assert drawn["layout"]["yaxis2"]["ticktext"] == ["a", "f", "b", "d"]
    assert drawn["data"][1]["hovertext"][0].startswith("a before: 99.")
    assert drawn["data"][2]["hovertext"][3].startswith("d masked: 99.")

import numpy as np
import pytest
from figures.rendered import rendered

from lrp_explorer.errors import InputError
from lrp_explorer.figures import conservation, theme


def test_info_tells_how_much_is_kept():
    numbers = conservation.info(["input", "fc"], [3.0, 4.0], start=4.0)
    assert numbers.kept.tolist() == [0.75, 1.0]
    assert numbers.describe() == "Relevance starts with 4 at the output; 3 (75.0% of the start) reaches input."


def test_a_start_of_zero_keeps_no_share():
    numbers = conservation.info(["input"], [3.0], start=0.0)
    assert np.isnan(numbers.kept).all()
    assert numbers.describe() == "Relevance starts with 0 at the output; 3 reaches input."
    bars = rendered(conservation.draw(numbers))["data"][1]
    assert bars["customdata"] == [""]


def test_the_line_stands_at_the_start_and_the_bars_at_the_sums():
    fig = conservation.sums(["input", "conv", "fc"], [3.0, -1.0, 4.0], start=4.5, chosen="conv")
    line, bars = rendered(fig)["data"]
    assert line["y"] == [4.5, 4.5]
    assert fig.data[1].y.tolist() == [3.0, -1.0, 4.0]
    assert bars["marker"]["color"] == [theme.ACCENT_SOFT, theme.ACCENT, theme.ACCENT_SOFT]
    assert fig.layout.annotations[0].text == "f(x) = 4.5"
    assert list(fig.layout.xaxis.ticktext) == ["input", "conv", "fc"]
    assert fig.layout.xaxis.tickangle == 0


def test_forty_layers_are_all_named_and_slanted():
    names = [f"layer{i // 10}.{i}.downsample.0" for i in range(40)]
    fig = conservation.sums(names, np.ones(40), start=1.0)
    assert len(fig.layout.xaxis.ticktext) == 40
    assert len(set(fig.layout.xaxis.ticktext)) == 40
    assert fig.layout.xaxis.tickangle == -45


def test_of_more_layers_some_are_named_but_the_last_always():
    names = [f"l{i}" for i in range(101)]
    fig = conservation.sums(names, np.ones(101), start=1.0)
    assert len(fig.layout.xaxis.ticktext) <= conservation.MOST_LABELS
    assert fig.layout.xaxis.ticktext[-1] == "l100"
    assert fig.layout.xaxis.tickvals[-1] == 100


def test_restyle_changes_exactly_what_a_new_drawing_would_change():
    names = ["input", "conv"]
    fig = conservation.sums(names, [3.0, 4.0], start=4.0)
    after = conservation.info(names, [1.0, -2.0], start=4.0)
    for path, value in conservation.restyle(after, "conv").items():
        fig.data[1][path] = value
    assert fig.to_json() == conservation.draw(after, "conv").to_json()


def test_names_without_sums_are_refused():
    with pytest.raises(InputError, match="2 names and 1 sums were given"):
        conservation.info(["a", "b"], [1.0], start=1.0)

"""The pane without a browser: what it holds, what it sends, what it refuses."""

import gzip
import json

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest

from lrp_explorer.errors import InputError
from lrp_explorer.panels.pane import PlotlyPane, plotly_asset


@pytest.fixture
def pane() -> PlotlyPane:
    figure = go.Figure([go.Heatmap(z=np.zeros((28, 28)), zmid=0), go.Bar(x=["a", "b"], y=[1.0, 2.0])])
    return PlotlyPane(figure.update_layout(title_text="before"), height=320, description="relevance")


def sent_by(pane: PlotlyPane, monkeypatch: pytest.MonkeyPatch) -> list:
    sent = []
    monkeypatch.setattr(pane._channel, "_send", lambda message, buffers=None: sent.append((message, buffers)))
    return sent


def test_it_holds_the_figure_given(pane: PlotlyPane) -> None:
    assert pane.figure.data[0].z.shape == (28, 28)
    assert list(pane.figure.data[1].x) == ["a", "b"]
    assert pane.figure.layout.title.text == "before"
    assert (pane.height, pane.description) == (320, "relevance")


def test_no_array_travels_as_text(pane: PlotlyPane, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = sent_by(pane, monkeypatch)
    picture = np.random.default_rng(0).normal(size=(224, 224))
    pane.restyle({"z": picture})
    pane.show(go.Figure(go.Heatmap(z=picture)))
    (amendment, binary), (whole, more) = sent
    assert len(json.dumps(amendment)) < 300
    assert len(binary) == 1
    assert len(binary[0]) == 224 * 224 * 4
    assert sum(len(buffer) for buffer in more) == 224 * 224 * 4
    assert "bdata" not in json.dumps(whole)
    np.testing.assert_allclose(np.frombuffer(binary[0], "<f4").reshape(224, 224), picture, rtol=1e-6)


def test_an_image_trace_travels_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    pane = PlotlyPane()
    sent = sent_by(pane, monkeypatch)
    pane.show(go.Figure(go.Image(z=np.zeros((16, 16, 3), np.uint8))))
    assert [len(buffer) for buffer in sent[0][1]] == [16 * 16 * 3]


def test_restyle_changes_what_a_later_page_will_see(pane: PlotlyPane) -> None:
    pane.restyle({"z": np.ones((28, 28)), "colorbar.title.text": "R"}, layout={"title.text": "after"})
    pane.restyle({"y": np.array([3.0, 4.0])}, trace=-1)
    assert pane.figure.data[0].z.sum() == 28 * 28
    assert pane.figure.data[0].colorbar.title.text == "R"
    assert pane.figure.data[1].y.tolist() == [3.0, 4.0]
    assert pane.figure.layout.title.text == "after"
    assert pane.figure.data[0].zmid == 0


def test_restyle_reaches_into_lists(pane: PlotlyPane) -> None:
    pane.restyle({}, layout={"annotations[1].text": "second", "xaxis.range": [0, 5]})
    pane.restyle({}, layout={"annotations[0].text": "first"})
    assert [note.text for note in pane.figure.layout.annotations] == ["first", "second"]
    assert pane.figure.layout.xaxis.range == (0, 5)


def test_restyle_leaves_the_figure_given_alone() -> None:
    figure = go.Figure(go.Heatmap(z=np.zeros((2, 2)), colorbar={"title": {"text": "R"}}))
    pane = PlotlyPane(figure)
    pane.restyle({"z": np.ones((2, 2)), "colorbar.title.text": "S"})
    assert figure.data[0].z.sum() == 0
    assert figure.data[0].colorbar.title.text == "R"


def test_a_restyle_that_fails_changes_nothing(pane: PlotlyPane) -> None:
    with pytest.raises(InputError, match=r"marker color.*'marker\.color'"):
        pane.restyle({"marker color": "red"}, layout={"title.text": "after"})
    assert pane.figure.layout.title.text == "before"
    assert pane._state["revision"] == 0


@pytest.mark.parametrize("trace", [2, -3])
def test_a_trace_that_does_not_exist(pane: PlotlyPane, trace: int) -> None:
    with pytest.raises(InputError, match=f"trace {trace} does not exist: the figure has 2"):
        pane.restyle({"z": np.ones((2, 2))}, trace=trace)


@pytest.mark.parametrize("height", [0, -5, 20_000])
def test_a_height_that_cannot_be(height: int) -> None:
    with pytest.raises(InputError, match=f"height is {height}"):
        PlotlyPane(height=height)


def test_show_keeps_the_words_unless_given_new_ones(pane: PlotlyPane) -> None:
    pane.show(go.Figure())
    assert pane.description == "relevance"
    pane.show(go.Figure(), description="nothing")
    assert pane.description == "nothing"


def test_clicks_reach_every_callback(pane: PlotlyPane) -> None:
    seen = []
    pane.on_click(seen.append)
    pane.on_click(seen.append)
    pane.on_click(seen.append, remove=True)
    point = {"curveNumber": 0, "pointIndex": [3, 4], "x": 4, "y": 3, "customdata": None}
    pane._channel._handle_custom_msg({"kind": "click", "point": point}, [])
    assert seen == [point]


def test_paints_are_counted_for_observers(pane: PlotlyPane) -> None:
    seen = []
    pane.observe(lambda change: seen.append(change["new"]), "painted")
    pane._channel.set_state({"painted": 1})
    pane._channel.set_state({"painted": 2})
    assert seen == [1, 2]
    assert pane.painted == 2


def test_panes_share_one_plotly() -> None:
    first, second = PlotlyPane(), PlotlyPane()
    assert first._asset is second._asset
    assert len(first._asset.code) < 2_000_000
    assert gzip.decompress(first._asset.code).lstrip().startswith(b"/**\n* plotly.js v" + first._asset.version.encode())
    assert sum(len(pane._esm) for pane in (first, second)) < 40_000


def test_plotly_is_made_anew_after_everything_was_closed() -> None:
    before = plotly_asset()
    ipywidgets.Widget.close_all()
    assert before.comm is None
    assert PlotlyPane()._asset.comm is not None

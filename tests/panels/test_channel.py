"""What goes over the wire: arrays are binary, nothing is lost, whoever asks gets the whole state."""

import numpy as np
import pytest
from ipywidgets.widgets.widget import _remove_buffers

from lrp_explorer.panels.channel import Channel, pack, split, unpack
from lrp_explorer.panels.pane import PlotlyPane
from lrp_explorer.panels.thumbnails import ThumbnailStrip


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.arange(6, dtype=np.float64).reshape(2, 3) / 7, "f4"),
        (np.arange(6, dtype=np.float64) / 7, "f8"),
        (np.arange(6, dtype=np.float32), "f4"),
        (np.arange(6, dtype=np.float16).reshape(3, 2), "f4"),
        (np.arange(6, dtype=np.int64), "f8"),
        (np.arange(6, dtype=np.uint8).reshape(1, 2, 3), "u1"),
        (np.arange(6, dtype=">i4"), "i4"),
    ],
)
def test_arrays_become_bytes_and_come_back(given: np.ndarray, dtype: str) -> None:
    packed = pack({"z": [given]})["z"][0]
    assert packed["dtype"] == dtype
    assert isinstance(packed["bytes"], bytes)
    np.testing.assert_allclose(unpack(packed), given, rtol=1e-6)
    assert unpack(packed).shape == given.shape


def test_a_transposed_array_keeps_its_order() -> None:
    given = np.arange(6.0).reshape(2, 3).T
    np.testing.assert_array_equal(unpack(pack(given)), given)


def test_nan_and_infinity_survive() -> None:
    given = np.array([np.nan, np.inf, -np.inf, 0.0])
    np.testing.assert_array_equal(unpack(pack(given)), given)


def test_strings_booleans_and_scalars_stay_plain() -> None:
    given = {"a": np.array(["x", "y"]), "b": np.array([True, False]), "c": np.float32(0.5), "d": (1, "t", None)}
    assert pack(given) == {"a": ["x", "y"], "b": [True, False], "c": 0.5, "d": [1, "t", None]}


def test_split_numbers_the_buffers() -> None:
    plain, buffers = split({"data": [b"one", {"deep": b"two"}], "n": 3})
    assert plain == {"data": [{"buffer": 0}, {"deep": {"buffer": 1}}], "n": 3}
    assert buffers == [b"one", b"two"]


class Wire:
    """Stand where the browser would be: record what a channel sends."""

    def __init__(self, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.channel, self.sent = channel, []
        monkeypatch.setattr(channel, "_send", lambda message, buffers=None: self.sent.append((message, buffers)))

    def receive(self, **content: object) -> None:
        self.channel._handle_custom_msg(content, [])


@pytest.fixture
def pane() -> PlotlyPane:
    import plotly.graph_objects as go

    return PlotlyPane(go.Figure(go.Heatmap(z=np.zeros((4, 5)))))


def test_a_browser_that_is_behind_gets_the_whole_state(pane: PlotlyPane, monkeypatch: pytest.MonkeyPatch) -> None:
    pane.restyle({"z": np.ones((4, 5))})
    wire = Wire(pane._channel, monkeypatch)
    wire.receive(kind="resync", revision=0)
    [(message, buffers)] = wire.sent
    assert message["state"]["state"]["revision"] == 1
    assert np.frombuffer(buffers[0], "<f4").tolist() == [1.0] * 20


def test_a_browser_that_is_up_to_date_gets_nothing(pane: PlotlyPane, monkeypatch: pytest.MonkeyPatch) -> None:
    pane.restyle({"z": np.ones((4, 5))})
    wire = Wire(pane._channel, monkeypatch)
    wire.receive(kind="resync", revision=1)
    assert wire.sent == []


def test_revisions_count_every_change_without_a_gap(pane: PlotlyPane, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(pane._channel, monkeypatch)
    pane.restyle({"z": np.ones((4, 5))})
    pane.show(pane.figure)
    pane.description = "words"
    seen = [message.get("content", message.get("state", {}).get("state")) for message, _ in wire.sent]
    assert [content["revision"] for content in seen] == [1, 2, 3]


def test_a_page_that_opens_later_finds_the_present_state(pane: PlotlyPane) -> None:
    pane.restyle({"z": np.full((4, 5), 3.0)})
    state, paths, buffers = _remove_buffers(pane._channel.get_state())
    assert state["state"]["revision"] == 1
    assert ["state", "data", 0, "z", "bytes"] in [list(path) for path in paths]
    assert np.frombuffer(buffers[0], "<f4").tolist() == [3.0] * 20


def test_nothing_that_changes_is_a_trait_of_the_widget_itself(pane: PlotlyPane) -> None:
    # What travels through anywidget's own model may be dropped for good by a slow browser.
    for widget in (pane, ThumbnailStrip()):
        own = set(widget.keys) - set(type(widget).__mro__[2].class_trait_names(sync=True))
        assert own - {"_esm", "_css", "_anywidget_id"} <= {"_channel", "_asset"}


def test_closing_a_widget_closes_its_channel(pane: PlotlyPane) -> None:
    channel = pane._channel
    pane.close()
    assert channel.comm is None

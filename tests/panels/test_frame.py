import ipywidgets
import pytest

import lrp_explorer as lrp
from lrp_explorer.panels import frame


@pytest.fixture
def sent(monkeypatch):
    widgets = []
    monkeypatch.setattr(ipywidgets.Widget, "send_state", lambda self, key=None: widgets.append(self))
    return widgets


def test_all_within_is_sent_again(sent):
    inner = ipywidgets.HTML("x")
    box = ipywidgets.VBox([ipywidgets.HBox([inner]), ipywidgets.Dropdown(options=["a"])])
    sent.clear()
    frame.resend(box)
    assert inner in sent
    assert inner.layout in sent
    assert inner.style in sent
    assert box.children[1] in sent


def test_the_explorer_says_everything_again_when_a_page_has_come_up(sent):
    explorer = lrp.explore(device="cpu")
    assert explorer.panel.wait(60)
    sent.clear()
    explorer.children[0]._handle_custom_msg({"kind": "other"}, [])
    assert sent == []
    explorer.children[0]._handle_custom_msg({"kind": "shown"}, [])
    for widget in (explorer, explorer.panel.status, explorer.panel.notes, explorer.panel.subject.data):
        assert widget in sent
    assert explorer.panel.stage.box.layout in sent
    assert explorer.panel.stage.input.pane not in sent
    explorer.close()


def test_what_a_heading_shows_cannot_become_markup():
    assert frame.heading("<b>", "a & b") == "<h2>&lt;b&gt;<small>a &amp; b</small></h2>"


def test_cards_and_rows_carry_their_names():
    assert frame.card([], "sums")._dom_classes == ("lrp-card", "lrp-card-sums")
    assert frame.row([], "head")._dom_classes == ("lrp-head",)


def test_a_picker_is_refilled_without_a_choice_that_nobody_made():
    picker, seen = frame.Picker(options=["a", "b"], value="b"), []
    picker.observe(lambda change: seen.append(change["new"]) if not picker.refilling else None, "value")
    picker.refill(["c", "d", "e"], "e")
    assert (picker.options, picker.value, seen) == (("c", "d", "e"), "e", [])
    picker.value = "d"
    assert seen == ["d"]
    with pytest.raises(Exception, match="Invalid selection"):
        picker.refill(["f"], "g")
    assert not picker.refilling


def test_no_widget_of_the_explorer_leaves_its_tooltip_to_the_browser():
    one = lrp.explore(device="cpu")
    one.tabs.value = "Masks"
    assert one.panel.wait(60)
    assert one.masks.wait(60)
    found = [w for w in frame._within(one) if w.has_trait("tooltip")]
    assert len(found) > 50
    assert [type(w).__name__ for w in found if w.tooltip is None] == []
    one.close()

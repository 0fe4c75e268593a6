"""The Explain panel with the real engine and without a kernel: what a click does, and what is shown."""

import numpy as np
import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.errors import DataError, UnknownNameError
from lrp_explorer.figures import layers, theme
from lrp_explorer.panels.explain import ExplainPanel
from lrp_explorer.panels.explainer import SEEN


@pytest.fixture
def explorer():
    opened = []

    def begin(*args, **kwargs):
        opened.append(lrp.explore(*args, device="cpu", **kwargs))
        return settled(opened[-1])

    yield begin
    for one in opened:
        one.close()


def settled(explorer):
    assert explorer.panel.wait(60)
    return explorer


def heat(explorer):
    return np.asarray(explorer.panel.stage.input.pane.figure.data[1].z)


def expected(explorer, **settings):
    model = lrp.load_model(explorer.state.model)
    tensor, _ = lrp.load_dataset(explorer.state.data)[explorer.state.example]
    return lrp.explain(model, tensor[None], device="cpu", **settings)


def test_it_opens_on_a_digit_with_everything_shown(explorer):
    one = explorer()
    panel = one.panel
    relevance = expected(one, composite="epsilon-gamma-box")
    np.testing.assert_allclose(heat(one), relevance.input[0, 0], rtol=1e-5, atol=1e-6)
    assert panel.errors.message == ""
    assert [label for label, _, _ in shown_thumbnails(panel)] == relevance.layers
    assert list(panel.stage.sums.pane.figure.layout.xaxis.ticktext) == relevance.layers
    assert "CPU" in panel.status.value
    assert " ms</b>" in panel.status.value
    assert panel.stage.input.pane.description.startswith("Heatmap of 28 by 28 values, sum ")
    assert panel.stage.sums.pane.description.startswith("Relevance starts with ")


def shown_thumbnails(panel):
    items = panel.stage.strip._state["items"]
    return [(item["label"], item["caption"], item["picture"]) for item in items]


def test_moving_gamma_changes_the_values_and_not_the_figure(explorer):
    one = explorer()
    stage, drawn = one.panel.stage, []
    for drawing in (stage.input, stage.layer, stage.sums):
        drawing.pane.show = lambda *args, **kwargs: drawn.append(args)
    before = heat(one)
    one.panel.propagation.sliders["gamma"].value = 3.0
    settled(one)
    composite = lrp.composites.EpsilonGammaBox(0.0, 1.0, gamma=3.0)
    np.testing.assert_allclose(heat(one), expected(one, composite=composite).input[0, 0], rtol=1e-5, atol=1e-6)
    assert np.abs(heat(one) - before).max() > 0.01
    assert drawn == []
    figure = stage.input.pane.figure
    assert figure.data[1].zmax == -figure.data[1].zmin == pytest.approx(theme.limit(heat(one), SEEN))


def test_epsilon_moves_in_powers_of_ten(explorer):
    one = explorer()
    slider = one.panel.propagation.sliders["epsilon"]
    assert (slider.min, slider.max, slider.value) == (-9, 2, 1e-6)
    slider.value = 10.0
    settled(one)
    composite = lrp.composites.EpsilonGammaBox(0.0, 1.0, epsilon=10.0)
    np.testing.assert_allclose(heat(one), expected(one, composite=composite).input[0, 0], rtol=1e-5, atol=1e-6)


def test_a_click_on_a_bar_explains_that_class_and_the_list_says_so(explorer):
    one = explorer()
    bars = one.panel.classes.pane.figure.data[1]
    second = int(bars.customdata[1])
    one.panel.classes.pane._click({"point": {"curveNumber": 1, "pointIndex": 1, "customdata": second}})
    settled(one)
    assert one.state.target == one.panel.classes.choice.value == second
    found = expected(one, target=second, composite="epsilon-gamma-box")
    np.testing.assert_allclose(heat(one), found.input[0, 0], rtol=1e-5, atol=1e-6)
    assert f"“{second}”" in one.panel.stage.input.heading.value
    assert one.panel.stage.sums.pane.figure.data[0].y[0] == pytest.approx(float(found.logits[0, second]))


def test_any_class_can_be_chosen_from_the_list_and_the_predicted_one_again(explorer):
    one = explorer()
    predicted = one.panel.stage.input.heading.value
    one.panel.classes.choice.value = 7
    settled(one)
    assert one.state.target == 7
    one.panel.classes.choice.value = -1
    settled(one)
    assert one.state.target is None
    assert one.panel.stage.input.heading.value == predicted


def test_a_click_on_a_thumbnail_or_a_sum_enlarges_the_layer(explorer):
    one = explorer()
    stage = one.panel.stage
    relevance = expected(one, composite="epsilon-gamma-box")
    stage.strip.selected = relevance.layers.index("conv2")
    assert one.state.layer == "conv2"
    np.testing.assert_allclose(stage.layer.pane.figure.data[0].z, relevance["conv2"][0].sum(0), rtol=1e-5, atol=1e-6)
    assert "Layer conv2" in stage.layer.heading.value
    stage.sums.pane._click({"point": {"curveNumber": 1, "pointIndex": relevance.layers.index("output")}})
    assert one.state.layer == "output"
    assert stage.strip.selected == len(relevance.layers) - 1
    figure = stage.layer.pane.figure
    assert figure.data[0].type == "bar"
    assert list(figure.layout.xaxis.ticktext) == list("0123456789")


def test_a_class_given_from_the_beginning_is_kept_when_the_list_is_filled(explorer):
    one = explorer(target=7)
    assert one.panel.errors.message == ""
    assert one.state.target == one.panel.classes.choice.value == 7
    assert "“7”" in one.panel.stage.input.heading.value
    changes = []
    one.state.observe(changes.append, "target")
    one.panel.classes._list(12, ())
    assert one.panel.classes.choice.value == 7
    assert changes == []


def test_data_that_fit_the_next_model_too_stay_and_so_does_the_example(explorer):
    one = explorer(example=3)
    one.panel._catalogue.datasets = lambda model: ["mnist", "digits"]
    one.panel.subject.model.value = "digits-mlp"
    settled(one)
    assert (one.state.data, one.state.example) == ("digits", 3)
    assert one.panel.subject.data.value == "digits"
    assert one.panel.errors.message == ""


def test_a_model_without_the_data_set_shown_brings_its_own(explorer):
    one = explorer(net(), torch.rand(2, 1, 6, 6), composite="epsilon-plus")
    assert one.panel.subject.data.options == ("your data",)
    offered = []
    one.state.observe(lambda change: offered.append(change["new"]), "data")
    one.panel._catalogue.datasets = lambda model: ["digits", "mnist"]
    one.panel.subject.model.value = "digits-mlp"
    settled(one)
    assert one.panel.errors.message == ""
    assert (one.panel.subject.data.options, one.panel.subject.data.value) == (("digits", "mnist"), "digits")
    assert offered == ["digits"]


def test_examples_are_walked_through_in_a_circle(explorer):
    one = explorer()
    subject = one.panel.subject
    last = len(lrp.load_dataset("digits")) - 1
    assert subject.number.max == last
    one.panel.classes.choice.value = 7
    subject.previous.click()
    settled(one)
    assert one.state.example == subject.number.value == last
    assert one.state.target is None
    subject.next.click()
    settled(one)
    assert one.state.example == 0
    seen = set()
    for _ in range(5):
        subject.random.click()
        seen.add(one.state.example)
    settled(one)
    assert len(seen) > 1
    subject.number.value = 17
    settled(one)
    assert f"<b>{lrp.load_dataset('digits').labels[17]}</b>" in subject.label.value


def test_numbers_that_a_composite_does_not_have_are_disabled_with_a_reason(explorer):
    one = explorer()
    propagation = one.panel.propagation
    propagation.composite.value = "epsilon-plus"
    settled(one)
    assert propagation.sliders["gamma"].disabled
    assert "not used by this composite" in propagation.hints["gamma"].value
    assert propagation.sliders["gamma"].layout.display == ""
    assert not propagation.sliders["epsilon"].disabled
    assert propagation.sliders["lower"].layout.display == "none"
    propagation.composite.value = "layered-lrp"
    settled(one)
    assert propagation.sliders["lower"].layout.display == ""
    assert propagation.sliders["epsilon"].value == pytest.approx(0.25)
    assert one.panel.errors.message == ""


def test_a_number_without_effect_on_this_network_says_so(explorer):
    one = explorer("digits-mlp")
    hints = one.panel.propagation.hints
    assert "no layer of this network has a rule with γ" in hints["gamma"].value
    assert "ε ≥ 0" in hints["epsilon"].value
    one.state.model = "digits-cnn"
    settled(one)
    assert "γ ≥ 0" in hints["gamma"].value


def test_one_rule_everywhere(explorer):
    one = explorer(composite="uniform", rule="Gamma")
    propagation = one.panel.propagation
    assert propagation.rule.layout.display == ""
    propagation.sliders["gamma"].value = 2.0
    settled(one)
    composite = lrp.composites.Uniform(lrp.rules.Gamma(2.0))
    np.testing.assert_allclose(heat(one), expected(one, composite=composite).input[0, 0], rtol=1e-5, atol=1e-6)
    assert "LRP-γ" in propagation.rules.value


def test_the_overlay_shows_the_same_values(explorer):
    one = explorer()
    before = heat(one)
    one.panel.stage.view.value = "overlay"
    figure = one.panel.stage.input.pane.figure
    assert "xaxis2" not in figure.layout
    assert np.array_equal(figure.data[1].z, before)


def test_another_model_brings_its_layers_and_keeps_fitting_data(explorer):
    one = explorer()
    one.panel.subject.model.value = "digits-mlp"
    settled(one)
    assert one.state.data == "digits"
    assert [label for label, _, _ in shown_thumbnails(one.panel)] == expected(one, composite="epsilon-plus").layers
    assert one.panel.stage.layer.heading.value.count("Layer ") == 1


def test_a_layer_that_the_next_model_lacks_is_found_again_on_return(explorer):
    one = explorer()
    one.state.layer = "output"
    one.state.layer = "relu3"
    one.state.model = "digits-mlp"
    settled(one)
    names = [label for label, _, _ in shown_thumbnails(one.panel)]
    assert one.state.layer == "relu3"
    assert f"Layer {names[one.panel.stage.strip.selected]}<" in one.panel.stage.layer.heading.value
    one.state.model = "digits-cnn"
    settled(one)
    assert "Layer relu3<" in one.panel.stage.layer.heading.value


class Broken:
    """Data of which one example cannot be read."""

    classes = ("no", "yes")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1:
            raise OSError(f"example {index} is on a disk that is gone")
        return torch.full((1, 6, 6), 0.1 * (index + 1)), index % 2


class Net(nn.Sequential):
    pass


def net():
    torch.manual_seed(0)
    return Net(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).eval()


def test_an_error_is_shown_dims_what_is_no_longer_true_and_the_panel_lives_on(explorer):
    one = explorer(net(), Broken(), composite="epsilon-plus")
    subject, panel = one.panel.subject, one.panel
    subject.next.click()
    settled(one)
    assert "OSError: example 1 is on a disk that is gone" in panel.errors.message
    assert "lrp-stale" in panel.stage.box._dom_classes
    subject.next.click()
    settled(one)
    assert panel.errors.message == ""
    assert "lrp-stale" not in panel.stage.box._dom_classes
    assert "<b>no</b>" in subject.label.value


def test_an_error_while_painting_is_shown_too(explorer, monkeypatch):
    one = explorer()

    def refuse(*args, **kwargs):
        raise ValueError("no such paint")

    with monkeypatch.context() as patch:
        patch.setattr(layers, "large", refuse)
        one.state.layer = "conv2"
    assert "ValueError: no such paint" in one.panel.errors.message
    one.state.layer = "pool2"
    one.state.set_number("gamma", 1.0)
    settled(one)
    assert one.panel.errors.message == ""


def test_ones_own_model_with_a_vector_for_input(explorer):
    model = Net(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    one = explorer(model, torch.rand(4, 6), composite="epsilon-plus")
    assert one.state.model == "Net (yours)"
    figure = one.panel.stage.input.pane.figure
    assert figure.data[0].type == "bar"
    found = lrp.explain(model, one.panel._catalogue._own_data[0][0][None], composite="epsilon-plus", device="cpu")
    np.testing.assert_allclose(figure.data[0].y, found.input[0], rtol=1e-5, atol=1e-6)
    assert one.panel.stage.view.layout.visibility == "hidden"
    one.state.set_number("epsilon", 1.0)
    settled(one)
    assert one.panel.errors.message == ""


def test_what_was_assumed_is_told(explorer):
    assert "input_bounds" in explorer(net(), torch.rand(2, 1, 6, 6)).panel.notes.value
    assert explorer(net(), torch.rand(2, 1, 6, 6), composite="epsilon-plus").panel.notes.value == ""


def test_a_name_that_is_markup_stays_a_name(explorer):
    data = Broken()
    data.classes = ("<img src=x>", "yes")
    one = explorer(net(), data, composite="epsilon-plus", target=0)
    assert "<img" not in one.panel.stage.input.heading.value
    assert "<img" not in one.panel.subject.label.value
    assert "&lt;img" in one.panel.subject.label.value
    assert not any("<img" in a.text for a in one.panel.classes.pane.figure.layout.annotations)
    assert one.panel.errors.message == ""


def test_dragging_paints_on_the_way_and_ends_on_the_last_value(explorer):
    one = explorer()
    painted = []
    restyle = one.panel.stage.input.pane.restyle
    one.panel.stage.input.pane.restyle = lambda *a, **k: (painted.append(1), restyle(*a, **k))
    for step in range(100):
        one.panel.propagation.sliders["gamma"].value = step / 20
    settled(one)
    composite = lrp.composites.EpsilonGammaBox(0.0, 1.0, gamma=4.95)
    np.testing.assert_allclose(heat(one), expected(one, composite=composite).input[0, 0], rtol=1e-5, atol=1e-6)
    assert 1 < len(painted) <= 100


def test_a_closed_panel_ends_its_thread(explorer):
    one = explorer()
    thread = one.panel._worker._thread
    one.close()
    thread.join(10)
    assert not thread.is_alive()


def test_nothing_is_opened_before_the_panel_is_shown():
    class Shelf:
        def __getattr__(self, name):
            raise AssertionError(f"{name} was asked for")

    from lrp_explorer.panels.state import ExplainState

    panel = ExplainPanel(Shelf(), ExplainState(model="digits-cnn", data="digits"))
    assert len(panel.children) == 1
    panel.unfold()
    assert "AssertionError: models was asked for" in panel.errors.message


def test_bad_arguments_are_refused_at_once():
    with pytest.raises(DataError, match="the data is empty"):
        lrp.explore(net(), torch.rand(0, 1, 6, 6))
    with pytest.raises(UnknownNameError, match="Did you mean 'digits-cnn'"):
        lrp.explore("digit-cnn")
    with pytest.raises(UnknownNameError, match="Did you mean 'epsilon-plus'"):
        lrp.explore(composite="epsilon-pluss")

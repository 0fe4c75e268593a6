"""Semirings in the Explain panel with the real engine: what is computed, what is only read, and what is shown."""

import numpy as np
import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import semirings
from lrp_explorer.errors import InputError, UnknownNameError
from lrp_explorer.panels.state import ExplainState
from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Semiring, Tropical, Viterbi


class Net(nn.Sequential):
    pass


def net():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)]
    return Net(*layers).double().eval()


DATA = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# As it is before a test counts its calls.
RELEVANCE = lrp.Session.relevance


@pytest.fixture
def explorer():
    opened = []

    def begin(*args, **kwargs):
        opened.append(lrp.explore(*args, device="cpu", **{"composite": "epsilon-plus", **kwargs}))
        return settled(opened[-1])

    yield begin
    for one in opened:
        one.close()


@pytest.fixture
def own(explorer):
    return lambda **kwargs: explorer(net(), DATA, **kwargs)


@pytest.fixture
def propagations(monkeypatch):
    """Every semiring in which relevance was computed."""
    seen = []

    def counted(self, target=None, composite="", semiring="real", *args, **kwargs):
        seen.append(semiring)
        return RELEVANCE(self, target, composite, semiring, *args, **kwargs)

    monkeypatch.setattr(lrp.Session, "relevance", counted)
    return seen


def settled(explorer):
    assert explorer.panel.wait(60)
    assert explorer.panel.errors.message == ""
    return explorer


def heat(explorer):
    return np.asarray(explorer.panel.stage.input.pane.figure.data[1].z)


def expected(semiring, example=0, **settings):
    x = DATA[example : example + 1]
    return lrp.Session(net(), x, device="cpu").relevance(composite="epsilon-plus", semiring=semiring, **settings)


def choose(explorer, semiring):
    explorer.panel.propagation.semiring.value = semiring
    return settled(explorer)


def test_every_semiring_of_the_house_is_offered_and_real_shows_no_control_of_the_others(own):
    one = own()
    assert list(one.panel.propagation.semiring.options) == semirings.names()
    assert one.panel.propagation.semiring.value == "real"
    controls = one.panel.stage.controls
    assert controls.box.layout.display == "none"
    choose(one, "counting")
    assert controls.box.layout.display == ""
    choose(one, "real")
    assert controls.box.layout.display == "none"
    np.testing.assert_allclose(heat(one), expected("real").input[0].sum(0), rtol=1e-5, atol=1e-7)
    assert "Relevance sum of each layer" in one.panel.stage.sums.heading.value


@pytest.mark.parametrize(("join", "reduce"), [("max", torch.any), ("min", torch.all)])
def test_theta_is_compared_with_one_bottleneck_map_and_propagates_nothing(own, propagations, join, reduce):
    one = own(join=join)
    choose(one, "boolean")
    assert propagations == ["real", Bottleneck()]
    one.panel.stage.controls.join.value = join
    drawn = []
    for drawing in (one.panel.stage.input, one.panel.stage.layer, one.panel.stage.sums):
        drawing.pane.show = lambda *args, **kwargs: drawn.append(args)
    generation = one.panel._worker.generation
    seen = set()
    for theta in (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3):
        one.panel.stage.controls.theta.value = theta
        exact = one.panel.stage.controls.theta.value
        boolean = RELEVANCE(lrp.Session(net(), DATA[:1], device="cpu"), None, "epsilon-plus", Boolean(theta=exact))
        assert np.array_equal(heat(one), reduce(boolean.input[0], 0).numpy())
        assert list(one.panel.stage.sums.pane.figure.data[0].x) == [exact, exact]
        seen.add(heat(one).tobytes())
    assert len(seen) > 2
    # An edge that just reaches the threshold counts.
    element = float(one.panel.stage._whole.paths.joined[join][0].flatten().max())
    one.state.theta = element
    assert heat(one).any()
    one.state.theta = np.nextafter(element, 2.0)
    assert not heat(one).any()
    assert drawn == []
    assert propagations == ["real", Bottleneck()]
    assert one.panel._worker.generation == generation
    choose(one, "bottleneck")
    assert propagations == ["real", Bottleneck()]


def test_bottleneck_shows_its_values_where_they_reach_theta(own):
    one = own()
    one.state.theta = 0.02
    choose(one, "bottleneck")
    found = expected(Bottleneck()).input[0].amax(0).numpy()
    reached = found >= 0.02
    assert 0 < reached.sum() < reached.size
    np.testing.assert_allclose(heat(one)[reached], found[reached], rtol=1e-6)
    assert np.isnan(heat(one)[~reached]).all()
    trace = one.panel.stage.input.pane.figure.data[1]
    assert trace.zmin == 0.0
    # 𝟙 of Bottleneck is infinite: the output is drawn all the same.
    one.state.layer = one.panel.stage._shown.layers[-1].name
    assert np.isfinite(np.nan_to_num(one.panel.stage.layer.pane.figure.data[0].y)).all()
    assert one.panel.errors.message == ""


def test_the_share_of_relevant_neurons_is_that_of_the_map(own):
    one = own()
    choose(one, "boolean")
    one.state.theta = 1e-2
    relevance = expected(Bottleneck())
    shares = {name: float((value >= 1e-2).double().mean()) for name, value in relevance.maps.items()}
    figure = one.panel.stage.sums.pane.figure
    for trace, (name, share) in zip(figure.data[1:], shares.items(), strict=True):
        assert trace.name == name
        assert np.interp(np.log(1e-2), np.log(trace.x), trace.y) == pytest.approx(share, abs=1e-12)
    chosen = one.panel.stage._shown.layer(one.state.layer).name
    assert f"θ = 1.0e-02: {shares[chosen]:.1%} of {chosen}" in one.panel.stage.sums.heading.value
    one.panel.stage.sums.pane._click({"point": {"curveNumber": 3, "pointIndex": 4}})
    assert one.state.layer == relevance.layers[2]


def test_counts_are_shown_as_logarithms_and_theta_counts_anew(own, propagations):
    one = own()
    choose(one, "counting")
    found = expected(Counting()).input[0].sum(0).numpy()
    assert np.array_equal(np.isnan(heat(one)), found == 0)
    np.testing.assert_allclose(10.0 ** heat(one)[found > 0], found[found > 0], rtol=1e-5)
    assert "log₁₀" in one.panel.stage.input.pane.figure.data[1].colorbar.title.text
    one.state.theta = 0.05
    settled(one)
    assert Counting(theta=0.05) in propagations
    counts = expected(Counting(theta=0.05)).input[0].sum(0).numpy()
    assert (counts == 0).any()
    assert np.array_equal(np.isnan(heat(one)), counts == 0)
    np.testing.assert_allclose(heat(one)[counts > 0], np.log10(counts[counts > 0]), rtol=1e-6)
    one.panel.stage.controls.join.value = "max"
    most = expected(Counting(theta=0.05)).input[0].amax(0).numpy()
    np.testing.assert_allclose(heat(one)[most > 0], np.log10(most[most > 0]), rtol=1e-6, atol=1e-7)


def test_tropical_leaves_blank_what_no_path_leads_to(own):
    one = own()
    one.panel.stage.controls.join.value = "max"
    choose(one, "tropical")
    assert one.state.join == "min"
    found = expected(Tropical()).input[0].amin(0).numpy()
    assert np.array_equal(np.isnan(heat(one)), np.isinf(found))
    np.testing.assert_allclose(heat(one), np.where(np.isinf(found), np.nan, found), rtol=1e-5, atol=1e-6)


def test_parameters_reach_the_semiring_and_those_it_lacks_are_hidden(own, propagations):
    one = own()
    controls = one.panel.stage.controls
    choose(one, "viterbi")
    shown = {name for name, choice in controls.choices.items() if choice.layout.display == ""}
    assert shown == {"pooling", "normalise"}
    assert controls.theta.layout.display == "none"
    controls.choices["normalise"].value = "sum"
    controls.choices["pooling"].value = "winner"
    settled(one)
    assert propagations[-1] == Viterbi(pooling="winner", normalise="sum")
    choose(one, "boolean")
    controls.choices["absolute"].value = True
    settled(one)
    assert propagations[-1] == Bottleneck(pooling="winner", absolute=True)
    assert np.array_equal(heat(one), expected(Boolean(pooling="winner", absolute=True)).input[0].any(0).numpy())


def test_viterbi_shows_the_best_strength_of_each_layer_and_a_click_the_best_path(own):
    one = own()
    choose(one, "viterbi")
    found = expected(Viterbi())
    levels = one.panel.stage.sums.pane.figure.data[0].y
    np.testing.assert_allclose(levels, [float(value.max()) for value in found.maps.values()], rtol=1e-6)
    row, column = (int(i) for i in np.unravel_index(int(found.input[0].amax(0).argmin()), (8, 8)))
    one.panel.stage.input.pane._click({"point": {"curveNumber": 1, "x": column, "y": row, "pointIndex": [row, column]}})
    settled(one)
    channel = int(found.input[0, :, row, column].argmax())
    steps = lrp.Session(net(), DATA[:1], device="cpu").best_path((channel, row, column), composite="epsilon-plus")
    track = one.panel.stage.sums.pane.figure.data[1]
    np.testing.assert_allclose(track.y, [step.strength for step in steps], rtol=1e-6)
    assert len(track.y) == len(found.layers)
    assert f"best path from row {row}, column {column}" in one.panel.stage.sums.heading.value
    lines = [trace for trace in one.panel.stage.input.pane.figure.data if trace.type == "scatter"]
    assert [(line.x[0], line.y[0]) for line in lines] == [(column, row)] * 2
    one.panel.stage.sums.pane._click({"point": {"curveNumber": 1, "pointIndex": 1}})
    assert one.state.layer == steps[1].layer
    one.state.example = 1
    settled(one)
    assert one.state.start is None
    assert len(one.panel.stage.input.pane.figure.data) == 2


def test_where_no_path_leads_that_is_said(explorer):
    one = explorer("digits-cnn", semiring="viterbi")
    blank = np.argwhere(heat(one) == 0)[0]
    one.state.start = (int(blank[0]), int(blank[1]))
    settled(one)
    assert f"no path leads from row {blank[0]}, column {blank[1]}" in one.panel.stage.sums.heading.value


def test_a_click_on_the_map_of_other_semirings_does_nothing(own, propagations):
    one = own()
    one.panel.stage.input.pane._click({"point": {"curveNumber": 1, "x": 1, "y": 1, "pointIndex": [1, 1]}})
    assert one.state.start is None
    assert propagations == ["real"]


def test_a_vector_for_input_takes_every_semiring_and_a_click_on_a_bar(explorer):
    model = Net(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double().eval()
    one = explorer(model, torch.rand(4, 6, dtype=torch.float64))
    for name in semirings.names():
        choose(one, name)
        assert one.panel.stage.input.pane.figure.data[0].type == "bar"
    choose(one, "viterbi")
    strongest = int(np.argmax(one.panel.stage.input.pane.figure.data[0].y))
    one.panel.stage.input.pane._click({"point": {"curveNumber": 0, "x": strongest, "y": 1, "pointIndex": strongest}})
    settled(one)
    assert f"best path from neuron {strongest}" in one.panel.stage.sums.heading.value


class Lukasiewicz(Semiring):
    """How far is the best path from breaking?"""

    name = "panel-test-lukasiewicz"
    formula = "[0, 1], ⊕ = max, ⊗ = max(0, a + b − 1)"

    def add(self, a, b):
        return torch.maximum(a, b)

    def mul(self, a, b):
        return (a + b - 1).clamp(min=0)

    def encode(self, d):
        return d.abs().clamp(max=1)


def test_a_semiring_of_ones_own_is_offered_once_it_is_registered(own):
    one = own()
    semirings.register(Lukasiewicz)
    one.state.semiring = Lukasiewicz.name
    settled(one)
    assert Lukasiewicz.name in one.panel.propagation.semiring.options
    propagation = one.panel.propagation
    assert "How far is the best path from breaking?" in propagation.asks.value
    assert "How far is the best path from breaking?" in propagation.rules.value
    np.testing.assert_allclose(heat(one), expected(Lukasiewicz.name).input[0].amax(0), rtol=1e-6, atol=1e-9)


class Weakest(Bottleneck):
    """What is the weakest edge, under another name?"""

    name = "panel-test-weakest"


def test_a_bottleneck_of_ones_own_takes_no_threshold(own):
    semirings.register(Weakest)
    one = own()
    one.state.semiring = Weakest.name
    settled(one)
    np.testing.assert_allclose(heat(one), expected("bottleneck").input[0].amax(0), rtol=1e-6, atol=1e-9)


def test_strengths_that_near_the_end_of_their_range_are_noted(explorer):
    torch.manual_seed(0)
    deep = Net(*[layer for _ in range(30) for layer in (nn.Linear(64, 64, bias=False), nn.ReLU())], nn.Linear(64, 2))
    for weight in deep.parameters():
        weight.data.abs_()
    one = explorer(deep.eval(), torch.rand(2, 64), semiring="viterbi")
    assert one.panel.notes.value == ""
    one.state.normalise = "sum"
    settled(one)
    assert "nears the end of torch.float32" in one.panel.notes.value
    one.state.normalise = "max"
    settled(one)
    one.state.normalise = "sum"
    settled(one)
    assert "nears the end of torch.float32" in one.panel.notes.value


def test_the_state_refuses_what_no_semiring_takes():
    state = ExplainState(model="digits-cnn", data="digits")
    with pytest.raises(UnknownNameError, match="Did you mean 'viterbi'"):
        state.semiring = "viterbbi"
    for theta in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="a positive number is expected"):
            state.theta = theta
    assert state.request().options == ()
    state.semiring = "boolean"
    assert dict(state.request().options) == {"absolute": False, "pooling": "average"}
    before = state.request()
    state.theta = 0.5
    assert state.request() == before
    state.semiring = "counting"
    assert dict(state.request().options)["theta"] == 0.5

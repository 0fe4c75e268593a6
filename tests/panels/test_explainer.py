import numpy as np
import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.errors import Cancelled, InputError
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.explainer import Explainer
from lrp_explorer.panels.explanation import top
from lrp_explorer.panels.state import ExplainState


def ask(catalogue, **traits):
    first = catalogue.first_model
    return ExplainState(model=first, data=catalogue.datasets(first)[0], **traits).request()


@pytest.fixture(scope="module")
def digits():
    catalogue = Catalogue("digits-cnn")
    return catalogue, Explainer(catalogue, "cpu")


def test_it_shows_exactly_what_the_engine_computes(digits):
    catalogue, explainer = digits
    found = explainer(ask(catalogue, example=3, target=5, numbers={"gamma": 0.5}))
    model = lrp.load_model("digits-cnn")
    tensor, label = lrp.load_dataset("digits")[3]
    composite = lrp.composites.EpsilonGammaBox(*model.input_bounds, epsilon=1e-6, gamma=0.5)
    expected = lrp.explain(model, tensor[None], target=5, composite=composite, device="cpu")
    assert [layer.name for layer in found.layers] == expected.layers
    for layer in found.layers:
        whole = expected[layer.name][0].double().numpy()
        summed = whole.sum(0) if whole.ndim == 3 else whole
        np.testing.assert_allclose(layer.values, summed, rtol=1e-6, atol=1e-7)
        assert layer.shape == whole.shape
    sums = [float(value[0]) for value in expected.sums().values()]
    np.testing.assert_allclose(found.sums.sums, sums, rtol=1e-5)
    assert found.sums.start == pytest.approx(float(expected.logits[0, 5]))
    assert found.target == 5
    assert found.example.label == str(label)
    assert found.example.count == len(lrp.load_dataset("digits"))
    assert found.example.classes == tuple("0123456789")
    assert found.device == "cpu"
    assert [row.layer for row in found.coverage] == expected.layers[1:]


def test_the_predicted_class_is_explained_by_default(digits):
    catalogue, explainer = digits
    found = explainer(ask(catalogue))
    assert found.target == int(np.argmax(found.logits)) == top(found).classes[0] == top(found).chosen


def test_one_forward_serves_every_rule_and_class(digits, monkeypatch):
    catalogue, _ = digits
    explainer, opened = Explainer(catalogue, "cpu"), []
    data = catalogue.open_data("digits", "digits-cnn")
    monkeypatch.setattr(type(data), "image", lambda self, index: opened.append(index) or np.zeros((28, 28), "u1"))
    for traits in ({}, {"target": 3}, {"composite": "epsilon-plus"}, {"numbers": {"gamma": 1.0}}, {"example": 1}, {}):
        explainer(ask(catalogue, **traits))
    assert opened == [0, 1]


def test_it_stops_as_soon_as_nobody_waits(digits):
    catalogue, explainer = digits
    with pytest.raises(Cancelled):
        explainer(ask(catalogue), lambda: True)


def test_an_example_beyond_the_end_is_refused(digits):
    catalogue, explainer = digits
    with pytest.raises(InputError, match=r"example 100000 was asked for; digits has 0 to \d+"):
        explainer(ask(catalogue, example=100_000))


class Net(nn.Sequential):
    pass


def own(*, bounds=None):
    torch.manual_seed(0)
    net = Net(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 4)).eval()
    if bounds:
        net.input_bounds = bounds
    return net


def test_ones_own_model_on_a_batch_takes_bounds_from_the_example_and_says_so():
    batch = torch.rand(5, 2, 6, 6)
    catalogue = Catalogue(own(), batch)
    found = Explainer(catalogue, "cpu")(ask(catalogue, example=2))
    low, high = batch[2].amin((1, 2)), batch[2].amax((1, 2))
    composite = lrp.composites.EpsilonGammaBox(low, high)
    expected = lrp.explain(own(), batch[2:3], composite=composite, device="cpu")
    np.testing.assert_allclose(found.layers[0].values, expected.input[0].sum(0), rtol=1e-5, atol=1e-7)
    assert found.notes == (
        "lowest and highest input are taken from this example; set model.input_bounds = (low, high)",
    )
    assert found.example.label == ""
    assert found.example.classes == ()
    assert found.example.picture.shape == (6, 6)


@pytest.mark.parametrize(("net", "composite"), [(own(bounds=(0.0, 1.0)), "epsilon-gamma-box"), (own(), "epsilon-plus")])
def test_nothing_is_noted_where_nothing_was_assumed(net, composite):
    catalogue = Catalogue(net, torch.rand(1, 2, 6, 6))
    assert Explainer(catalogue, "cpu")(ask(catalogue, composite=composite)).notes == ()


def test_a_vector_is_explained_without_a_picture():
    net = Net(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    net.classes = ["a", "b", "c"]
    catalogue = Catalogue(net, (torch.rand(2, 6), torch.tensor([1, 0])))
    found = Explainer(catalogue, "cpu")(ask(catalogue))
    assert found.example.picture is None
    assert found.layers[0].kind == "vector"
    assert found.example.classes == ("a", "b", "c")
    assert found.example.label == "class 1"


def test_what_the_engine_has_to_remark_is_passed_on():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.drop = nn.Linear(6, 6), nn.Dropout()

        def forward(self, x):
            return self.linear(self.drop(self.linear(x)))

    catalogue = Catalogue(Dropping().eval(), torch.rand(1, 6))
    notes = Explainer(catalogue, "cpu")(ask(catalogue, composite="epsilon-plus")).notes
    assert any("module used again" in note for note in notes)

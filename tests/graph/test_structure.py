"""What a model is made of is noticed whatever becomes of the objects that it was made of before."""

import functools
import gc
import types
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional

import lrp_explorer as lrp
from lrp_explorer.graph.structure import structure


class Model(nn.Module):
    """Holds what decides its output where `nn.Module` does not look."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(6, 4, bias=False), nn.Linear(4, 3)
        self.act, self.settings, self.unregistered = functional.relu, types.SimpleNamespace(k=1.0), [nn.Linear(4, 4)]

    def forward(self, x):
        return self.head(self.unregistered[0](self.act(self.first(x))) * self.settings.k)


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = Model().eval().requires_grad_(False)
    made.unregistered[0].requires_grad_(False)
    return made


@pytest.fixture
def x():
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(1))


def assert_as_it_is(model, x):
    torch.testing.assert_close(lrp.Session(model, x).logits, model(x))


def test_objects_that_take_each_others_place_in_memory(model, x):
    for tenth in range(30):
        model.act = functools.partial(functional.leaky_relu, negative_slope=tenth / 30)
        assert_as_it_is(model, x)


def change_settings(model):
    model.settings.k = 3.0


def add_bias(model):
    model.first.bias = nn.Parameter(torch.ones(4), requires_grad=False)


def drop_bias(model):
    model.head.bias = None


def tie(model):
    model.head.weight = nn.Parameter(torch.randn(3, 4), requires_grad=False)
    model.unregistered[0].weight = nn.Parameter(torch.randn(4, 4), requires_grad=False)


def other_module_in_a_list(model):
    model.unregistered[0] = nn.Linear(4, 4).requires_grad_(False)


@pytest.mark.parametrize("change", [change_settings, add_bias, drop_bias, tie, other_module_in_a_list])
def test_changes_beside_the_modules(model, x, change):
    assert_as_it_is(model, x)
    change(model)
    assert_as_it_is(model, x)


def test_weights_that_are_no_longer_shared(x):
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).eval().requires_grad_(False)
    model[2].weight = model[0].weight
    assert_as_it_is(model, x)
    model[2].weight = nn.Parameter(torch.randn(6, 6), requires_grad=False)
    assert_as_it_is(model, x)


def test_new_values_of_weights_are_no_new_structure(model):
    before = structure(model)
    model.first.weight.mul_(2.0)
    model.head.weight = nn.Parameter(torch.randn(3, 4))
    assert structure(model) == before


def test_a_model_that_was_explained_can_go(x):
    model = Model().eval()
    model.own = model.forward
    lrp.explain(model, x)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_threads_that_meet_a_new_model_read_its_own_weights(x):
    for _ in range(5):
        model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).eval()
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _, model=model: lrp.explain(model, x).input, range(4)))
        assert all(torch.equal(one, found[0]) for one in found)

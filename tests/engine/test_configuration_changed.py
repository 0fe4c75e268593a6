"""A model is explained as it is now, wherever the number stands that its code reads."""

import functools
import math
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

import lrp_explorer as lrp
from lrp_explorer.graph.structure import structure

SCALE = 1.0
OFFSETS = {"a": [1.0, 2.0]}
SETTINGS = types.ModuleType("settings_of_a_user")
SETTINGS.inner = types.ModuleType("settings_of_a_user.inner")
SETTINGS.inner.power = 2.0


class Config:
    k = 1.0

    def __init__(self):
        self.factor = 1.0

    def scaled(self, x):
        return x * self.factor * self.k


class Slotted:
    __slots__ = ("size",)

    def __init__(self):
        self.size = 1.0


def scaled(x):
    return x * SCALE + OFFSETS["a"][0] + SETTINGS.inner.power


def maker():
    inside = 1.0

    def closed(x):
        return x * inside

    def change(value):
        nonlocal inside
        inside = value

    return closed, change


CLOSED, CHANGE = maker()


class Net(nn.Module):
    gain = 1.0

    def __init__(self):
        super().__init__()
        self.cfg, self.slotted, self.first, self.head = Config(), Slotted(), nn.Linear(6, 5), nn.Linear(5, 4)
        self.table, self.closed, self.shift = np.ones(5), CLOSED, torch.ones(5, dtype=torch.float64)

    def forward(self, x):
        x = self.cfg.scaled(self.first(x)) * self.slotted.size * self.gain + torch.from_numpy(self.table)
        return self.head(self.closed(self.moved(scaled(x))))

    def moved(self, x, by=0.5):
        return x + by + self.constant + self.shift

    @property
    def constant(self):
        return 0.25


def in_object(model):
    model.cfg.factor = 3.0


def in_slots(model):
    model.slotted.size = 3.0


def to_negative_zero(model):
    model.cfg.factor = -0.0


def setter(owner, name, value):
    def change(model):
        change.undo = functools.partial(setattr, owner, name, vars(owner)[name])
        setattr(owner, name, value)

    change.__name__ = name
    return change


def method_replaced(model):
    method_replaced.undo = functools.partial(setattr, Net, "moved", Net.moved)
    Net.moved = lambda self, x: x - 2.0


def forward_of_class(model):
    forward_of_class.undo = functools.partial(setattr, Net, "forward", Net.forward)
    original = Net.forward
    Net.forward = lambda self, x: original(self, x) * 2


def forward_of_torch(model):
    forward_of_torch.undo = functools.partial(setattr, nn.Linear, "forward", nn.Linear.forward)
    original = nn.Linear.forward
    nn.Linear.forward = lambda self, x: original(self, x) * 2


def code_of_method(model):
    code_of_method.undo = functools.partial(setattr, Net.moved, "__code__", Net.moved.__code__)
    Net.moved.__code__ = (lambda self, x, by=0.5: x - by).__code__


def default_of_method(model):
    default_of_method.undo = functools.partial(setattr, Net.moved, "__defaults__", (0.5,))
    Net.moved.__defaults__ = (4.0,)


def array_in_place(model):
    model.table[2] = 9.0


def constant_through_data(model):
    model.shift.data[1] = 7.0


def list_in_global(model):
    list_in_global.undo = functools.partial(OFFSETS["a"].__setitem__, 0, 1.0)
    OFFSETS["a"][0] = 5.0


def closure(model):
    closure.undo = functools.partial(CHANGE, 1.0)
    CHANGE(4.0)


def hook_of_all(model):
    hook_of_all.undo = register_module_forward_hook(lambda module, args, out: out + 1.0).remove


CHANGES = [
    in_object, in_slots, to_negative_zero, method_replaced, forward_of_class, forward_of_torch, code_of_method,
    default_of_method, array_in_place, constant_through_data, list_in_global, closure, hook_of_all,
    setter(Config, "k", 2.0), setter(Net, "gain", 2.0), setter(sys.modules[__name__], "SCALE", 2.0),
    setter(SETTINGS.inner, "power", 3.0), setter(Net, "constant", property(lambda self: 2.0)),
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Net().double().eval()


def test_every_change_is_another_structure_and_its_undoing_is_not(model):
    """One model, and each change alone: what its code computes changes, and so does the fingerprint."""
    x = torch.randn(2, 6, dtype=torch.float64)
    for change in CHANGES:
        fresh = Net().double().eval()
        fresh.load_state_dict(model.state_dict())
        before, wanted = structure(fresh), fresh(x)
        assert structure(fresh) == before
        change.undo = None
        change(fresh)
        try:
            assert not torch.equal(fresh(x), wanted), change.__name__
            assert structure(fresh) != before, change.__name__
        finally:
            if change.undo is not None:
                change.undo()
        if change.undo is not None and change is not code_of_method:
            assert structure(fresh) == before, change.__name__


@pytest.mark.parametrize("change", [in_object, forward_of_class, closure, array_in_place, hook_of_all])
def test_it_is_explained_as_it_is_now(model, change):
    x = torch.randn(2, 6, dtype=torch.float64)
    fresh = Net().double().eval()
    composite = lrp.composites.Uniform(lrp.rules.Zero(0.0))
    lrp.explain(fresh, x, 1, composite, device="cpu")
    change.undo = None
    change(fresh)
    try:
        torch.testing.assert_close(lrp.Session(fresh, x, device="cpu").logits, fresh(x).detach(), rtol=1e-12, atol=0)
    finally:
        if change.undo is not None:
            change.undo()


def test_not_a_number_is_no_change(model):
    model.cfg.factor = math.nan
    before = structure(model)
    model.cfg.factor = float("nan")
    assert structure(model) == before
    model.cfg.factor = 1.0


def test_running_a_model_is_no_change(model):
    before = structure(model)
    model(torch.zeros(1, 6, dtype=torch.float64))
    assert structure(model) == before


def test_collections_that_hold_themselves_end():
    net = nn.Sequential(nn.Linear(2, 2))
    net.ring = [1]
    net.ring.append(net.ring)
    net.others = {"net": net, "ring": net.ring}
    before = structure(net)
    assert structure(net) == before
    net.ring[0] = 2
    assert structure(net) != before

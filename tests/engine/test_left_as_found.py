"""What a model keeps, wherever it keeps it, is after an explanation what it was before: no tensor of tracing."""

import functools
import gc
import threading
import types
import warnings
import weakref
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

import lrp_explorer as lrp

TABLES: dict = {}
LOCAL = threading.local()
CALLS = 0
HOLDER = types.SimpleNamespace(table=None, log=[])


@functools.lru_cache
def cached_ramp(width):
    return torch.linspace(0, 1, width, dtype=torch.float64)


def ramp(x):
    return torch.linspace(0, 1, x.shape[-1], dtype=torch.float64)


class Keeps(nn.Module):
    """Multiplies by a table that it makes at its first call."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.register_buffer("kept", None, persistent=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.calls, self.box, self.log, self.table = 0, types.SimpleNamespace(t=None), [], None

    def forward(self, x):
        return self.head(self.first(x).relu() * self.ramp(x))


class Store:
    table = None


class InBuffer(Keeps):
    def ramp(self, x):
        if self.kept is None:
            self.kept = ramp(x)
        return self.kept


class InRegisteredBuffer(Keeps):
    def ramp(self, x):
        if "new" not in self._buffers:
            self.register_buffer("new", ramp(x))
        return self.new


class InAttributes(Keeps):
    def ramp(self, x):
        self.calls += 1
        self.count += 1
        if self.table is None:
            self.table = ramp(x)
            self.log.append(self.table)
        return self.table


class InPlainObject(Keeps):
    def ramp(self, x):
        if self.box.t is None:
            self.box.t = ramp(x)
        return self.box.t


class InGlobalDict(Keeps):
    def ramp(self, x):
        global CALLS
        CALLS += 1
        if x.shape[-1] not in TABLES:
            TABLES[x.shape[-1]] = ramp(x)
        return TABLES[x.shape[-1]]


class InGlobalObject(Keeps):
    def ramp(self, x):
        if HOLDER.table is None:
            HOLDER.table = ramp(x)
        HOLDER.log.append(x)
        return HOLDER.table


class Tables(dict):
    """A dictionary of its own kind."""


ORDERED: OrderedDict = OrderedDict(first=None, second=None)


class InDictionaries(Keeps):
    def __init__(self):
        super().__init__()
        self.tables = Tables()

    def ramp(self, x):
        ORDERED.pop("first", None)
        ORDERED["first"] = ORDERED["third"] = x
        return self.tables.setdefault("ramp", ramp(x))


class InCache(Keeps):
    def ramp(self, x):
        return cached_ramp(x.shape[-1])


class InClass(Keeps):
    shared = None

    def ramp(self, x):
        if InClass.shared is None:
            type(self).shared = ramp(x)
        Store.table = x
        return self.shared


def in_closure():
    tables: dict = {}

    class InClosure(Keeps):
        def ramp(self, x):
            return tables.setdefault("ramp", ramp(x))

    made = InClosure()
    made.tables = tables
    return made


KEEPERS = [
    InBuffer, InRegisteredBuffer, InAttributes, InPlainObject, InGlobalDict, InGlobalObject, InCache, InClass,
    InDictionaries, in_closure,
]  # fmt: skip


def contents(value, depth=0):
    """All that can be told of what a value holds, tensors with their values."""
    if isinstance(value, torch.Tensor):
        return type(value).__name__, id(value), value._version, value.detach().tolist()
    if isinstance(value, nn.Module):
        return id(value), contents(vars(value), depth)
    if isinstance(value, dict):
        return {key: contents(item, depth + 1) for key, item in value.items() if key != "_modules" or depth < 9}
    if isinstance(value, (list, tuple)):
        return [contents(item, depth + 1) for item in value]
    if isinstance(value, types.SimpleNamespace):
        return contents(vars(value), depth)
    return repr(value)


def surroundings():
    cached = cached_ramp.cache_info().currsize
    return (
        contents([TABLES, CALLS, HOLDER, InClass.shared, Store.table, list(ORDERED), ORDERED]),
        cached,
        vars(LOCAL).copy(),
    )


def fakes():
    """Tensors of exports that are alive, by number: others than those of this test may go meanwhile."""
    gc.collect()
    return {id(one): weakref.ref(one) for one in gc.get_objects() if type(one) is FakeTensor}


def new_fakes(before):
    return [one for number, one in fakes().items() if number not in before or before[number]() is not one()]


@pytest.fixture(autouse=True)
def plain():
    yield
    TABLES.clear()
    HOLDER.log.clear()
    HOLDER.table = InClass.shared = Store.table = None
    cached_ramp.cache_clear()
    ORDERED.clear()
    ORDERED.update(first=None, second=None)


def build(kind):
    torch.manual_seed(5)
    made = kind()
    return made.double().eval() if isinstance(made, nn.Module) else made


@pytest.fixture
def x():
    return torch.randn(2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("kind", KEEPERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("training", [False, True])
def test_a_model_that_keeps_something_at_its_first_call(kind, training, x):
    model = build(kind).train(training)
    before, around, alive = contents(model), surroundings(), fakes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = lrp.explain(model, x, 1, lrp.composites.Uniform(lrp.rules.Zero(0.0)), device="cpu")
    assert contents(model) == before
    assert surroundings() == around
    assert not new_fakes(alive)
    own = x.clone().requires_grad_()
    wanted = model.eval()(own)
    wanted[:, 1].sum().backward()
    torch.testing.assert_close(found.logits, wanted.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.input, x * own.grad, rtol=1e-10, atol=1e-12)


def everything(model, x):
    session = lrp.Session(model, x, device="cpu")
    session.relevance(1)
    lrp.coverage(model, x)
    lrp.aggregate(model, [(x[0], 1), (x[1], 2)], progress=False)


def test_no_way_in_leaves_anything(x):
    model = build(InAttributes).train()
    before, alive = contents(model), fakes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        everything(model, x)
    assert contents(model) == before
    assert not new_fakes(alive)


def test_after_an_explanation_the_model_can_be_converted_and_swapped(x):
    model = build(InBuffer)
    model.unregistered = [nn.Linear(2, 2).double()]
    lrp.explain(model, x, device="cpu")
    swapping = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        model.float()
        model.unregistered[0].float()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swapping)
    torch.utils.swap_tensors(model.head.weight, nn.Parameter(torch.zeros(3, 6)))
    assert not model.head.weight.any()
    with pytest.raises(RuntimeError):
        model(x)
    model.double().requires_grad_(False)
    torch.testing.assert_close(lrp.Session(model, x, device="cpu").logits, model(x))


def test_what_cannot_be_kept_out_is_taken_back_and_told(x):
    class Hidden(Keeps):
        def ramp(self, x):
            if not hasattr(LOCAL, "table"):
                LOCAL.table = ramp(x)
            return LOCAL.table

    model = build(Hidden)
    with pytest.raises(lrp.errors.ModelError, match=r"Hidden.*outside the model.*'table'"):
        lrp.explain(model, x, device="cpu")
    assert not hasattr(LOCAL, "table")
    model(x)
    torch.testing.assert_close(lrp.Session(model, x, device="cpu").logits, model(x).detach(), rtol=1e-12, atol=0)
    del LOCAL.table


def test_a_refused_model_keeps_nothing_either(x):
    class Branches(InGlobalDict):
        def forward(self, x):
            self.table = x * 2
            out = super().forward(x)
            return out if out.sum() > 0 else -out

    model = build(Branches)
    before, around = contents(model), surroundings()
    for given in (x, x[:, :2]):
        with pytest.raises(lrp.errors.LrpError):
            lrp.explain(model, given, device="cpu")
        assert contents(model) == before
        assert surroundings() == around

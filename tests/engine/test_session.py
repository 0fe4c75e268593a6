"""A session computes again only what depends on what was changed, and gives the same numbers as starting anew."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonGammaBox, EpsilonPlus, Uniform
from lrp_explorer.engine import propagate, reading, walk


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 5)
    ).eval()


@pytest.fixture
def x():
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def stepped(monkeypatch):
    """Names of the layers through which a step was really computed."""
    names = []

    def step(node, *args, **kwargs):
        names.append(node.name)
        return propagate.step(node, *args, **kwargs)

    monkeypatch.setattr(walk, "step", step)
    return names


def test_a_change_of_a_rule_computes_the_layers_below_it_only(model, x, stepped):
    kept = lrp.Session(model, x)
    base = Uniform(rules.Epsilon(0.01))
    kept.relevance(composite=base)
    assert stepped == ["6", "5", "4", "3", "2", "1", "0"]
    for layer, below in (("0", ["0"]), ("2", ["2", "1", "0"]), ("6", ["6", "5", "4", "3", "2", "1", "0"])):
        stepped.clear()
        changed = base.override({layer: rules.Epsilon(0.02)})
        found = kept.relevance(composite=changed)
        assert stepped == below
        assert torch.equal(found.input, lrp.explain(model, x, composite=changed).input)


def test_returning_to_earlier_settings_computes_nothing(model, x, stepped):
    kept = lrp.Session(model, x)
    first = kept.relevance(target=1, composite=EpsilonPlus())
    kept.relevance(target=2, composite=EpsilonPlus())
    kept.relevance(target=1, composite=EpsilonPlus(epsilon=0.1))
    stepped.clear()
    assert torch.equal(kept.relevance(target=1, composite=EpsilonPlus()).input, first.input)
    assert stepped == []


def test_equal_settings_are_equal_whatever_their_spelling(model, x, stepped):
    kept = lrp.Session(model, x)
    kept.relevance(target=[1, 1, 1], composite=EpsilonGammaBox(-3, torch.tensor([3.0])))
    stepped.clear()
    kept.relevance(target=1, composite=EpsilonGammaBox([-3.0], 3.0))
    assert stepped == []


@pytest.mark.parametrize("settings", [{"seed": "one"}, {"target": 4}, {"seed": torch.ones(3, 5)}])
def test_another_start_is_never_taken_from_what_is_kept(model, x, settings):
    kept = lrp.Session(model, x)
    kept.relevance()
    assert torch.equal(kept.relevance(**settings).input, lrp.explain(model, x, **settings).input)


class TestAnother:
    def test_other_examples_are_explained_as_by_a_session_of_their_own(self, model, x):
        first = lrp.Session(model, x[:1], memory=0)
        found = first.another(x)
        assert torch.equal(found.relevance().input, lrp.explain(model, x).input)
        assert torch.equal(first.logits, model(x[:1]))

    def test_the_model_is_not_read_again(self, model, x, monkeypatch):
        first = lrp.Session(model, x[:1])
        monkeypatch.setattr(reading, "traced", lambda *_: pytest.fail("traced again"))
        monkeypatch.setattr(reading, "prepare", lambda *_: pytest.fail("prepared again"))
        assert torch.equal(first.another(x[1:]).logits, model(x[1:]))

    def test_but_for_changed_weights_and_another_shape(self, x):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(3)
        model = nn.Sequential(nn.Conv2d(1, 3, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        first = lrp.Session(model, x)
        larger = torch.cat([x, x], -1)
        assert torch.equal(first.another(larger).relevance().input, lrp.explain(model, larger).input)
        with torch.no_grad():
            norm.weight.mul_(3)
        assert torch.equal(first.another(x).relevance().input, lrp.explain(model, x).input)

    def test_what_is_not_finite_is_refused(self, model, x):
        x[1, 0, 2, 3] = torch.inf
        with pytest.raises(lrp.errors.InputError, match=r"1 of 192 values .* at index \(1, 0, 2, 3\)"):
            lrp.Session(model, x[:1]).another(x)


def test_a_dragged_gamma_gives_the_numbers_of_a_new_session(model, x):
    kept = lrp.Session(model, x)
    for gamma in (0.0, 0.1, 0.25, 3.0, 0.1):
        composite = EpsilonGammaBox(-3, 3, gamma=gamma)
        assert torch.equal(
            kept.relevance(composite=composite).input, lrp.explain(model, x, composite=composite).input
        ), gamma


@pytest.mark.parametrize("memory", [0, 2000, 20000])
def test_a_small_memory_costs_time_but_no_number(model, x, memory):
    kept = lrp.Session(model, x, memory=memory)
    for target in (0, 1, 0):
        wanted = lrp.explain(model, x, target=target)
        assert torch.equal(kept.relevance(target=target).input, wanted.input)
        assert kept.cache.bytes <= memory


def test_a_stale_computation_is_given_up(model, x):
    kept = lrp.Session(model, x)
    answers = iter([False, False, True])
    with pytest.raises(lrp.errors.Cancelled):
        kept.relevance(should_stop=lambda: next(answers))
    assert torch.equal(kept.relevance().input, lrp.explain(model, x).input)


def test_weights_that_are_changed_and_put_back_are_no_change(model, x):
    kept = lrp.Session(model, x)
    wanted = kept.relevance(target=1).input
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model[0].weight.mul_(2.0)
    with pytest.raises(lrp.errors.InputError, match="weights have changed"):
        kept.relevance(target=2)
    model.load_state_dict(state)
    assert torch.equal(kept.relevance(target=1).input, wanted)


def test_a_session_that_is_used_for_ever_does_not_grow_for_ever(model, x, monkeypatch):
    monkeypatch.setattr(walk, "_STATES", 50)
    kept = lrp.Session(model, x)
    for step in range(20):
        composite = EpsilonPlus(epsilon=0.01 * step)
        found = kept.relevance(composite=composite).input
        assert len(kept._walk._tokens) <= 50 + len(kept.layers)
    assert torch.equal(found, lrp.explain(model, x, composite=composite).input)


def test_an_override_by_name_serves_every_use_of_a_module(x):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(64, 3)

        def forward(self, x):
            return self.head(self.conv(self.conv(x).relu()).relu().flatten(1))

    composite = EpsilonPlus().override({"conv": rules.WSquare()})
    table = {row.layer: row.rule for row in lrp.coverage(Twice().eval(), x, composite)}
    assert table["conv"].startswith("WSquare")
    assert table["conv@1"].startswith("WSquare")
    one = EpsilonPlus().override({"conv@1": rules.Flat()})
    once = {row.layer: row.rule for row in lrp.coverage(Twice().eval(), x, one)}
    assert once["conv"].startswith("ZPlus")
    assert once["conv@1"].startswith("Flat")


def test_coverage_tells_the_rule_of_every_layer_before_anything_runs(model, x):
    table = lrp.coverage(model, x, "epsilon-plus-flat")
    assert [row.layer for row in table] == ["0", "1", "2", "3", "4", "5", "6"]
    assert [row.rule.split("(")[0] for row in table] == ["Flat", "Pass", "ZPlus", "Pass", "Winner", "Pass", "Epsilon"]
    assert list(table.to_frame()["op"])[:2] == ["conv2d", "relu"]
    assert "Winner" in repr(table)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: PyTorch sees none on this machine")
def test_a_gpu_gives_the_same_numbers(model, x):
    for composite in (EpsilonPlus(), EpsilonGammaBox(-3, 3)):
        here, there = (lrp.explain(model, x, composite=composite, device=device).input for device in ("cpu", "cuda"))
        torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: PyTorch sees none on this machine")
def test_the_walk_never_waits_for_the_gpu(model, x):
    kept = lrp.Session(model, x, device="cuda")
    given = EpsilonGammaBox(-3, 3).assign(kept.graph)
    start = kept.logits.clone()
    torch.cuda.set_sync_debug_mode("error")
    try:
        kept._walk.relevance(given, start, "start")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_session_tells_where_and_how_exactly_it_computes(model, x):
    assert repr(lrp.Session(model, x, device="cpu")) == "Session(Sequential, batch 3, cpu, float32 without TF32)"


class Residual(nn.Module):
    """A strided first layer, batch norms, and a sum."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.a, self.norm_a = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.b, self.norm_b = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = (self.norm_b(self.b(self.norm_a(self.a(x)).relu())) + x).relu()
        return self.head(x.mean((2, 3)))


class Convolutions(TorchDispatchMode):
    """Counts convolutions and their transposes."""

    def __init__(self):
        super().__init__()
        self.forward, self.back = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.forward += function is torch.ops.aten.convolution.default
        self.back += function is torch.ops.aten.convolution_backward.default
        return function(*args, **(kwargs or {}))


def test_a_changed_setting_runs_no_layer_forward_again():
    session = lrp.Session(Residual().double().eval(), torch.randn(2, 3, 6, 6, dtype=torch.float64))
    session.relevance(target=0, composite=EpsilonGammaBox(-3, 3))
    for target, composite in ((1, EpsilonGammaBox(-3, 3)), (1, EpsilonGammaBox(-3, 3, gamma=0.5))):
        with Convolutions() as counted:
            session.relevance(target=target, composite=composite)
        # γ needs one where a ReLU follows, and one of twice the width where a sum does; both of the box rule are one.
        assert (counted.forward, counted.back) == (0, 3)


def test_averages_count_as_layers_of_equal_weights_in_double_precision():
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    net = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 5)).double().eval()
    # One convolution of each channel is the same map, with its weights spelled out.
    same = nn.Sequential(nn.Conv2d(3, 3, 2, 2, bias=False, groups=3), nn.Flatten(), net[2]).double().eval()
    same[0].weight.data.fill_(0.25)
    gamma = rules.Gamma(0.3, stabilizer=0.01)
    composite = Uniform(gamma).override({"0": gamma})
    for _ in range(2):
        found, wanted = (lrp.Session(model, x).relevance(target=1, composite=composite) for model in (net, same))
        torch.testing.assert_close(found.input, wanted.input, rtol=1e-13, atol=1e-15)


class TestWhereTheCallComesFrom:
    def test_inference_mode_changes_nothing(self, model, x):
        wanted = lrp.explain(model, x, target=1)
        with torch.inference_mode():
            found = lrp.explain(model, x.clone(), target=1)
            swept = lrp.Session(model, x.clone()).sweep("target", [0, 1])
        assert torch.equal(found.input, wanted.input)
        torch.testing.assert_close(swept[1].input, wanted.input)
        assert not found.input.is_inference()
        assert [row.layer for row in found.ledger] == [row.layer for row in wanted.ledger]

    def test_nor_does_the_order_of_the_memory(self):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
        own = nn.Sequential(Lerp(), net).eval()
        x = torch.randn(2, 3, 6, 6)
        wanted = lrp.explain(own, x).input
        for order in (x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
            torch.testing.assert_close(lrp.explain(own, order).input, wanted)


class Lerp(nn.Module):
    def forward(self, x):
        return torch.lerp(x, torch.ones_like(x), 0.25).flatten(2).reshape(x.shape)

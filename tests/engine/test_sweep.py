"""Many values of one setting give what each of them gives alone."""

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import errors, rules
from lrp_explorer.composites import EpsilonGammaBox, EpsilonPlusFlat, Uniform
from lrp_explorer.engine import walk


class Branching(nn.Module):
    """Convolutions, a sum, a concatenation, pooling and arithmetic on the batch's own size."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(32, 11)

    def forward(self, x):
        x = self.a(x).relu()
        x = torch.cat([nn.functional.max_pool2d(self.b(x).relu() + x, 2), nn.functional.avg_pool2d(x, 2)], 1)
        return self.head(x.reshape(x.shape[0], -1))


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    return lrp.Session(Branching().double().eval(), x)


@pytest.mark.parametrize("composite", [EpsilonPlusFlat(), EpsilonGammaBox(-3, 3), Uniform(rules.AlphaBeta())])
def test_targets_run_together_and_give_the_same(session, composite):
    targets = [*range(11), None, torch.tensor([2, 0, 1])]
    found = session.sweep("target", targets, composite=composite)
    assert len(found) == len(targets)
    for target, one in zip(targets, found, strict=True):
        alone = session.relevance(target=target, composite=composite)
        assert torch.equal(one.target, alone.target)
        for layer in session.layers:
            torch.testing.assert_close(one[layer], alone[layer], rtol=1e-12, atol=1e-14)
        ours, theirs = ([row.relevance_out for row in rel.ledger] for rel in (one, alone))
        assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(
    ("parameter", "values", "composite"),
    [
        ("gamma", [0.0, 0.25, 2.0], lambda value: EpsilonGammaBox(-3, 3, gamma=value)),
        ("epsilon", [1e-6, 0.1], lambda value: EpsilonGammaBox(-3, 3, epsilon=value)),
        ("b:gamma", [0.5, 1.0], lambda value: EpsilonGammaBox(-3, 3).override({"b": rules.Gamma(value)})),
    ],
)
def test_parameters_of_the_composite_and_of_one_layer(session, parameter, values, composite):
    found = session.sweep(parameter, values, target=1, composite=EpsilonGammaBox(-3, 3))
    maps = []
    for value, one in zip(values, found, strict=True):
        alone = session.relevance(target=1, composite=composite(value))
        for layer in session.layers:
            torch.testing.assert_close(one[layer], alone[layer], rtol=1e-12, atol=1e-14)
        maps.append(one.input)
    assert not torch.equal(maps[0], maps[1])


def test_values_that_leave_most_rules_alone_take_one_step_together(session, monkeypatch):
    stepped = []
    take = walk.step
    monkeypatch.setattr(
        walk, "step", lambda node, rule, *a, **k: (stepped.append((node.name, rule)), take(node, rule, *a, **k))[1]
    )
    session.sweep("head:epsilon", [0.01, 0.02, 0.03, 0.04], target=2, composite=EpsilonGammaBox(-3, 3))
    # Two at a time: as many examples at once as a batch of eight has.
    assert len([name for name, _ in stepped if name == "a"]) == 2
    assert len([name for name, _ in stepped if name == "head"]) == 4
    stepped.clear()
    session.sweep("gamma", [0.3, 0.4], target=2, composite=EpsilonGammaBox(-3, 3))
    assert [rule for name, rule in stepped if name == "b"] == [rules.Gamma(0.3), rules.Gamma(0.4)]


def test_seeds_and_composites_are_swept_too(session):
    # A product of more rows may add in another order, so the bits may differ.
    for seed, one in zip(["one", "contrast"], session.sweep("seed", ["one", "contrast"]), strict=True):
        torch.testing.assert_close(one.input, session.relevance(seed=seed).input, rtol=1e-12, atol=1e-14)
    plus, flat = session.sweep("composite", ["epsilon-plus", "epsilon-plus-flat"])
    assert not torch.equal(plus.input, flat.input)


def test_a_sweep_can_be_given_up(session):
    with pytest.raises(errors.Cancelled):
        session.sweep("target", range(5), should_stop=lambda: True)


def test_bad_sweeps_are_refused(session):
    with refused(errors.UnknownNameError, "gama", "gamma"):
        session.sweep("gama", [1.0], composite=EpsilonGammaBox(-3, 3))
    with refused(errors.UnknownNameError, "gamma", "Epsilon"):
        session.sweep("head:gamma", [1.0])
    with refused(errors.UnknownNameError, "unknown layer"):
        session.sweep("nowhere:gamma", [1.0])
    with refused(errors.InputError, "no values"):
        session.sweep("target", [])
    with refused(errors.InputError, "out of range"):
        session.sweep("target", [0, 99])

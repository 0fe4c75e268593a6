"""Every rule equals its dense-matrix oracle, layer by layer, on whole random networks."""

import inspect
from functools import cache

import numpy as np
import pytest
import torch
from oracles.compare import AVERAGE, assert_equal, at, overridden, uniform
from oracles.dense import ORACLES
from oracles.nets import conv_case, dense_case
from oracles.products import Gated
from oracles.walk import Branches, Folded, Sum, explain
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules

RULES = {
    "Zero": [rules.Zero(), rules.Zero(1e-2, bias="ignore")],
    "Epsilon": [
        rules.Epsilon(),
        rules.Epsilon(0.1, bias="ignore"),
        rules.Epsilon(0.3, relative="std"),
        rules.Epsilon(0.25, relative="rms"),
        rules.Epsilon(0.3, relative="std", bias="ignore"),
    ],
    "Gamma": [rules.Gamma(), rules.Gamma(1.5), rules.Gamma(0.0), rules.Gamma(0.4, bias="ignore")],
    "AlphaBeta": [rules.AlphaBeta(), rules.AlphaBeta(1.0, 0.0), rules.AlphaBeta(3.5, 2.5, bias="ignore")],
    "ZPlus": [rules.ZPlus(), rules.ZPlus(bias="ignore")],
    "WSquare": [rules.WSquare(), rules.WSquare(bias="ignore")],
    "Flat": [rules.Flat()],
}
# Rules of layers of one kind stand in test_layers.py.
ONE_KIND = {
    *("LRNTaylor", "LRNIdentity", "NormIdentity", "Magnitude", "Gradient", "SoftmaxTaylor", "SoftmaxShare"),
    *("EqualSplit", "Attention"),
}
EVERYWHERE = [rule for found in RULES.values() for rule in found]
# Networks in which no neuron cancels so far that rounding alone would be more than the tolerance.
CONV_SEEDS, DENSE_SEEDS = (0, 8, 15, 20, 27, 28), (1, 12)
CASES = [("conv", seed) for seed in CONV_SEEDS] + [("dense", seed) for seed in DENSE_SEEDS]


def has(seed, kind):
    return any(isinstance(module, kind) for module in drawn("conv", seed).net.modules())


@cache
def drawn(kind, seed):
    return (conv_case if kind == "conv" else dense_case)(seed)


@cache
def recorded(kind, seed, signed):
    case = drawn(kind, seed)
    case = case if signed else case._replace(x=case.x.abs())
    return case, lrp.Session(case.net, case.x, device="cpu")


def weighted(net):
    return [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def first(net):
    return weighted(net)[0]


@pytest.mark.parametrize("signed", [False, True], ids=["non-negative", "signed"])
@pytest.mark.parametrize(("kind", "seed"), CASES)
@pytest.mark.parametrize("rule", EVERYWHERE, ids=repr)
def test_one_rule_everywhere(rule, kind, seed, signed):
    case, session = recorded(kind, seed, signed)
    assert_equal(case, session, lrp.composites.Uniform(rule), uniform(rule))


@pytest.mark.parametrize("signed", [False, True], ids=["non-negative", "signed"])
@pytest.mark.parametrize(("kind", "seed"), CASES)
@pytest.mark.parametrize("rule", [rules.ZBox(-4.0, 4.5), rules.ZBox(0.0, 5.0)], ids=repr)
def test_a_box_on_the_first_layer(rule, kind, seed, signed):
    case, session = recorded(kind, seed, signed)
    others = rules.Epsilon(0.01)
    composite = lrp.composites.Uniform(others).override({first(case.net): rule})
    assert_equal(case, session, composite, overridden(uniform(others), {first(case.net): rule}))


@pytest.mark.parametrize("bound", ["channels", "pixels"])
def test_a_box_with_bounds_per_channel_or_pixel(bound):
    case, session = recorded("conv", 0, True)
    low, high = case.x.amin((0, 2, 3)) - 0.1, case.x.amax((0, 2, 3)) + 0.1
    if bound == "pixels":
        low, high = case.x.amin(0), case.x.amax(0)
    else:
        low, high = tuple(low.tolist()), tuple(high.tolist())
    rule, others = rules.ZBox(low, high), rules.ZPlus()
    composite = lrp.composites.Uniform(others).override({first(case.net): rule})
    assert_equal(case, session, composite, overridden(uniform(others), {first(case.net): rule}))


MIXED = {"conv": (20, 28), "dense": (1, 12)}


@pytest.mark.parametrize("kind", MIXED)
@pytest.mark.parametrize("turn", range(6))
def test_a_different_rule_in_every_layer(kind, turn):
    found = [
        rules.Gamma(0.7),
        rules.Flat(),
        rules.AlphaBeta(),
        rules.WSquare(),
        rules.Gamma(2.0),
        rules.ZBox(-5.0, 6.0),
    ]
    for seed in MIXED[kind]:
        case, session = recorded(kind, seed, True)
        mixed = dict(zip(weighted(case.net), found[turn:] + found[:turn], strict=False))
        default = rules.Epsilon(0.2, relative="rms")
        composite = lrp.composites.Uniform(default).override(mixed)
        assert_equal(case, session, composite, overridden(uniform(default), mixed))


@pytest.mark.parametrize("seed", [seed for seed in CONV_SEEDS if has(seed, nn.MaxPool2d)])
def test_max_pooling_as_average_pooling(seed):
    case, session = recorded("conv", seed, False)
    pools = {name: AVERAGE for name, m in case.net.named_modules() if isinstance(m, nn.MaxPool2d)}
    others = rules.ZPlus()
    composite = lrp.composites.Uniform(others).override(pools)
    assert_equal(case, session, composite, overridden(uniform(others), pools))


@pytest.mark.parametrize("rule", [rules.Pass(), rules.Gamma(0.5), rules.ZPlus(bias="ignore")], ids=repr)
def test_a_batch_norm_that_stands_alone(rule):
    seed = next(seed for seed in CONV_SEEDS if has(seed, Sum))
    case, session = recorded("conv", seed, True)
    norms = {f"{n}.branch.0": rule for n, m in case.net.named_modules() if isinstance(m, Sum)}
    others = rules.Epsilon(0.01)
    composite = lrp.composites.Uniform(others).override(norms)
    assert_equal(case, session, composite, overridden(uniform(others), norms))


def test_single_precision_agrees_with_double():
    case, _ = recorded("conv", 20, True)
    session = lrp.Session(conv_case(20).net.float(), case.x.float(), device="cpu")
    for rule in (rules.Epsilon(0.01), rules.Gamma(), rules.ZPlus()):
        expected, _ = explain(case.net, case.x, at(case.target.numpy()), uniform(rule))
        found = session.relevance(target=case.target, composite=lrp.composites.Uniform(rule)).input
        assert found.dtype == torch.float32
        scale = np.abs(expected["input"]).max()
        np.testing.assert_allclose(found.numpy() / scale, expected["input"] / scale, rtol=0, atol=1e-4)


def test_the_networks_hold_every_kind_of_layer():
    kinds = [nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.ReLU, nn.LeakyReLU]
    for kind in [*kinds, nn.SiLU, nn.BatchNorm2d, Branches, Folded, Sum, Gated]:
        assert any(has(seed, kind) for seed in CONV_SEEDS), kind
    convs = [m for seed in CONV_SEEDS for m in drawn("conv", seed).net.modules() if isinstance(m, nn.Conv2d)]
    for trait in ("stride", "dilation", "groups", "padding"):
        assert len({getattr(conv, trait) for conv in convs}) > 1, trait


def test_every_public_rule_has_an_oracle_and_is_tested():
    public = {entry for entry in vars(rules).values() if inspect.isclass(entry) and issubclass(entry, rules.Rule)}
    # Abstract or final: what others derive from is no rule of its own.
    parents = {parent for rule in public for parent in rule.__mro__[1:]}
    final = {rule.__name__ for rule in public - parents}
    assert final == set(ORACLES)
    elsewhere = {"Average", "Winner", "Signal", "Pass", "ZBox"} | ONE_KIND
    assert {*RULES, *elsewhere} == set(ORACLES)

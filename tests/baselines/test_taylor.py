"""Simple Taylor decomposition in closed form and against a root found by SciPy; deep Taylor is LRP's."""

import math
import re

import pytest
import torch
from oracles.by_autograd import gradient
from refusals import refused
from scipy.optimize import brentq
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer.baselines import attribute
from lrp_explorer.errors import InputError


def simple(model, x, target=0, **parameters):
    return attribute(model.double().eval(), x, "simple-taylor", target, device="cpu", **parameters)


class Function(nn.Module):
    """A model of one logit, written as a function."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)[:, None]


def test_a_linear_model_in_closed_form():
    torch.manual_seed(0)
    net = nn.Linear(7, 4).double()
    x = torch.randn(5, 7, dtype=torch.float64)
    score = net(x)[:, 2]
    assert (score > 0).any()
    assert (score < 0).any()
    found = simple(net, x, 2)
    weight = net.weight[2].square()
    torch.testing.assert_close(found.input, (score[:, None] * weight / weight.sum()).detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.sums()["input"], score.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.start.sum(1), score.detach(), rtol=1e-12, atol=0)
    assert found.seed == "logit"


def test_a_root_behind_a_kink_in_closed_form():
    # From (2, 1) along (1, 1): f = 2.5 − 2s while both are positive, 1.5 − s from s = 1 on; the root is (0.5, −0.5),
    # where only the first input counts.
    net = Function(lambda x: F.relu(x).sum(1) - 0.5)
    found = simple(net, torch.tensor([[2.0, 1.0]], dtype=torch.float64))
    torch.testing.assert_close(found.input, torch.tensor([[1.5, 0.0]], dtype=torch.float64), rtol=1e-10, atol=1e-12)


def test_the_first_of_several_roots():
    # Roots at 1 and 2; the ray goes down from 3.
    net = Function(lambda x: (x[:, 0] - 1) * (x[:, 0] - 2))
    found = simple(net, torch.tensor([[3.0], [0.0]], dtype=torch.float64))
    torch.testing.assert_close(found.input, torch.tensor([[1.0], [1.0]], dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_a_small_network_against_roots_found_elsewhere(activation):
    torch.manual_seed(4)
    net = nn.Sequential(nn.Linear(6, 16), activation(), nn.Linear(16, 8), activation(), nn.Linear(8, 3)).double().eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.6).requires_grad_(False)
    x, targets = torch.randn(20, 6, dtype=torch.float64), torch.arange(20) % 3
    with pytest.warns(UserWarning, match="no root") as told:
        found = simple(net, x, targets, reach=5.0, samples=100).input
    slope = gradient(net, x, targets)
    positions = torch.linspace(0, 5, 101, dtype=torch.float64)
    missed = []
    for i, target in enumerate(targets.tolist()):
        step = net(x[i : i + 1])[0, target] * slope[i] / slope[i].square().sum()
        signs = net(x[i] - positions[:, None] * step)[:, target].sign()
        change = (signs[1:] != signs[:-1]).nonzero().flatten().tolist()
        if not change:
            missed.append(i)
            continue
        ends = positions[change[0]], positions[change[0] + 1]
        at = brentq(lambda t, i=i, k=target, step=step: net((x[i] - t * step)[None])[0, k].item(), *ends, xtol=1e-15)
        root = x[i] - at * step
        wanted = gradient(net, root[None], targets[i : i + 1])[0] * (x[i] - root)
        torch.testing.assert_close(found[i], wanted, rtol=1e-8, atol=1e-10)
    assert 5 <= 20 - len(missed) < 20
    assert [int(i) for i in re.findall(r"(\d+) \(f\(x\)", str(told[0].message))] == missed[:10]


def test_examples_do_not_see_each_other(model, x, target):
    together = simple(model, x, target).input
    alone = [simple(model, x[i : i + 1], int(target[i])).input for i in range(len(x))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-8, atol=1e-10)


def test_no_root_is_told_and_the_smallest_value_taken():
    # Examples 0 and 2 have no root; the middle one has.
    net = Function(lambda x: x[:, 0] ** 2 + x[:, 1])
    x = torch.tensor([[1.0, 1.0], [1.0, -0.5], [2.0, 5.0]], dtype=torch.float64)
    net.f = lambda x: x[:, 0] ** 2 + x[:, 1].detach()
    with pytest.warns(UserWarning, match=r"example\(s\) 0 \(f\(x\) = 2, f\(x0\) = 1\), 2 \(.*reach"):
        found = simple(net, x, reach=2.0, samples=4)
    # Newton's steps on the ray are f / (2 x0): sampled at halves of it, x0 = 1 → 0.5, 0, …; the smallest is at 0.
    torch.testing.assert_close(found.input[0], torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)
    root = math.sqrt(0.5)
    torch.testing.assert_close(float(found.input[1, 0]), 2 * root * (1 - root), rtol=1e-9, atol=0)


def test_flat_places_and_roots_themselves():
    net = Function(lambda x: F.relu(x[:, 0] - 1) + x[:, 1].detach())
    x = torch.tensor([[0.0, 3.0], [0.0, 0.0], [2.0, -1.0]], dtype=torch.float64)
    with pytest.warns(UserWarning, match=r"example\(s\) 0 \(f\(x\) = 3, f\(x0\) = 3\); they"):
        found = simple(net, x)
    assert not found.input.any()
    torch.testing.assert_close(found.start[:, 0], torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"reach": 0}, ["reach", "above 0"]),
        ({"reach": -1.0}, ["reach", r"-1\.0"]),
        ({"reach": math.inf}, ["reach", "inf"]),
        ({"samples": 0}, ["samples", "0"]),
        ({"samples": 1.5}, ["samples", r"1\.5", "whole"]),
    ],
    ids=str,
)
def test_bad_parameters(parameters, words, model, x):
    with refused(InputError, "SimpleTaylor", *words):
        simple(model, x, **parameters)


def test_deep_taylor_is_the_composite(model, x, target):
    found = attribute(model, x, "deep-taylor", target, device="cpu", low=-4.0, high=[3.0, 4.0, 5.0], epsilon=1e-3)
    composite = lrp.composites.DeepTaylor(-4.0, [3.0, 4.0, 5.0], 1e-3)
    wanted = lrp.explain(model, x, target, composite, device="cpu")
    assert found.layers == wanted.layers
    assert all(torch.equal(found[layer], wanted[layer]) for layer in wanted.layers)
    assert found.composite == repr(composite)
    assert len(found.ledger) == len(wanted.ledger)


def test_deep_taylor_takes_the_model_s_own_bounds(own_model, x):
    with refused(InputError, "deep-taylor", "bounds"):
        attribute(own_model, x, "deep-taylor", device="cpu")
    own_model.input_bounds = (-4.0, 4.0)
    found = attribute(own_model, x, "deep-taylor", device="cpu", epsilon=1e-2)
    wanted = lrp.explain(own_model, x, composite=lrp.composites.DeepTaylor(-4.0, 4.0, 1e-2), device="cpu")
    assert torch.equal(found.input, wanted.input)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"low": 0.0}, ["low", "high", "both"]),
        ({"low": 1, "high": 0}, ["low", "below"]),
        ({"epsilon": -1}, ["epsilon"]),
    ],
    ids=str,
)
def test_bad_bounds(parameters, words, model, x):
    with refused(InputError, *words):
        attribute(model, x, "deep-taylor", device="cpu", **parameters)

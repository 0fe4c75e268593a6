"""Integrated gradients: the quadrature, completeness and who is told when it fails, memory, baselines."""

import math
import warnings

import numpy as np
import pytest
import torch
from oracles.by_autograd import integrated, score
from refusals import refused
from torch import nn

from lrp_explorer.baselines import IntegratedGradients, attribute
from lrp_explorer.baselines.replay import Replay
from lrp_explorer.errors import InputError


def run(model, x, target=None, **parameters):
    return attribute(model, x, "integrated-gradients", target, device="cpu", **parameters)


def few(model, x, target, **parameters):
    """Run with few steps, where the sum may well miss: the quadrature itself is looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(model, x, target, steps=10, **parameters)


def test_the_quadrature(model, x, target):
    found = few(model, x, target).input
    zero = torch.zeros_like(x)
    torch.testing.assert_close(found, integrated(model, x, zero, target, 10, np.float32), rtol=1e-10, atol=1e-13)
    exact = integrated(model, x, zero, target, 10, np.float64)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-7 * float(exact.abs().max()))


def test_the_sum_is_the_difference_of_the_logits(x, target):
    torch.manual_seed(2)
    smooth = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Tanh(), nn.Linear(8, 5)).double().eval()
    found = run(smooth, x, target, steps=60)
    difference = (score(smooth, x, target) - score(smooth, torch.zeros_like(x), target)).detach()
    assert found.seed == "difference"
    torch.testing.assert_close(found.start.sum(1), difference, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found.sums()["input"], difference, rtol=1e-6, atol=0)


def test_for_a_linear_model_one_step_is_enough(x, target):
    torch.manual_seed(2)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).double().eval()
    wanted = x * linear[1].weight[target].reshape(x.shape)
    torch.testing.assert_close(run(linear, x, target, steps=1).input, wanted.detach(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    "baseline",
    [0.5, [0.1, -0.2, 0.3], torch.linspace(-1, 1, 192, dtype=torch.float64).reshape(3, 8, 8)],
    ids=["number", "channels", "example"],
)
def test_baselines(baseline, model, x, target):
    begin = torch.as_tensor(baseline, dtype=torch.float64)
    begin = (begin.reshape(3, 1, 1) if begin.dim() == 1 else begin).expand_as(x)
    found = few(model, x, target, baseline=baseline)
    torch.testing.assert_close(found.input, integrated(model, x, begin, target, 10, np.float32), rtol=1e-10, atol=1e-13)
    difference = (score(model, x, target) - score(model, begin, target)).detach()
    torch.testing.assert_close(found.start.sum(1), difference, rtol=1e-12, atol=1e-13)


def test_nothing_is_shared_out_when_the_way_is_a_point(model, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run(model, x[:1], baseline=x[0])
    assert not found.input.any()
    assert float(found.start.abs().sum()) < 1e-12


def test_rounding_is_no_failure():
    class Wave(nn.Module):
        def forward(self, x):
            return 1 + torch.sin(x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run(Wave().eval(), torch.full((1, 2), math.pi, dtype=torch.float64), 0)
    assert 0 < abs(float(found.input.sum())) < 1e-6


@pytest.mark.parametrize(("at_once", "most"), [(1, 3), (3, 3), (7, 6), (1000, 30)])
def test_memory_is_bounded_and_changes_nothing(at_once, most, model, x, target, monkeypatch):
    wanted = few(model, x, target).input
    batches = []
    forward = Replay.forward

    def counting(self, points):
        batches.append(len(points))
        return forward(self, points)

    monkeypatch.setattr(Replay, "forward", counting)
    found = few(model, x, target, at_once=at_once).input
    assert max(batches) == most
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-13)


def test_a_model_that_fixes_its_batch(model, x, target):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x.reshape(3, 3, 8, 8))

    found = few(Fixed().eval(), x, target).input
    torch.testing.assert_close(found, few(model, x, target).input, rtol=1e-10, atol=1e-13)


def test_a_sum_that_misses_is_told():
    class Step(nn.Module):
        def forward(self, x):
            return torch.tanh(20 * (x.flatten(1)[:, :2] - 0.5)) / 2 + 0.5

    batch = torch.tensor([[1.0, 0.0], [0.1, 0.0]], dtype=torch.float64)
    with pytest.warns(UserWarning, match=r"(?s)5%.*example\(s\) 0;.* by 1 of 1\..*more steps"):
        found = run(Step().eval(), batch, 0, steps=2)
    assert abs(float((found.start.sum(1) - found.sums()["input"])[0])) > 0.4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(Step().eval(), batch, 0, steps=60)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"steps": 0}, ["steps", "0", "at least 1"]),
        ({"steps": 2.5}, ["steps", r"2\.5", "whole"]),
        ({"steps": True}, ["steps", "True"]),
        ({"at_once": 0}, ["at_once", "0"]),
        ({"baseline": math.nan}, ["baseline", "nan"]),
        ({"baseline": "black"}, ["baseline", "black"]),
        ({"baseline": None}, ["baseline", "None"]),
        ({"baseline": [1.0, 2.0]}, ["baseline", r"1\.0, 2\.0", r"\(3, 8, 8\)", "per channel"]),
    ],
    ids=str,
)
def test_bad_parameters(parameters, words, model, x):
    with refused(InputError, "IntegratedGradients", *words):
        run(model, x, **parameters)


def test_the_method_is_a_value():
    assert IntegratedGradients(baseline=[1, 2]) == IntegratedGradients(baseline=torch.tensor([1.0, 2.0]))
    assert hash(IntegratedGradients()) == hash(IntegratedGradients(50, 0.0))
    assert repr(IntegratedGradients(20)) == "IntegratedGradients(steps=20, baseline=0.0, at_once=16)"

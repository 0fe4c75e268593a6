"""Saliency, sensitivity and input × gradient are their formulas, example by example."""

import pytest
import torch
from oracles.by_autograd import gradient, score
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.baselines import attribute

FORMULAS = {
    "saliency": lambda x, slope: slope.abs(),
    "sensitivity": lambda x, slope: slope**2,
    "input-x-gradient": lambda x, slope: x * slope,
}


@pytest.mark.parametrize("method", FORMULAS)
def test_the_formula(method, model, x, target):
    found = attribute(model, x, method, target, device="cpu")
    wanted = FORMULAS[method](x, gradient(model, x, target))
    assert wanted.abs().max() > 0.01
    torch.testing.assert_close(found.input, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("method", FORMULAS)
def test_without_a_target_each_example_explains_its_predicted_class(method, model, x):
    predicted = model(x).argmax(1)
    found = attribute(model, x, method, device="cpu")
    assert torch.equal(found.target, predicted)
    assert torch.equal(found.input, attribute(model, x, method, predicted, device="cpu").input)


@pytest.mark.parametrize("method", FORMULAS)
def test_examples_do_not_see_each_other(method, model, x, target):
    together = attribute(model, x, method, target, device="cpu").input
    alone = [attribute(model, x[i : i + 1], method, int(target[i]), device="cpu").input for i in range(len(x))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-10, atol=1e-14)


def test_what_each_shares_out(model, x, target):
    logits = score(model, x, target).detach()
    for method, seed, shared in [
        ("saliency", "one", torch.ones(3).double()),
        ("sensitivity", "one", torch.ones(3).double()),
        ("input-x-gradient", "logit", logits),
    ]:
        found = attribute(model, x, method, target, device="cpu")
        assert (found.seed, found.semiring) == (seed, "real")
        torch.testing.assert_close(found.start.gather(1, target[:, None])[:, 0], shared, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.start.sum(1), shared, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.logits, model(x).detach(), rtol=1e-12, atol=0)


def test_input_times_gradient_is_lrp_0_where_all_is_piecewise_linear(x, target):
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)).double().eval()
    found = attribute(net, x, "input-x-gradient", target, device="cpu")
    zero = lrp.explain(net, x, target, lrp.composites.Uniform(lrp.rules.Epsilon(1e-14)), device="cpu")
    torch.testing.assert_close(found.input, zero.input, rtol=1e-8, atol=1e-10)

"""The oracles themselves, against zennit's rules on single layers: neither was written from the other."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from oracles.dense import relevance, to_dense
from torch import nn
from zennit import rules as zennit

EPSILON = 1e-6
RNG = np.random.default_rng(0)
LAYERS = {
    "linear": (lambda: nn.Linear(12, 7), (12,)),
    "strided, padded": (lambda: nn.Conv2d(3, 5, 3, stride=2, padding=1), (3, 7, 6)),
    "dilated": (lambda: nn.Conv2d(2, 4, (2, 3), dilation=2, padding=(0, 2)), (2, 6, 5)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 5, 5)),
    "depthwise, no bias": (lambda: nn.Conv2d(4, 4, 2, groups=4, bias=False), (4, 4, 5)),
    "one-dimensional": (lambda: nn.Conv1d(3, 4, 3, padding=1), (3, 8)),
}


def pair(name, bias, low=None, high=None):
    """An oracle's parameters and zennit's rule that must do the same."""
    zero_params = "bias" if bias == "ignore" else None
    values = {
        "Epsilon": ({"relative": None}, zennit.Epsilon(EPSILON, zero_params)),
        "Gamma": ({"gamma": 0.4}, zennit.Gamma(0.4, EPSILON, zero_params)),
        "AlphaBeta": ({"alpha": 3.0, "beta": 2.0}, zennit.AlphaBeta(3.0, 2.0, EPSILON, zero_params)),
        "ZPlus": ({}, zennit.ZPlus(EPSILON, zero_params)),
        "ZBox": ({"low": low, "high": high}, zennit.ZBox(low, high, EPSILON, zero_params)),
        "WSquare": ({}, zennit.WSquare(EPSILON, zero_params)),
        "Flat": ({}, zennit.Flat(EPSILON, zero_params)),
    }
    parameters, rule = values[name]
    return type(name, (SimpleNamespace,), {})(bias=bias, epsilon=EPSILON, stabilizer=EPSILON, **parameters), rule


def by_zennit(rule, layer, a, upper):
    hooks = rule.copy().register(layer)
    try:
        a = a.clone().requires_grad_()
        return torch.autograd.grad(layer(a), a, upper)[0].numpy()
    finally:
        hooks.remove()


@pytest.mark.parametrize("signed", [False, True], ids=["non-negative", "signed"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", ["Epsilon", "Gamma", "AlphaBeta", "ZPlus", "ZBox", "WSquare", "Flat"])
def test_the_oracle_is_what_zennit_computes(name, layer, signed):
    torch.manual_seed(len(name) + len(layer))
    build, shape = LAYERS[layer]
    module = build().double()
    a = torch.randn(3, *shape, dtype=torch.float64)
    a = a if signed else a.relu()
    upper = torch.randn_like(module(a))
    for bias in ("absorb", "ignore"):
        oracle, rule = pair(name, bias, a.min(), a.max() + 0.5)
        if name == "ZBox":
            oracle.low, oracle.high = float(oracle.low), float(oracle.high)
        ours = relevance(oracle, to_dense(module, shape), a.numpy(), upper.numpy())
        np.testing.assert_allclose(ours, by_zennit(rule, module, a, upper), rtol=0, atol=1e-11 * np.abs(ours).max())


def test_zero_is_epsilon_without_an_epsilon():
    torch.manual_seed(0)
    layer, a, upper = to_dense(nn.Linear(9, 4).double(), (9,)), RNG.standard_normal((3, 9)), RNG.standard_normal((3, 4))
    zero = type("Zero", (SimpleNamespace,), {})(bias="absorb", stabilizer=1e-9)
    epsilon = type("Epsilon", (SimpleNamespace,), {})(bias="absorb", relative=None, epsilon=1e-9)
    np.testing.assert_array_equal(relevance(zero, layer, a, upper), relevance(epsilon, layer, a, upper))


def test_a_relative_epsilon_is_taken_of_each_example_alone():
    layer, upper = to_dense(nn.Linear(9, 4).double(), (9,)), RNG.standard_normal((2, 4))
    a = RNG.standard_normal((2, 9)) * np.array([[1.0], [1e3]])
    for relative in ("std", "rms"):
        rule = type("Epsilon", (SimpleNamespace,), {})(bias="absorb", relative=relative, epsilon=0.3)
        both = relevance(rule, layer, a, upper)
        alone = relevance(rule, layer, a[:1], upper[:1])
        np.testing.assert_array_equal(both[:1], alone)


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), nn.MaxPool2d((2, 3), stride=1, dilation=2)], ids=repr
)
def test_max_pooling_is_the_gradient_of_torch(pool):
    a = torch.randn(3, 2, 8, 7, dtype=torch.float64).relu()
    upper = torch.randn_like(pool(a))
    winner = type("Winner", (), {})()
    a.requires_grad_()
    (wanted,) = torch.autograd.grad(pool(a), a, upper)
    found = relevance(winner, to_dense(pool, (2, 8, 7)), a.detach().numpy(), upper.numpy())
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-14)


def test_pass_leaves_relevance_alone():
    layer, upper = to_dense(nn.Linear(5, 5).double(), (5,)), RNG.standard_normal((2, 5))
    np.testing.assert_array_equal(relevance(type("Pass", (), {})(), layer, RNG.standard_normal((2, 5)), upper), upper)

"""The oracle for whole networks, against the dense oracles on random small ones: neither was written from the other."""

import numpy as np
import pytest
import torch
from oracles import steps, walk
from oracles.compare import at, uniform
from oracles.dense import relevance, to_dense
from oracles.eager import Recipe, explain
from oracles.nets import conv_case, dense_case
from oracles.products import Attend
from torch import nn

from lrp_explorer import rules

EPSILON = 1e-6
PAIRS = {
    "epsilon": (rules.Epsilon(EPSILON), steps.epsilon(EPSILON)),
    "gamma": (rules.Gamma(0.25, EPSILON), steps.gamma(0.25, EPSILON)),
    "alpha 2 beta 1": (rules.AlphaBeta(2.0, 1.0, EPSILON), steps.alpha_beta(2.0, 1.0, EPSILON)),
    "z plus": (rules.ZPlus(EPSILON), steps.alpha_beta(1.0, 0.0, EPSILON)),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 9, 10])
def test_a_network_is_explained_as_by_dense_matrices(seed, name):
    case = (conv_case if seed < 9 else dense_case)(seed)
    rule, step = PAIRS[name]
    wanted, logits = walk.explain(case.net, case.x, at(case.target.numpy()), uniform(rule))
    found = explain(case.net, case.x, case.target, Recipe(step, step, size=EPSILON, signed=name == "epsilon"))
    np.testing.assert_allclose(found.logits.numpy(), logits, rtol=1e-11)
    scale = np.abs(wanted["input"]).max()
    assert scale > 0
    np.testing.assert_allclose(found.input.numpy(), wanted["input"], rtol=0, atol=1e-11 * scale)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Conv2d(3, 6, (2, 3), dilation=2, groups=3), nn.Linear(12, 7)]
)
@pytest.mark.parametrize("name", ["box", "flat"])
def test_rules_of_first_layers(layer, name):
    torch.manual_seed(0)
    layer = layer.double()
    x = torch.randn(2, 12) if isinstance(layer, nn.Linear) else torch.randn(2, 3, 7, 8)
    x = x.double().clamp(-2, 2)
    low, high = torch.full(x.shape[1:], -2.0).double(), torch.full(x.shape[1:], 2.5).double()
    rule = rules.ZBox(-2.0, 2.5, EPSILON) if name == "box" else rules.Flat(EPSILON)
    step = steps.box(low, high, EPSILON) if name == "box" else steps.flat(EPSILON)
    upper = torch.randn_like(layer(x)).detach()

    def call(x, weight):
        if isinstance(layer, nn.Linear):
            return nn.functional.linear(x, weight)
        return nn.functional.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)

    bias = layer.bias.detach().view(-1, *[1] * (x.dim() - 2))
    found = step(upper, x, call, layer.weight.detach(), bias)
    wanted = relevance(rule, to_dense(layer, x.shape[1:]), x.numpy(), upper.numpy())
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_attention():
    torch.manual_seed(0)
    tokens, width = 4, 3
    x = torch.randn(2, 3 * tokens * width, dtype=torch.float64)
    upper = torch.randn(2, tokens * width, dtype=torch.float64)
    dense = to_dense(Attend(tokens, width), (x.shape[1],))
    wanted = relevance(rules.Attention(EPSILON), dense, x.numpy(), upper.numpy())
    q, k, v = x.reshape(2, 3, tokens, width).unbind(1)
    found = torch.cat([part.flatten(1) for part in steps.attention(q, k, v, upper.view(2, tokens, width), EPSILON)], 1)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_a_function_without_a_rule_is_refused():
    class Cosine(nn.Module):
        def forward(self, x):
            return x.cos()

    step = steps.epsilon(EPSILON)
    with pytest.raises(NotImplementedError, match="cos"):
        explain(Cosine(), torch.ones(1, 2), torch.tensor([0]), Recipe(step, step))

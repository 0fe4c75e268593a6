"""What must hold whatever the network: input × gradient, conservation, positivity, the limit of γ."""

from functools import cache

import pytest
import torch
from oracles.walk import Branches
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules

PIECEWISE_LINEAR = {
    "plain": lambda bias: [
        nn.Conv2d(3, 6, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, bias=bias), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(8, 10, bias=bias), nn.ReLU(), nn.Dropout(), nn.Linear(10, 4, bias=bias),
    ],
    "concatenated": lambda bias: [
        nn.Conv2d(3, 6, 2, stride=2, bias=bias), nn.ReLU(),
        Branches(
            nn.Sequential(nn.Conv2d(6, 4, 1, bias=bias), nn.ReLU()),
            nn.Sequential(nn.Conv2d(6, 5, 3, padding=1, groups=1, bias=bias), nn.ReLU()),
            nn.Identity(),
        ),
        nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(15, 4, bias=bias),
    ],
    "dense": lambda bias: [
        nn.Flatten(), nn.Linear(192, 20, bias=bias), nn.ReLU(), nn.Linear(20, 12, bias=bias), nn.ReLU(),
        nn.Linear(12, 4, bias=bias),
    ],
    "leaky": lambda bias: [
        nn.Conv2d(3, 5, 3, stride=2, bias=bias), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(45, 4, bias=bias),
    ],
}  # fmt: skip
NETS = [(name, bias) for name in PIECEWISE_LINEAR for bias in (False, True)]
Uniform = lrp.composites.Uniform


@cache
def recorded(name, bias, positive=False):
    torch.manual_seed(6)
    net = nn.Sequential(*PIECEWISE_LINEAR[name](bias)).double().eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=(2 / (parameter[0].numel() if parameter.dim() > 1 else 20)) ** 0.5)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    x = x.abs() if positive else x
    return net, x, lrp.Session(net, x, device="cpu")


def input_times_gradient(net, x, target):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(x).gather(1, target[:, None]).sum(), x)
    return (x * gradient).detach()


def distance(found, wanted):
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


@pytest.mark.parametrize(("name", "bias"), NETS)
def test_zero_is_input_times_gradient(name, bias):
    net, x, session = recorded(name, bias)
    target = torch.tensor([2, 0, 3])
    wanted = input_times_gradient(net, x, target)
    # The stabiliser of 1e-9 is all that keeps the two apart.
    assert distance(session.relevance(target=target, composite=Uniform(rules.Zero())).input, wanted) < 1e-5


class Arithmetic(nn.Module):
    """A network whose middle is a function of two layers' outputs."""

    def __init__(self, function):
        super().__init__()
        self.left, self.right, self.head = nn.Linear(5, 6), nn.Linear(5, 6), nn.LazyLinear(4)
        self.function = function

    def forward(self, x):
        return self.head(self.function(self.left(x).relu(), self.right(x)).flatten(1))


LINEAR_FUNCTIONS = {
    "a + a": lambda a, b: a + a,
    "a - b": lambda a, b: a - b,
    "add alpha": lambda a, b: torch.add(a, b, alpha=-0.7),
    "rsub": lambda a, b: 2.0 - a,
    "scaled, shifted": lambda a, b: -(a / 4) * 3.0 + 0.25,
    "broadcast": lambda a, b: b - a.mean(1, keepdim=True),
    "expanded": lambda a, b: a.mean(1, keepdim=True).expand_as(b) - b[:, :1].expand(-1, 6),
    "concatenated, cut": lambda a, b: torch.cat([a, b, a], 1)[:, 2:15:2],
    "stacked": lambda a, b: torch.stack([a, b], -1),
    "padded, turned": lambda a, b: F.pad(a.view(-1, 2, 3).transpose(1, 2), (1, 0)).flip(1),
    "indexed": lambda a, b: b[:, [5, 0, 0, 3]],
    "split": lambda a, b: sum(a.chunk(3, 1)) + b.split([2, 4], 1)[0],
    "constant matrix": lambda a, b: a @ torch.arange(18.0, dtype=a.dtype).view(6, 3) + b[:, :3],
    "in place": lambda a, b: a.clone().add_(b).mul_(2.0),
    "leaky": lambda a, b: F.leaky_relu(a - b, 0.3),
    "clamped": lambda a, b: torch.clamp(b, min=0.0) + a,
    "pooled": lambda a, b: F.max_pool1d(b[:, None], 2) + F.avg_pool1d(a[:, None], 2),
    "both signs": lambda a, b: torch.cat([b.relu(), (-b).relu()], 1),
    "before and after": lambda a, b: b.relu() + 0.5 * b,
    "rectified views": lambda a, b: torch.cat([b.view(-1, 2, 3).relu().flatten(1), b[:, 1:3]], 1),
    "rectified twice": lambda a, b: F.relu(b + a).clone().relu_() * 2.0 + b[:, :1],
    "upsampled": lambda a, b: F.interpolate(a[:, None], scale_factor=2.0),
}


@pytest.mark.parametrize("function", LINEAR_FUNCTIONS)
def test_arithmetic_between_layers_keeps_the_identity(function):
    torch.manual_seed(6)
    net, x = Arithmetic(LINEAR_FUNCTIONS[function]).double().eval(), torch.randn(3, 5, dtype=torch.float64)
    net(x)
    target = torch.tensor([2, 0, 3])
    found = lrp.explain(net, x, target=target, composite=Uniform(rules.Zero(1e-15)), device="cpu").input
    assert distance(found, input_times_gradient(net, x, target)) < 1e-9


@pytest.mark.parametrize(("name", "bias"), NETS)
def test_epsilon_approaches_input_times_gradient(name, bias):
    net, x, session = recorded(name, bias)
    target = torch.tensor([2, 0, 3])
    wanted = input_times_gradient(net, x, target)
    found = [session.relevance(target=target, composite=Uniform(rules.Epsilon(e))).input for e in (1e-2, 1e-5, 1e-8)]
    far, near, nearest = (distance(relevance, wanted) for relevance in found)
    assert far > 20 * near > 400 * nearest
    tiny = session.relevance(target=target, composite=Uniform(rules.Epsilon(1e-15))).input
    assert distance(tiny, wanted) < 1e-11


@pytest.mark.parametrize(
    "rule", [rules.Zero(1e-13, "ignore"), rules.Gamma(0.25, 1e-13, "ignore"), rules.ZPlus(1e-13, "ignore")]
)
@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_relevance_is_conserved_when_the_bias_is_ignored(name, rule):
    _, _, session = recorded(name, True, positive=True)
    relevance = session.relevance(composite=Uniform(rule))
    start = relevance.logits.gather(1, relevance.target[:, None])[:, 0]
    sums = relevance.sums()
    assert list(sums) == relevance.layers
    # Branches side by side carry it together.
    for layer in (layer for layer in relevance.layers if ".branches." not in layer):
        torch.testing.assert_close(sums[layer], start, rtol=1e-4, atol=0, msg=lambda m, at=layer: f"{at}: {m}")
    torch.testing.assert_close(relevance.input.flatten(1).sum(1), start, rtol=1e-4, atol=0)


def test_relevance_leaks_into_an_absorbing_bias():
    _, _, session = recorded("plain", True, positive=True)
    relevance = session.relevance(composite=Uniform(rules.Zero(bias="absorb")))
    start = relevance.logits.gather(1, relevance.target[:, None])[:, 0]
    assert ((relevance.input.flatten(1).sum(1) - start).abs() > 1e-3 * start.abs()).all()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_z_plus_is_positive(name, bias):
    _, _, session = recorded(name, bias, positive=True)
    relevance = session.relevance(composite=Uniform(rules.ZPlus()), seed="one")
    assert all((relevance[layer] >= 0).all() for layer in relevance.layers)
    assert relevance.input.min() >= 0
    assert relevance.input.max() > 0


def test_gamma_has_negative_relevance_that_z_plus_has_not():
    _, _, session = recorded("plain", True, positive=True)
    assert session.relevance(composite=Uniform(rules.Gamma(0.25)), seed="one").input.min() < 0


@pytest.mark.parametrize("bias", ["absorb", "ignore"])
@pytest.mark.parametrize("name", ["plain", "dense"])
def test_a_large_gamma_is_z_plus(name, bias):
    _, _, session = recorded(name, True, positive=True)
    plus = session.relevance(composite=Uniform(rules.ZPlus(bias=bias)))
    assert (plus.logits.gather(1, plus.target[:, None]) > 0).all()
    far, near = (
        distance(session.relevance(composite=Uniform(rules.Gamma(gamma, bias=bias))).input, plus.input)
        for gamma in (1e2, 1e6)
    )
    assert far > 1e3 * near
    assert near < 1e-4

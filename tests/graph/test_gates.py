"""A gate is found however it is written: by a layer, by hand, moved, scaled, or taken from one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform


def squeeze(h):
    return h.mean((2, 3))


SIGNAL = {
    "sigmoid": lambda h, g: h * torch.sigmoid(g),
    "sigmoid first": lambda h, g: torch.sigmoid(g) * h,
    "sigmoid of a view": lambda h, g: h * torch.sigmoid(squeeze(g)).view(-1, 6, 1, 1),
    "sigmoid expanded": lambda h, g: h * torch.sigmoid(squeeze(g)).view(-1, 6, 1, 1).expand_as(h),
    "sigmoid scaled": lambda h, g: h * (2.0 * torch.sigmoid(g)),
    "one minus a sigmoid": lambda h, g: h * (1 - torch.sigmoid(g)),
    "hard sigmoid": lambda h, g: h * F.hardsigmoid(g),
    "hard sigmoid by hand": lambda h, g: h * (F.relu6(g + 3) / 6),
    "hard swish by hand": lambda h, g: h * F.relu6(g + 3) / 6,
    "clamped": lambda h, g: h * (g + 0.5).clamp(0, 1),
    "softmax, part of it": lambda h, g: (
        h * squeeze(g).view(-1, 2, 3).softmax(1)[:, :1].repeat(1, 1, 2).view(-1, 6, 1, 1)
    ),
    "normal distribution": lambda h, g: 0.5 * h * (1 + torch.erf(g / 2**0.5)),
    "tanh approximation": lambda h, g: h * (0.5 * (1 + torch.tanh(0.8 * g))),
    "mish by hand": lambda h, g: h * torch.tanh(F.softplus(g)),
    "divided by a norm": lambda h, g: h / g.norm(dim=1, keepdim=True),
    "times an inverse root": lambda h, g: h * torch.rsqrt(g.square().mean(1, keepdim=True) + 1e-6),
    "times a power below one": lambda h, g: h * (g.square().mean(1, keepdim=True) + 1e-6).pow(-0.5),
}
HALVES = {
    "plain": lambda h, g: h * g,
    "tanh": lambda h, g: h * torch.tanh(g),
    "square": lambda h, g: h * g.pow(2),
    "two gates": lambda h, g: torch.sigmoid(h) * torch.sigmoid(g),
    "gelu": lambda h, g: h * F.gelu(g),
}


class Gated(nn.Module):
    def __init__(self, product):
        super().__init__()
        self.signal, self.gate, self.head = nn.Conv2d(2, 6, 1), nn.Conv2d(2, 6, 1), nn.Linear(6 * 9, 3)
        self.product = product

    def forward(self, x):
        return self.head(self.product(self.signal(x), self.gate(x)).flatten(1))


@pytest.mark.parametrize("name", SIGNAL | HALVES)
def test_relevance_goes_to_the_signal_or_to_each_factor_by_half(name):
    torch.manual_seed(0)
    session = lrp.Session(
        Gated((SIGNAL | HALVES)[name]).double().eval(), torch.randn(2, 2, 3, 3).double(), device="cpu"
    )
    (gate,) = [row for row in session.coverage() if session.graph.by_name[row.layer].kind == "gate"]
    relevance = session.relevance(target=1, composite=Uniform(rules.Epsilon()))
    arrived = relevance[gate.layer]
    share = 1.0 if name in SIGNAL else 0.5
    assert gate.note == ("gate: all relevance to the signal" if name in SIGNAL else "product: half to each factor")
    torch.testing.assert_close(relevance["signal"], share * arrived, rtol=1e-12, atol=1e-14)
    assert bool((relevance["gate"] == 0).all()) == (name in SIGNAL)

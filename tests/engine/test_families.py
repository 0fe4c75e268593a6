"""Every family of torchvision classifiers: the same function, exact relevance, and every loss booked."""

import math

import pytest
import torch
from oracles.families import OTHERS, PIECEWISE_LINEAR, published
from torch import nn
from torchvision import models

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlusFlat, Uniform


def error(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


def input_times_gradient(model, x, target):
    x = x.clone().requires_grad_()
    model(x).gather(1, target[:, None]).sum().backward()
    return x.detach() * x.grad


def assert_booked(relevance):
    """Every row of the ledger adds up to what arrived less what was handed down."""
    for row, arrived in zip(relevance.ledger, reversed(relevance.layers), strict=False):
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert row.layer == arrived
        # Where nothing arrives in all, no more than rounding may be missing.
        rounding = 1e-14 * float(relevance[arrived].abs().sum())
        assert abs(missing) <= 1e-6 * abs(row.relevance_in) + rounding, row


@pytest.mark.parametrize("name", PIECEWISE_LINEAR | OTHERS)
def test_a_family(name):
    model, x = published(name)
    session = lrp.Session(model, x)
    with torch.no_grad():
        assert error(session.logits, model(x)) < 1e-10
    exact = session.relevance(composite=Uniform(rules.Zero(stabilizer=0.0)))
    if name in PIECEWISE_LINEAR:
        assert error(exact.input, input_times_gradient(model, x, exact.target)) < 1e-10
    relevance = session.relevance(composite=EpsilonPlusFlat())
    assert bool(torch.isfinite(relevance.input).all())
    assert relevance.input.abs().max() > 0
    assert_booked(relevance)


def test_the_families_are_all_there_are():
    def family(name):
        for stem in ("resnext", "wide_resnet", "vit", "swin_v2", "swin", "maxvit", "convnext", "efficientnet_v2"):
            if name.startswith(stem):
                return stem
        stem = name.rstrip("0123456789").split("_")[0].rstrip("0123456789")
        return {"inception": "inception"}.get(stem, stem)

    classifiers = models.list_models(module=models)
    tested = {family(name) for name in PIECEWISE_LINEAR | OTHERS}
    assert {family(name) for name in classifiers} <= tested


def test_the_gate_of_a_product_receives_nothing():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.signal, self.gate, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.signal(x) * torch.sigmoid(self.gate(x)))

    torch.manual_seed(0)
    relevance = lrp.explain(Gated().double().eval(), torch.randn(2, 4, dtype=torch.float64))
    assert float(relevance["gate"].abs().max()) == 0.0
    assert torch.equal(relevance["signal"], relevance["mul"])


def test_attention_by_parts_is_attention_in_one():
    """PyTorch's fused attention and the same written out receive the same relevance (AttnLRP, one rule each)."""

    class Attend(nn.Module):
        def __init__(self, fused):
            super().__init__()
            self.parts, self.head, self.fused = nn.Linear(4, 12), nn.Linear(4, 3), fused

        def forward(self, x):
            q, k, v = self.parts(x).split(4, -1)
            if self.fused:
                out = nn.functional.scaled_dot_product_attention(q, k, v)
            else:
                out = ((q * (1 / math.sqrt(4))) @ k.transpose(-1, -2)).softmax(-1) @ v
            return self.head(out.mean(1))

    seed = 3
    x = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = []
    for fused in (True, False):
        torch.manual_seed(seed)
        found.append(lrp.explain(Attend(fused).double().eval(), x, target=1, composite=Uniform(rules.Epsilon())).input)
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-14)

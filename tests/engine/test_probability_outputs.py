"""Outputs made of probabilities: reported whatever way they are made, with advice that works; gates are none."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlus, Uniform
from lrp_explorer.figures import mask_effect, probabilities


class Net(nn.Module):
    """Two dense layers, and what is made of their outputs."""

    def __init__(self, end):
        super().__init__()
        self.a, self.b, self.end = nn.Linear(4, 3), nn.Linear(4, 3), end

    def forward(self, x):
        return self.end(self.a(x), self.b(x))


def network(end, seed=0):
    torch.manual_seed(seed)
    return Net(end).double().eval(), torch.randn(2, 4, dtype=torch.float64)


def own_softmax(a):
    powers = (a - a.amax(1, keepdim=True)).exp()
    return powers / powers.sum(1, keepdim=True)


# What the output is made by, and the logits that it is made of, where each output has one of its own.
PROBABILITIES = {
    "sigmoid": (lambda a, b: a.sigmoid(), lambda a, b: a),
    "hard sigmoid": (lambda a, b: functional.hardsigmoid(a), lambda a, b: a),
    "log-sigmoid": (lambda a, b: functional.logsigmoid(a), lambda a, b: a),
    "both classes": (
        lambda a, b: (lambda p: torch.cat([1 - p, p], 1))(a.sigmoid()),
        lambda a, b: torch.cat([-a, a], 1),
    ),
    "viewed": (lambda a, b: a.softmax(1).view(-1, 3), lambda a, b: a),
    "cut": (lambda a, b: a.softmax(1)[:, :2], lambda a, b: a[:, :2]),
    "clamped": (lambda a, b: a.softmax(1).clamp(1e-6, 1), lambda a, b: a),
    "scaled": (lambda a, b: 4 * a.softmax(1), lambda a, b: a),
    "exp of logarithms": (lambda a, b: a.log_softmax(1).exp(), lambda a, b: a),
    "cut logarithms": (lambda a, b: a.log_softmax(1)[:, 1:], lambda a, b: a[:, 1:]),
    "tempered": (lambda a, b: a.log_softmax(1) * 0.5, lambda a, b: a),
    "logarithm": (lambda a, b: (a.softmax(1) + 1e-8).log(), lambda a, b: a),
    "mean": (lambda a, b: torch.stack([a.softmax(1), b.softmax(1)]).mean(0), None),
    "half the sum": (lambda a, b: (a.softmax(1) + b.softmax(1)) / 2, None),
    "product": (lambda a, b: a.softmax(1) * b.sigmoid(), None),
    "stacked": (
        lambda a, b: torch.stack([a.softmax(1), b.softmax(1)], 1).flatten(1),
        lambda a, b: torch.cat([a, b], 1),
    ),
    "some of them": (lambda a, b: torch.cat([a, b.sigmoid()], 1), lambda a, b: torch.cat([a, b], 1)),
    "put to one": (lambda a, b: a.sigmoid() / a.sigmoid().sum(1, keepdim=True), None),
    "written out": (lambda a, b: 1 / (1 + torch.exp(-a)), None),
    "softmax written out": (lambda a, b: own_softmax(a), None),
    "log-softmax written out": (lambda a, b: a - a.logsumexp(1, keepdim=True), None),
    "softmax written out by logarithms": (lambda a, b: (a - a.logsumexp(1)[:, None]).exp(), None),
    "hard sigmoid written out": (lambda a, b: functional.relu6(a + 3) / 6, None),
}


@pytest.mark.parametrize("name", PROBABILITIES)
def test_they_are_reported_and_the_advice_explains_the_logits(name):
    end, logits = PROBABILITIES[name]
    model, x = network(end)
    with pytest.warns(UserWarning, match=r"Net ends in .*no logits.*Let forward\(\) return the logits") as told:
        session = lrp.Session(model, x, device="cpu")
    said = str(told[0].message)
    assert ("or pass over" in said) == ("written out" not in name)
    if logits is None:
        return
    # The advice, followed to the letter.
    assert "seed='one'" in said
    advice = dict.fromkeys(re.findall(r"'(\w+)': lrp\.rules\.Pass\(\)", said), rules.Pass())
    model.end = logits
    for target in (0, 1):
        found = session.relevance(target, EpsilonPlus().override(advice), seed="one").input
        wanted = lrp.explain(model, x, target, EpsilonPlus(), seed="one", device="cpu").input
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["mean", "half the sum", "product"])
def test_the_advice_for_several_hands_all_to_their_logits(name):
    model, x = network(PROBABILITIES[name][0])
    with pytest.warns(UserWarning, match="pass over") as told:
        session = lrp.Session(model, x, device="cpu")
    advice = dict.fromkeys(re.findall(r"'(\w+)': lrp\.rules\.Pass\(\)", str(told[0].message)), rules.Pass())
    found = session.relevance(1, EpsilonPlus(epsilon=0.0).override(advice), seed="one")
    with torch.no_grad():
        a, b = (layer(x) for layer in (model.a, model.b))
    p, q = (a.softmax(1)[:, 1], (b.sigmoid() if name == "product" else b.softmax(1))[:, 1])
    share = torch.full_like(p, 0.5) if name == "product" else p / (p + q)
    for layer, part in (("a", share), ("b", 1 - share)):
        wanted = torch.zeros_like(a)
        wanted[:, 1] = part
        torch.testing.assert_close(found[layer], wanted, rtol=1e-12, atol=1e-14)


LOGITS = {
    "SiLU": lambda a, b: functional.silu(a),
    "SiLU written out": lambda a, b: a / (1 + torch.exp(-a)),
    "gated": lambda a, b: a * b.sigmoid(),
    "gated linear unit": lambda a, b: functional.glu(torch.cat([a, b], 1)),
    "hard swish written out": lambda a, b: a * functional.relu6(a + 3) / 6,
    "GELU": lambda a, b: functional.gelu(a),
    "a sum with a gate": lambda a, b: a + b.sigmoid(),
    "attention": lambda a, b: (a.softmax(1)[:, None] @ b[:, :, None].expand(-1, 3, 3))[:, 0],
    "squeeze and excite": lambda a, b: functional.linear(a * b.sigmoid(), torch.ones(2, 3).double()),
    "chosen": lambda a, b: torch.where(b > 0, a, a * 0.1),
    "tanh": lambda a, b: a.tanh(),
    "exp": lambda a, b: a.exp(),
    "experts": lambda a, b: (a.softmax(1)[:, :, None] * b[:, None]).sum(1),
}


@pytest.mark.parametrize("name", LOGITS)
def test_nothing_is_said_of_logits(name, recwarn):
    model, x = network(LOGITS[name])
    lrp.coverage(model, x, device="cpu")
    assert [str(warning.message) for warning in recwarn] == []


class TestOneLogit:
    def network(self):
        torch.manual_seed(0)
        return nn.Linear(3, 1, bias=False).double().eval(), torch.randn(4, 3, dtype=torch.float64)

    def test_the_seed_is_its_sigmoid(self):
        model, x = self.network()
        found = lrp.explain(model, x, seed="probability", composite=Uniform(rules.Epsilon(0.0)), device="cpu")
        wanted = 1 / (1 + torch.exp(-(x @ model.weight.detach().T)))
        torch.testing.assert_close(found.start, wanted, rtol=1e-14, atol=0)
        torch.testing.assert_close(found.input.sum(1, keepdim=True), wanted, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.probabilities, wanted, rtol=1e-14, atol=0)
        assert found.target.tolist() == [0, 0, 0, 0]

    def test_the_figures_show_it(self):
        for logit in (-3.0, 0.0, 2.0, 800.0):
            wanted = 1 / (1 + np.exp(-logit))
            assert probabilities.info(np.array([logit])).probabilities.tolist() == pytest.approx([wanted], abs=1e-15)
        before, after = np.array([2.0]), np.array([-1.0])
        drawn = mask_effect.effect(np.zeros((4, 4), np.uint8), before, after, ("spike",))
        assert [bar.x[0] for bar in drawn.data[1:]] == pytest.approx([1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))])

    def test_of_several_it_is_their_softmax(self):
        logits = torch.randn(2, 3, dtype=torch.float64)
        shares = np.exp(logits[0].numpy()) / np.exp(logits[0].numpy()).sum()
        assert probabilities.of(logits[0].numpy()).tolist() == pytest.approx(shares.tolist(), abs=1e-15)

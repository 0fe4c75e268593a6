"""Norms by the example's own statistics in semirings: a dense layer over all that shares a mean."""

from dataclasses import dataclass

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import errors, rules
from lrp_explorer.composites import EpsilonPlus, Uniform
from lrp_explorer.engine import norm_edges
from lrp_explorer.semirings import Boolean, Bottleneck, Real, Viterbi


@dataclass(frozen=True)
class ByPaths(Real):
    """The real semiring over paths."""


class Channels(nn.Module):
    """A layer norm over channels, written out."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(4, 1, 1)), nn.Parameter(torch.zeros(4, 1, 1))

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + 1e-3).sqrt() * self.weight + self.bias


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    norms = [nn.LayerNorm(5), Channels(), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm((4, 5, 5))]
    layers = [layer for norm in norms for layer in (nn.Conv2d(4, 4, 1), norm, nn.ReLU())]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(100, 6), nn.LayerNorm(6), nn.Linear(6, 3)).double().eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return lrp.Session(net, torch.randn(2, 4, 5, 5, dtype=torch.float64), device="cpu")


COMPOSITES = [EpsilonPlus(), Uniform(rules.Epsilon(0.3, "std")), Uniform(rules.Epsilon(0.1, bias="ignore"))]


@pytest.mark.parametrize("composite", COMPOSITES, ids=repr)
def test_real_relevance_over_paths_is_that_of_the_ordinary_engine(session, composite):
    wanted = session.relevance(target=1, composite=composite, seed="one")
    found = session.relevance(target=1, composite=composite, semiring=ByPaths())
    for layer in session.layers:
        assert wanted[layer].abs().max() > 0
        difference = (found[layer] - wanted[layer]).abs().max()
        assert difference <= 1e-10 * wanted[layer].abs().max(), layer


def test_edges_of_a_norm_are_compared_and_chained(session):
    strengths = session.relevance(target=1, composite="epsilon-plus", semiring=Bottleneck())
    for theta in (1e-9, 0.05, 0.3):
        reached = session.relevance(target=1, composite="epsilon-plus", semiring=Boolean(theta=theta))
        for layer in session.layers:
            assert torch.equal(reached[layer], strengths[layer] >= theta), layer
    # Above the last norm: the strongest edge that enters each value, and the weight of the only layer above.
    best = session.relevance(target=1, composite="epsilon-plus", semiring=Viterbi())
    x = session.record.value("16")
    edges = (x[:, None, :] * (torch.eye(6, dtype=x.dtype) - 1 / 6)).abs()
    strongest = (edges / edges.amax(2, keepdim=True) * best["17"][:, :, None]).amax(1)
    torch.testing.assert_close(best["16"], strongest, rtol=1e-12, atol=0)


def test_a_norm_with_too_many_pairs_is_refused_with_advice(session, monkeypatch):
    monkeypatch.setattr(norm_edges, "MOST", 10)
    with refused(errors.CoverageError, "100", "10", "NormIdentity"):
        session.relevance(target=1, composite="epsilon-plus", semiring="boolean")
    names = [node.name for node in session.graph if node.kind == "layer_norm"]
    passed = EpsilonPlus().override(dict.fromkeys(names, rules.NormIdentity()))
    found = session.relevance(target=1, composite=passed, semiring="boolean")
    assert torch.equal(found["17"], found["16"])

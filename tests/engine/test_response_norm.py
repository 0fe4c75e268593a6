"""Local response normalisation: found in the graph, and shared by its Taylor expansion."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform

SETTINGS = [(4, 0.5, 0.75, 1.3), (5, 2.0, 0.5, 1.0), (1, 1.0, 0.75, 2.0), (3, 0.9, 1.5, 0.7)]


class Normed(nn.Module):
    def __init__(self, size, alpha, beta, k, functional):
        super().__init__()
        self.norm = nn.LocalResponseNorm(size, alpha, beta, k)
        self.settings, self.functional = (size, alpha, beta, k), functional

    def forward(self, x):
        return (F.local_response_norm(x, *self.settings) if self.functional else self.norm(x)).flatten(1)


def example(shape=(2, 7, 2, 3)):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def messages(x, size, alpha, beta, k):
    """Expansion of every output at its root point: message[b, j, c] from channel j to channel c; one pixel each."""
    channels = x.shape[1]
    sent = x.new_zeros(x.shape[0], channels, channels)
    for c in range(channels):
        window = [j for j in range(c - size // 2, c + (size - 1) // 2 + 1) if 0 <= j < channels]

        def output(v, c=c, window=window):
            return v[:, c] / (k + alpha / size * sum(v[:, j] ** 2 for j in window)) ** beta

        root = torch.zeros_like(x)
        root[:, c] = x[:, c]
        sent[:, c, c] = output(root)
        for j in set(window) - {c}:
            step = torch.zeros_like(x)
            step[:, j] = 1e-5
            # The slope at the example itself, by central differences, times the way from the root point.
            slope = (output(x + step) - output(x - step)) / 2e-5
            sent[:, j, c] = slope * (x - root)[:, j]
    return sent


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("functional", [False, True])
def test_taylor_shares_by_the_expansion(settings, functional):
    x = example((3, 7, 1, 1))
    seed = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    sent = messages(x.flatten(1), *settings)
    wanted = (sent / sent.sum(1, keepdim=True) * seed[:, None]).sum(2)
    session = lrp.Session(Normed(*settings, functional).eval(), x)
    assert next(node.kind for node in session.graph if node.inputs) == "response_norm"
    rule = rules.LRNTaylor(stabilizer=0.0)
    name = session.layers[1]
    found = session.relevance(seed=seed, composite=Uniform().override({name: rule})).input.flatten(1)
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("settings", SETTINGS)
def test_taylor_conserves_and_identity_passes(settings):
    x, seed = example(), example((2, 42))
    session = lrp.Session(Normed(*settings, False).eval(), x)
    taylor = session.relevance(seed=seed, composite=Uniform().override({"norm": rules.LRNTaylor(0.0)}))
    torch.testing.assert_close(taylor.input.flatten(1).sum(1), seed.sum(1), rtol=1e-9, atol=1e-9)
    identity = session.relevance(seed=seed, composite=Uniform().override({"norm": rules.LRNIdentity()}))
    assert torch.equal(identity.input.flatten(1), seed)


def test_constant_normalisation_is_the_identity():
    x, seed = example(), example((2, 42))
    session = lrp.Session(Normed(5, 1e-13, 0.75, 1.0, False).eval(), x)
    found = session.relevance(seed=seed, composite=Uniform().override({"norm": rules.LRNTaylor(0.0)})).input
    torch.testing.assert_close(found.flatten(1), seed, rtol=1e-9, atol=1e-9)


def test_the_normalised_network_computes_what_it_did():
    model = Normed(4, 0.5, 0.75, 1.3, False).eval()
    torch.testing.assert_close(lrp.Session(model, example()).logits, model(example()), rtol=1e-12, atol=0)

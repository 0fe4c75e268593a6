"""How the engine is held against the oracles: every layer of a network, with the rule that each has."""

from __future__ import annotations

import numpy as np
import torch
from oracles.products import Gated
from oracles.walk import Folded, Sum, explain
from torch import nn

from lrp_explorer import rules

TOLERANCE = 1e-12
# A stabiliser too small to matter: whether it is added to a window's sum or to its mean makes no difference.
AVERAGE = rules.Average(1e-15)


def at(target):
    """Seed relevance: the logit of each example's target, 0 elsewhere."""

    def seed(logits):
        start = np.zeros_like(logits)
        rows = np.arange(len(logits))
        start[rows, target] = logits[rows, target]
        return start

    return seed


def uniform(rule):
    """Rules by module: `rule` where there are weights; LRP-0 and ε in the other linear layers too."""
    shares = rule if isinstance(rule, rules.Zero | rules.Epsilon) else rules.Epsilon(1e-6)

    def rule_of(name, module):
        if isinstance(module, nn.MaxPool2d | Gated):
            return rules.Winner() if isinstance(module, nn.MaxPool2d) else rules.Signal()
        if isinstance(module, Sum) and shares is not rule:
            # None of the networks has a ReLU behind a sum, which would make the split a signed one.
            return rules.Magnitude(1e-6)
        return rule if isinstance(module, nn.Linear | nn.Conv2d | Folded) else shares

    return rule_of


def overridden(rule_of, others):
    """Rules by module, those of `others` (by name) first."""
    return lambda name, module: others.get(name) or rule_of(name, module)


def assert_equal(case, session, composite, rule_of):
    """Every layer's relevance equals the oracle's, relative to the largest relevance of that layer."""
    expected, logits = explain(case.net, case.x, at(case.target.numpy()), rule_of)
    found = session.relevance(target=case.target, composite=composite)
    np.testing.assert_allclose(found.logits.numpy(), logits, rtol=1e-12)
    assert torch.equal(found.input, found["input"])
    for name, wanted in expected.items():
        if name not in found.layers and isinstance(case.net.get_submodule(name), nn.Dropout | nn.Identity):
            continue
        got = found[name].numpy()
        assert got.shape == wanted.shape, name
        scale = np.abs(wanted).max()
        assert scale > 0, f"{name}: no relevance arrives, so nothing is compared"
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE * scale, err_msg=name)

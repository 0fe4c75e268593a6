"""A whole vision transformer by AttnLRP and by CP-LRP, against gradient × input through a changed copy, as lxt does it.

``tests/compat/compare_lxt.py`` compares with lxt itself.
"""

from functools import cache

import pytest
from oracles.by_gradient import explain
from oracles.small import small

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlus, Uniform


@cache
def recorded():
    model, x = small("ViT")
    return model, x, lrp.Session(model, x, device="cpu")


def named(session, kind, rule):
    return {node.name: rule for node in session.graph if node.kind == kind}


@pytest.mark.parametrize("through_softmax", [True, False], ids=["AttnLRP", "CP-LRP"])
def test_a_vision_transformer_is_gradient_times_input_through_a_changed_copy(through_softmax):
    model, x, session = recorded()
    target = session.logits.argmax(1)
    attention = rules.Attention(stabilizer=0.0, through_softmax=through_softmax)
    composite = Uniform(rules.Zero(stabilizer=0.0)).override(named(session, "attention", attention))
    wanted = explain(model, x, target, through_softmax=through_softmax)
    found = session.relevance(target=target, composite=composite).input
    assert bool((wanted.abs().amax((1, 2, 3)) > 0).all())
    assert (found - wanted).abs().max() <= 1e-9 * wanted.abs().max()


def test_a_norm_passed_over_is_something_else():
    _, _, session = recorded()
    composite = EpsilonPlus(split="signed")
    passed = composite.override(named(session, "layer_norm", rules.NormIdentity()))
    found, other = (session.relevance(target=0, composite=one).input for one in (composite, passed))
    assert (found - other).abs().max() > 0.1 * other.abs().max()

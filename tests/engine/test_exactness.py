"""The named composites and LRP-0 on every family that zennit does not cover, against the network explained as it runs.

The published networks of all families are compared by ``tests/bench/bench_exactness.py``.
"""

from functools import cache

import pytest
import torch
from oracles.by_zennit import COMPOSITES, HIGH, LOW
from oracles.eager import explain, recipes
from oracles.small import SMALL, small

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform

TOLERANCE = 1e-10
OURS = {name: ours for name, (ours, _) in COMPOSITES.items()} | {"uniform LRP-0": Uniform(rules.Zero(stabilizer=0.0))}
THEIRS = recipes(*(torch.tensor(bound, dtype=torch.float64).view(3, 1, 1) for bound in (LOW, HIGH)))


@cache
def recorded(name):
    model, x = small(name)
    return model, x, lrp.Session(model, x, device="cpu")


def assert_equal(found, wanted, where):
    difference = (found.reshape(wanted.shape) - wanted).abs().max()
    assert difference <= TOLERANCE * wanted.abs().max(), where


@pytest.mark.parametrize("composite", OURS)
@pytest.mark.parametrize("name", SMALL)
def test_a_family_is_exact(name, composite):
    model, x, session = recorded(name)
    target = session.logits.argmax(1)
    relevance = session.relevance(target=target, composite=OURS[composite])
    expected = explain(model, x, target, THEIRS[composite])
    assert_equal(relevance.logits, expected.logits, "logits")
    assert bool((expected.input.abs().amax((1, 2, 3)) > 0).all())
    assert_equal(relevance.input, expected.input, "input")
    weighted = [node.name for node in session.graph if node.inputs and node.kind in ("convolution", "linear")]
    for layer, wanted in zip(weighted, expected.weighted, strict=True):
        assert_equal(relevance[layer], torch.zeros(()) if wanted is None else wanted, layer)


def test_the_composites_are_different_ones():
    """Nothing above passes because two settings happen to agree."""
    _, _, session = recorded("ResNet")
    maps = [session.relevance(target=0, composite=composite).input for composite in OURS.values()]
    for i, first in enumerate(maps):
        for second in maps[:i]:
            assert (first - second).abs().max() > 1e-3 * first.abs().max()

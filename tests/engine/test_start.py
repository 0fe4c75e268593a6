"""Where a relevance starts: the target and the seed, and what of them arrives at the output layer."""

import numpy as np
import pytest
import torch
from torch import nn

import lrp_explorer as lrp

EXACT = lrp.composites.Uniform(lrp.rules.Epsilon(1e-15))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).double().eval()


@pytest.fixture(scope="module")
def x():
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture(scope="module")
def session(model, x):
    return lrp.Session(model, x, device="cpu")


def start(relevance):
    return relevance["2"]


def one_hot(target):
    return torch.nn.functional.one_hot(torch.as_tensor(target), 4).double()


def test_the_target_is_the_predicted_class_by_default(session):
    relevance = session.relevance(composite=EXACT)
    assert torch.equal(relevance.target, session.logits.argmax(1))
    assert torch.equal(start(relevance), one_hot(relevance.target) * session.logits)


def test_one_target_for_all_or_one_for_each(session):
    for target in (2, torch.tensor(2), np.int64(2)):
        assert torch.equal(start(session.relevance(target=target)), one_hot([2, 2, 2]) * session.logits)
    each = [3, 0, 2]
    for target in (torch.tensor(each), torch.tensor(each, dtype=torch.uint8), each, tuple(each), np.array(each)):
        relevance = session.relevance(target=target)
        assert torch.equal(start(relevance), one_hot(each) * session.logits)
        assert relevance.target.tolist() == each


def test_the_seeds(session):
    target, logits = [3, 0, 2], session.logits
    chosen = (one_hot(target) * logits).sum(1, keepdim=True)
    others = logits.masked_fill(one_hot(target).bool(), -torch.inf)
    best = one_hot(others.argmax(1))
    wanted = {
        "logit": one_hot(target) * chosen,
        "one": one_hot(target),
        "contrast": one_hot(target) * chosen - best * others.amax(1, keepdim=True),
        "probability": one_hot(target) * logits.softmax(1),
    }
    for seed, expected in wanted.items():
        torch.testing.assert_close(start(session.relevance(target=target, seed=seed)), expected, rtol=1e-12, atol=0)


def test_a_seed_of_ones_own(session):
    seed = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(start(session.relevance(seed=seed)), seed)


def test_relevance_is_linear_in_its_seed(session):
    seeds = torch.randn(2, 3, 4, dtype=torch.float64)
    first, second = (session.relevance(seed=seed, composite=EXACT).input for seed in seeds)
    both = session.relevance(seed=2 * seeds[0] - seeds[1], composite=EXACT).input
    torch.testing.assert_close(both, 2 * first - second, rtol=1e-10, atol=1e-12)


def test_examples_do_not_see_each_other(session, model, x):
    settings = {"composite": lrp.composites.Uniform(lrp.rules.Epsilon(0.3, relative="std")), "target": 1}
    whole = session.relevance(**settings).input
    alone = lrp.explain(model, x[1:2], device="cpu", **settings).input
    torch.testing.assert_close(alone[0], whole[1], rtol=1e-12, atol=1e-14)


def test_what_was_handed_out_can_be_changed_without_harm(model, x):
    session = lrp.Session(model, x, device="cpu")
    settings = {"composite": lrp.composites.EpsilonPlus(), "target": 1}
    wanted = {layer: value.clone() for layer, value in session.relevance(**settings).maps.items()}
    logits = session.logits.clone()
    found = session.relevance(**settings)
    found.input.fill_(7.0)
    found["1"].fill_(7.0)
    found.logits.fill_(7.0)
    again = session.relevance(**settings)
    assert torch.equal(session.logits, logits)
    assert all(torch.equal(again[layer], value) for layer, value in wanted.items())

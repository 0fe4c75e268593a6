"""Networks of timm, a library that the package knows nothing of: the same checks as for torchvision's families."""

from functools import cache

import pytest
import torch
from oracles.by_zennit import COMPOSITES, HIGH, LOW
from oracles.eager import explain, recipes
from oracles.families import awake, image

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlusFlat, Uniform

timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'lrp-explorer[timm]'")

TOLERANCE = 1e-10
# A deep stem with averages before its shortcuts, three branches summed, gates, large kernels, attention.
PIECEWISE_LINEAR = {"resnet18d": {}, "repvgg_a0": {}}
OTHERS = {
    "mobilenetv3_small_050": {},
    "convnext_atto": {"depths": (1, 1, 2, 1)},
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 3},
}
# Norms over places as gates, values written into slices, softmax over branches.
LEDGER_ONLY = {"convnextv2_atto": {"depths": (1, 1, 1, 1)}, "ghostnet_050": {}, "skresnet18": {}}


@cache
def recorded(name):
    torch.manual_seed(0)
    options = (PIECEWISE_LINEAR | OTHERS | LEDGER_ONLY)[name]
    model, x = awake(timm.create_model(name, pretrained=False, num_classes=7, **options)), image(32)
    return model, x, lrp.Session(model, x, device="cpu")


def error(found, wanted):
    return float((found.reshape(wanted.shape) - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("name", PIECEWISE_LINEAR | OTHERS | LEDGER_ONLY)
def test_the_traced_network_computes_what_the_model_does(name):
    model, x, session = recorded(name)
    assert error(session.logits, model(x)) < TOLERANCE


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", PIECEWISE_LINEAR | OTHERS)
def test_the_named_composites_are_exact(name, composite):
    model, x, session = recorded(name)
    low, high = (torch.tensor(bound, dtype=torch.float64).view(3, 1, 1) for bound in (LOW, HIGH))
    relevance = session.relevance(composite=COMPOSITES[composite][0])
    expected = explain(model, x, relevance.target, recipes(low, high)[composite])
    assert bool((expected.input.abs().amax((1, 2, 3)) > 0).all())
    assert error(relevance.input, expected.input) < TOLERANCE


@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_zero_is_input_times_gradient(name):
    model, x, session = recorded(name)
    exact = session.relevance(composite=Uniform(rules.Zero(stabilizer=0.0)))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf).gather(1, exact.target[:, None]).sum(), leaf)
    assert error(exact.input, x * gradient) < TOLERANCE


@pytest.mark.parametrize("name", PIECEWISE_LINEAR | OTHERS | LEDGER_ONLY)
def test_the_ledger_adds_up(name):
    _, _, session = recorded(name)
    relevance = session.relevance(composite=EpsilonPlusFlat())
    assert [row.layer for row in relevance.ledger] == relevance.layers[:0:-1]
    for row in relevance.ledger:
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert abs(missing) <= 1e-6 * abs(row.relevance_in), row

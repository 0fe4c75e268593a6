"""A model that ends in a softmax: told, and its logits can be explained all the same."""

import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlus


def networks(last):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)).double().eval()
    return body, nn.Sequential(*body, last).eval(), torch.randn(2, 1, 6, 6, dtype=torch.float64)


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_it_is_told_with_what_to_do(last):
    _, model, x = networks(last)
    with pytest.warns(UserWarning, match=r"ends in (log_)?softmax \('4'\).*logits.*override.*Pass.*seed='one'"):
        session = lrp.Session(model, x, device="cpu")
    with pytest.warns(UserWarning, match="ends in"):
        lrp.coverage(model, x, device="cpu")
    told = session.coverage()[-1].note
    assert ("normaliser" in told) == isinstance(last, nn.LogSoftmax)


@pytest.mark.filterwarnings("ignore:.*ends in")
@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_passing_over_it_explains_the_logit(last):
    body, model, x = networks(last)
    wanted = lrp.explain(body, x, target=3, composite=EpsilonPlus(), seed="one", device="cpu")
    composite = EpsilonPlus().override({"4": rules.Pass()})
    found = lrp.explain(model, x, target=3, composite=composite, seed="one", device="cpu")
    torch.testing.assert_close(found.input, wanted.input, rtol=1e-12, atol=1e-14)
    paths = lrp.explain(model, x, target=3, composite=composite, semiring="bottleneck", device="cpu")
    same = lrp.explain(body, x, target=3, composite=EpsilonPlus(), semiring="bottleneck", device="cpu")
    assert torch.equal(paths.input, same.input)


@pytest.mark.filterwarnings("ignore:.*ends in")
def test_the_logarithm_of_a_probability_is_its_logit_and_a_constant():
    body, model, x = networks(nn.LogSoftmax(1))
    with torch.no_grad():
        # Probabilities near 1, whose logarithms are far smaller than any stabiliser.
        body[3].bias[2] += 18.0
    wanted, found = (lrp.explain(net, x, composite=EpsilonPlus(), device="cpu") for net in (body, model))
    assert float(found.logits.gather(1, found.target[:, None]).abs().max()) < 1e-6
    torch.testing.assert_close(found.input, wanted.input, rtol=1e-5, atol=0)
    row = found.ledger[0]
    assert row.to_bias == pytest.approx(row.relevance_in - row.relevance_out, rel=1e-9)

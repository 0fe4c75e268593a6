"""Autocast around a call changes nothing; casts inside a model are part of it, and relevance follows them."""

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import composites, rules
from lrp_explorer.composites import EpsilonPlus, Uniform
from lrp_explorer.errors import InputError

PRESETS = [
    *("epsilon-plus", "epsilon-plus-flat", "epsilon-alpha2-beta1", "epsilon-alpha2-beta1-flat", "layered-lrp"),
    *(composites.EpsilonGammaBox(-3, 3), composites.DeepTaylor(-3, 3), "uniform"),
]


def convolutional():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    return body.eval(), nn.Linear(150, 4), torch.randn(2, 3, 12, 12)


class TestAutocastAroundTheCall:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_changes_no_bit(self, dtype):
        body, head, x = convolutional()
        net = nn.Sequential(*body, head).eval()
        settings = {"target": 1, "composite": EpsilonPlus(), "device": "cpu"}
        wanted = lrp.explain(net, x, **settings)
        again = nn.Sequential(*body, head).eval()
        with torch.autocast("cpu", dtype=dtype):
            # Also where the model is traced for the first time.
            found = lrp.explain(again, x, **settings)
            session = lrp.Session(net, x, "cpu")
            swept = session.sweep("target", [0, 1], composite=EpsilonPlus())[1]
            other = lrp.Session(net, x[:1], "cpu").another(x)
            rows, covered = list(found.ledger), lrp.coverage(again, x, device="cpu")
            paths = session.relevance(1, EpsilonPlus(), "bottleneck")
            integrated = lrp.attribute(net, x, "integrated-gradients", 1, "cpu", steps=4)
        assert all(torch.equal(found[name], value) for name, value in wanted.maps.items())
        assert torch.equal(found.logits, wanted.logits)
        assert torch.equal(other.logits, wanted.logits)
        torch.testing.assert_close(swept.input, wanted.input, rtol=1e-5, atol=1e-7)
        assert rows == list(wanted.ledger)
        assert [row.op for row in covered] == [row.op for row in lrp.coverage(net, x, device="cpu")]
        assert torch.equal(paths.input, lrp.explain(net, x, 1, EpsilonPlus(), "bottleneck", device="cpu").input)
        assert torch.equal(integrated.input, lrp.attribute(net, x, "integrated-gradients", 1, "cpu", steps=4).input)

    def test_is_on_again_after_it(self):
        x = torch.randn(1, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            lrp.explain(nn.Linear(4, 2).eval(), x, device="cpu")
            assert torch.is_autocast_enabled("cpu")
            assert nn.Linear(4, 2)(x).dtype == torch.bfloat16


class Mixed(nn.Module):
    """Body and head in different precisions."""

    def __init__(self, body, head, cast):
        super().__init__()
        self.body, self.head, self.cast = body, head, cast

    def forward(self, x):
        if self.cast == "autocast":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = self.body(x)
            return self.head(y.float())
        if self.cast == "body":
            return self.head(self.body(x.bfloat16()).float())
        if self.cast == "head":
            return self.head(self.body(x).bfloat16())
        return self.head(self.body(x).double())


def mixed(cast):
    body, head, x = convolutional()
    if cast == "body":
        body.bfloat16()
    if cast in ("head", "wider"):
        head.to(torch.bfloat16 if cast == "head" else torch.float64)
    return Mixed(body, head, cast).eval(), x


@pytest.mark.parametrize("cast", ["autocast", "body", "head", "wider"])
class TestCastsInsideAModel:
    def test_are_part_of_it(self, cast):
        net, x = mixed(cast)
        session = lrp.Session(net, x, "cpu")
        low = cast != "wider"
        with torch.no_grad():
            wanted = net(x)
        assert session.logits.dtype == wanted.dtype
        torch.testing.assert_close(session.logits, wanted, rtol=0.03 if low else 1e-5, atol=0.03 if low else 1e-6)
        # The same net in double precision, its own weights.
        exact = nn.Sequential(*net.body, net.head)
        whole = nn.Sequential(*convolutional()[0], nn.Linear(150, 4)).double().eval()
        whole.load_state_dict({name: value.double() for name, value in exact.state_dict().items()})
        oracle = lrp.Session(whole, x.double(), "cpu")
        for composite in PRESETS:
            found = session.relevance(1, composite, seed="one")
            for name, value in found.maps.items():
                assert value.dtype == session.record.dtype(name), (composite, name)
            assert found.input.dtype == x.dtype
            right = oracle.relevance(1, composite, seed="one").input
            error = (found.input.double() - right).norm() / right.norm()
            assert float(error) < (0.1 if low else 1e-4), (composite, float(error))
            assert all(row.relevance_in == row.relevance_in for row in found.ledger)

    def test_serve_semirings_too(self, cast):
        net, x = mixed(cast)
        session = lrp.Session(net, x, "cpu")
        for semiring in ("boolean", "counting", "viterbi", "bottleneck", "tropical"):
            found = session.relevance(1, EpsilonPlus(), semiring)
            assert found.input.shape == x.shape
            assert not found.input.isnan().any()
        strongest = session.relevance(1, EpsilonPlus(), "viterbi")
        assert float(strongest.input.amax()) > 0


class Early(nn.Module):
    """Casts its input by itself, and goes through sums, gates and norms in two precisions."""

    def __init__(self):
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(12, 8).bfloat16(), nn.BatchNorm1d(8), nn.Linear(16, 3)

    def forward(self, x):
        y = self.body(x.bfloat16()).relu()
        z = self.norm(y + y.tanh())
        return self.head(torch.cat([z.float() * y.sigmoid(), x[:, :8]], 1))


def test_a_model_that_casts_its_input_takes_what_it_casts():
    torch.manual_seed(0)
    net, x = Early().eval(), torch.randn(2, 12)
    with torch.no_grad():
        wanted = net(x)
    found = lrp.explain(net, x, 1, Uniform(), device="cpu")
    torch.testing.assert_close(found.logits, wanted, rtol=0.02, atol=0.02)
    assert (found["body"].dtype, found["head"].dtype, found.input.dtype) == (
        torch.bfloat16,
        torch.float32,
        torch.float32,
    )
    # Its head does not take what is joined with a double.
    with refused(InputError, "float64", "bfloat16 and torch.float32", r"x\.to\(torch\.float32\)"):
        lrp.explain(net, x.double(), 1, Uniform(rules.Gamma()), device="cpu")
    net.head.double()
    assert lrp.explain(net, x.double(), 1, Uniform(rules.Gamma()), device="cpu").input.dtype == torch.float64


class TestTheDtypeOfTheInput:
    @pytest.mark.parametrize("first", [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LayerNorm(4), nn.PReLU()], ids=repr)
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_is_refused_where_an_operation_does(self, first, dtype):
        net = nn.Sequential(first, nn.Linear(4, 2)).eval()
        with refused(InputError, str(dtype), "float32", r"x\.to\(torch\.float32\)"):
            lrp.explain(net, torch.randn(2, 4).to(dtype), device="cpu")

    def test_belongs_to_a_session(self):
        net = nn.Linear(4, 2).eval()
        session = lrp.Session(net, torch.randn(2, 4), "cpu")
        with refused(InputError, "float64", "float32"):
            session.another(torch.randn(2, 4).double())

    def test_is_refused_to_baselines_too(self):
        with refused(InputError, "float64", "float32"):
            lrp.attribute(nn.Linear(4, 2).eval(), torch.randn(2, 4).double(), "integrated-gradients", device="cpu")

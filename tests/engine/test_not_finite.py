"""Numbers that leave the range of their type are reported; an ε that rounds to zero counts as zero."""

import math

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlus, Uniform
from lrp_explorer.errors import InputError, NumericsError
from lrp_explorer.figures import heatmap, layers


def networks(dtype, seed=0):
    """A net of low precision, and the same weights in double precision."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).to(dtype).eval()
    exact = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).double().eval()
    exact.load_state_dict(net.state_dict())
    return net, exact, torch.randn(3, 6).to(dtype)


class TestAnEpsilonBelowTheSmallestNumber:
    @pytest.mark.parametrize(
        "rule",
        [rules.Zero(), rules.Epsilon(1e-8), rules.Gamma(0.25, stabilizer=1e-9), rules.AlphaBeta(2, 1, stabilizer=0.0)],
        ids=lambda rule: type(rule).__name__,
    )
    def test_counts_as_zero(self, rule):
        net, exact, x = networks(torch.float16)
        found = lrp.explain(net, x, 1, Uniform(rule), device="cpu")
        wanted = lrp.explain(exact, x.double(), 1, Uniform(rule), device="cpu")
        torch.testing.assert_close(found.input.double(), wanted.input, rtol=0.05, atol=0.01)

    def test_a_sum_of_exactly_zero_hands_nothing_down_and_that_is_booked(self):
        net = nn.Linear(2, 2, bias=False).half().eval()
        net.weight.data = torch.tensor([[1.0, -1.0], [1.0, 2.0]]).half()
        x, seed = torch.ones(1, 2).half(), torch.tensor([[3.0, 6.0]])
        found = lrp.explain(net, x, seed=seed, composite=Uniform(rules.Zero()), device="cpu")
        assert found.input.tolist() == [[2.0, 4.0]]
        (row,) = found.ledger
        assert (row.other, row.to_epsilon, row.relevance_in - row.relevance_out) == (3.0, 0.0, 3.0)

    def test_edges_of_a_sum_of_zero_are_none(self):
        net = nn.Linear(2, 2, bias=False).bfloat16().eval()
        net.weight.data = torch.tensor([[1.0, -1.0], [1.0, 2.0]]).bfloat16()
        tiny = Uniform(rules.Epsilon(1e-42))
        found = lrp.explain(net, torch.ones(1, 2).bfloat16(), 0, tiny, semiring="bottleneck", device="cpu")
        assert found.input.tolist() == [[0.0, 0.0]]

    def test_one_above_the_largest_is_refused(self):
        net, _, x = networks(torch.float16)
        with refused(NumericsError, "epsilon", "70000", "float16", "65504"):
            lrp.explain(net, x, composite=Uniform(rules.Epsilon(7e4)), device="cpu")

    def test_one_relative_to_a_layer_is_measured_where_squares_fit(self):
        net = nn.Linear(3, 3, bias=False).half().eval()
        net.weight.data = torch.diag(torch.tensor([300.0, 400.0, 500.0])).half()
        given = Uniform(rules.Epsilon(0.5, relative="rms"))
        found = lrp.explain(net, torch.ones(1, 3).half(), 2, given, device="cpu")
        rms = math.sqrt((300.0**2 + 400.0**2 + 500.0**2) / 3)
        assert float(found.input[0, 2]) == pytest.approx(500.0 * 500.0 / (500.0 + 0.5 * rms), rel=2e-3)


class TestRelevanceBeyondTheRange:
    def session(self):
        net, _, x = networks(torch.float32)
        return lrp.Session(net, x, device="cpu")

    def test_of_a_seed(self):
        seed = torch.full((3, 4), 1e38)
        with refused(NumericsError, r"layer '\d'", "Epsilon", "float32", r"model\.double\(\)"):
            self.session().relevance(1, Uniform(), seed=seed)

    def test_in_a_sweep_one_by_one_and_together(self):
        huge = torch.full((3, 4), 1e38)
        for values in ([huge], [torch.ones(3, 4), huge]):
            with refused(NumericsError, "not finite"):
                self.session().sweep("seed", values, composite=Uniform())

    def test_names_the_first_layer_from_the_output(self):
        # The middle layer's large contributions cancel to 8, and each receives 1e8 / 8 times what arrives there.
        net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
        net[0].weight.data = torch.eye(2)
        net[1].weight.data = torch.tensor([[1e8, 8.0 - 1e8], [0.0, 1.0]])
        net[2].weight.data = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
        seed = torch.tensor([[1e32, 0.0]])
        with refused(NumericsError, "layer '0' is the first", "at layer '1'"):
            lrp.explain(net.eval(), torch.ones(1, 2), seed=seed, composite=Uniform(rules.Zero()), device="cpu")

    def test_a_session_goes_on_after_it(self):
        session = self.session()
        with pytest.raises(NumericsError):
            session.relevance(1, Uniform(), seed=torch.full((3, 4), 1e38))
        assert session.relevance(1, Uniform()).input.isfinite().all()

    def test_a_seed_that_the_model_cannot_hold(self):
        with refused(InputError, "seed", r"1e\+300", "range", "float32"):
            self.session().relevance(seed=torch.full((3, 4), 1e300, dtype=torch.float64))

    def test_a_ledger(self):
        net = nn.Linear(2, 1).half().eval()
        # Contribution and bias nearly cancel: the bias takes what half precision cannot say, the inputs cancel.
        net.weight.data, net.bias.data = torch.tensor([[300.0, -300.0]]).half(), torch.tensor([0.5]).half()
        found = lrp.explain(
            net, torch.ones(1, 2).half(), seed=torch.tensor([[50.0]]).half(), composite=Uniform(), device="cpu"
        )
        assert found.input.isfinite().all()
        assert all(math.isfinite(value) for value in (found.ledger[0].to_bias, found.ledger[0].relevance_out))


class TestFigures:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_limits_and_sums_are_those_of_double_precision(self, dtype):
        largest = {"float16": 6e4, "float32": 3e38, "float64": 1e300}[dtype]
        values = torch.full((8, 4, 4), largest, dtype=getattr(torch, dtype)).numpy()
        values[0] = -values[0]
        exact = values.astype("float64")
        drawn = layers.info("layer", values)
        assert drawn.total == exact.sum()
        assert drawn.limit == exact.sum(0).max()
        heat = heatmap.info(values[0])
        assert (heat.total, heat.limit) == (exact[0].sum(), abs(exact[0]).max())
        assert all(
            abs(part.relevance if hasattr(part, "relevance") else part.values).max() < math.inf
            for part in (heat, drawn)
        )


class TestAbsorbed:
    def test_the_layer_that_took_most_is_named(self):
        net, _, x = networks(torch.float64)
        composite = EpsilonPlus().override({"0": rules.Epsilon(1e6)})
        (note,) = lrp.explain(net, x, 1, composite, device="cpu").notes
        assert "layer '0' (Epsilon(epsilon=1000000.0" in note
        assert "ε took" in note

    def test_also_where_a_bias_did(self):
        net, _, x = networks(torch.float64)
        with torch.no_grad():
            net[2].bias.fill_(1e5)
        (note,) = lrp.explain(net, x, 1, Uniform(), device="cpu").notes
        assert "layer '2'" in note
        assert "its bias or other constants took" in note

    def test_the_share_is_that_of_the_sums(self):
        net = nn.Linear(2, 1, bias=False).double().eval()
        net.weight.data = torch.tensor([[1.0, 1.0]]).double()
        given = Uniform(rules.Epsilon(998.0))
        (note,) = lrp.explain(net, torch.ones(1, 2).double(), composite=given, device="cpu").notes
        # 2 / (2 + 998) of the logit 2 are left.
        assert note.startswith("0.002 of the relevance put in arrives")
        assert "Of Σ|R| = 2 it handed down 0.004; ε took 1.996." in note

    def test_some_examples_of_a_batch(self):
        net = nn.Linear(2, 1, bias=False).double().eval()
        net.weight.data = torch.tensor([[1.0, 1.0]]).double()
        x = torch.tensor([[1.0, 1.0], [1e-5, 1e-5], [3.0, 0.0]]).double()
        (note,) = lrp.explain(net, x, composite=Uniform(rules.Epsilon(0.1)), device="cpu").notes
        assert "of 1 of 3 examples" in note

    def test_nothing_is_said_where_enough_arrives_or_there_is_nothing_to_arrive(self):
        net, _, x = networks(torch.float64)
        assert lrp.explain(net, x, 1, Uniform(), device="cpu").notes == ()
        nothing = lrp.explain(net, x, seed=torch.zeros(3, 4), composite=Uniform(), device="cpu")
        assert nothing.notes == ()
        assert lrp.explain(net, x, semiring="boolean", device="cpu").notes == ()

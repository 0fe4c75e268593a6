"""The ledger books every loss, and marks the layer where relevance explodes."""

import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlus, Uniform


def missing(row):
    return row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other


class Cancelling(nn.Module):
    """Two branches that nearly cancel, between layers that do no harm."""

    def __init__(self):
        super().__init__()
        self.below, self.head = nn.Linear(4, 4, bias=False), nn.Linear(4, 2, bias=False)
        with torch.no_grad():
            self.below.weight.copy_(torch.eye(4))
            self.head.weight.fill_(1.0)

    def forward(self, x):
        x = self.below(x)
        return self.head(x * 1.001 - x)


def test_the_first_layer_that_makes_ten_times_the_relevance_is_marked():
    x = torch.rand(2, 4, dtype=torch.float64) + 0.5
    composite = Uniform(rules.Zero())
    signed = lrp.explain(Cancelling().double().eval(), x, composite=composite).ledger
    marked = [row for row in signed if row.note]
    assert [row.kind for row in marked] == ["sum"]
    assert "times what was put in" in marked[0].note
    assert marked[0].magnitude > 1000 * signed[0].magnitude
    calm = lrp.explain(Cancelling().double().eval(), x, composite=Uniform(rules.ZPlus())).ledger
    assert not any(row.note for row in calm)


@pytest.mark.parametrize("rule", [rules.Zero(stabilizer=0.0), rules.Epsilon(epsilon=0), rules.ZPlus(stabilizer=0.0)])
def test_what_an_output_without_contributions_cannot_hand_down_is_booked(rule):
    model = nn.Linear(3, 2, bias=False).double().eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [1.0, -1.0, 0.0]]))
    x = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    seed = torch.tensor([[2.0, 5.0]], dtype=torch.float64)
    (row,) = lrp.explain(model, x, composite=Uniform(rule), seed=seed).ledger
    assert (row.relevance_in, row.relevance_out, row.other) == (7.0, 2.0, 5.0)


@pytest.mark.parametrize("split", [rules.Epsilon(0.0), rules.Magnitude(0)])
def test_sums_and_pools_of_zeros_book_what_they_lose(split):
    class Sum(nn.Module):
        def forward(self, x):
            return x.relu() + (-x).relu() * 0.5

    x = torch.tensor([[0.0, 3.0]], dtype=torch.float64)
    seed = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    found = lrp.explain(Sum().eval(), x, composite=EpsilonPlus().override({"add": split}), seed=seed)
    row = next(row for row in found.ledger if row.kind == "sum")
    assert (row.relevance_in, row.relevance_out, row.other) == (2.0, 1.0, 1.0)
    assert all(abs(missing(row)) < 1e-12 for row in found.ledger)

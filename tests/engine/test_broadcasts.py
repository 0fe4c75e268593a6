"""Values that are broadcast are handed back the sum; many settings run as one only where the batch is first."""

import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import errors, rules
from lrp_explorer.composites import EpsilonPlusFlat, Uniform
from lrp_explorer.engine import walk


class Model(nn.Module):
    """A function between two dense layers; the first may be left out."""

    def __init__(self, function, first=True):
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Linear(5, 5) if first else nn.Identity()
        self.function, self.head = function, nn.LazyLinear(4)

    def forward(self, x):
        return self.head(self.function(self.first(x)).flatten(1))


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def model_of(function, x, first=True):
    model = Model(function, first=first).double().eval()
    with torch.no_grad():
        model(x)
    return model


def input_times_gradient(model, x, target):
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, target].sum(), leaf)
    return x * gradient


MATRICES = random(3, 5, 4)
LEFT = random(3, 4, 6)
LINEAR = {
    "rows by many matrices": ((2, 5), lambda x: (x @ MATRICES).transpose(0, 1)),
    "with axes put in": ((2, 5), lambda x: x[:, None, None, :] @ MATRICES),
    "one row for many": ((2, 5), lambda x: torch.matmul(x[:, None, None, :].expand(-1, 1, 2, -1), MATRICES)),
    "from the left": ((2, 6, 5), lambda x: LEFT @ x[:, None]),
    "from the left, one matrix": ((2, 6, 5), lambda x: LEFT[0] @ x),
    "from the left, as a whole": ((2, 5), lambda x: (MATRICES[0].t() @ x.t()).t()),
    "by a vector": ((2, 3, 5), lambda x: F.linear(x, MATRICES[0, :, 0])),
    "by a vector and a bias": ((2, 3, 5), lambda x: F.linear(x, MATRICES[0, :, 0], torch.tensor(0.5).double())),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", LINEAR)
def test_products_hand_back_the_sum_over_what_was_broadcast(name, first):
    shape, function = LINEAR[name]
    x = random(*shape)
    model = model_of(function, x, first)
    relevance = lrp.explain(model, x, target=1, composite=Uniform(rules.Zero(1e-15)), device="cpu")
    assert relevance.input.shape == x.shape
    torch.testing.assert_close(relevance.input, input_times_gradient(model, x, 1), rtol=1e-7, atol=1e-9)
    lost = sum(row.to_bias + row.to_epsilon + row.other for row in relevance.ledger)
    assert relevance.input.sum().item() + lost == pytest.approx(relevance.logits[:, 1].sum().item())


@pytest.mark.parametrize("composite", [EpsilonPlusFlat(), Uniform(rules.Gamma()), Uniform(rules.AlphaBeta())])
@pytest.mark.parametrize("name", LINEAR)
def test_products_keep_the_input_s_shape_under_every_rule(name, composite):
    shape, function = LINEAR[name]
    x = random(*shape)
    for first in (True, False):
        relevance = lrp.explain(model_of(function, x, first), x, composite=composite, device="cpu")
        assert relevance.input.shape == x.shape
        assert relevance.input.isfinite().all()


def test_a_product_from_the_left_as_first_layer_sees_every_input_alike():
    x, weight = random(3, 5), random(4, 5)

    class Left(nn.Module):
        def forward(self, x):
            return (weight @ x.t()).t()

    model, rule = Left().eval(), rules.Flat(stabilizer=0.0)
    found = lrp.explain(model, x, target=2, composite=Uniform().override({"matmul": rule}), seed="one", device="cpu")
    torch.testing.assert_close(found.input, torch.full_like(x, 1 / 5))
    rule = rules.WSquare(stabilizer=0.0)
    found = lrp.explain(model, x, target=2, composite=Uniform().override({"matmul": rule}), seed="one", device="cpu")
    wanted = weight[2].square() / weight[2].square().sum()
    torch.testing.assert_close(found.input, wanted.expand(3, 5))


def test_bounds_of_a_product_from_the_left_are_those_of_every_input():
    x, weight = random(3, 5).abs(), random(4, 5)

    def product(turned):
        class Product(nn.Module):
            def forward(self, x):
                return (weight @ x.t()).t() if turned else x @ weight.t()

        return Product().eval()

    composite = Uniform().override({"matmul": rules.ZBox(-1.0, 2.0)})
    found, wanted = (lrp.explain(product(turned), x, target=2, composite=composite) for turned in (True, False))
    torch.testing.assert_close(found.input, wanted.input)


ELEMENTWISE = {
    "power": lambda x, c: torch.pow(x, c),
    "quotient": lambda x, c: c / x,
    "exponent": lambda x, c: torch.pow(c, x),
    "product": lambda x, c: x * c,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_operations_hand_back_the_sum_over_what_was_broadcast(name):
    x, constant = random(3, 1).abs() + 0.5, torch.tensor([1.0, 2.0, 3.0, 0.5], dtype=torch.float64)

    class Broad(nn.Module):
        def forward(self, x):
            return ELEMENTWISE[name](x, constant)

    model, seed = Broad().eval(), random(3, 4)
    found = lrp.explain(model, x, seed=seed, composite=Uniform(), device="cpu")
    torch.testing.assert_close(found.input, seed.sum(1, keepdim=True))


@pytest.mark.parametrize("rule", [rules.Winner(), rules.Average(1e-15)])
def test_pooling_over_one_channel_without_its_axis(rule):
    x = random(2, 6, 6).abs()

    class Pool(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.MaxPool2d(2)

        def forward(self, x):
            return self.pool(x).flatten(1)

    class WithAxis(Pool):
        def forward(self, x):
            return self.pool(x[:, None]).flatten(1)

    seed = random(2, 9)
    composite = Uniform().override({"pool": rule})
    found, wanted = (lrp.explain(net.eval(), x, seed=seed, composite=composite) for net in (Pool(), WithAxis()))
    torch.testing.assert_close(found.input, wanted.input)
    with refused(errors.CoverageError, "'pool'", "axis of channels", "unsqueeze"):
        lrp.explain(Pool().eval(), x, semiring="viterbi")
    lrp.explain(WithAxis().eval(), x, semiring="viterbi")


class Sequence(nn.Module):
    """A layer of attention, whatever its axes."""

    def __init__(self, batch_first):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=batch_first), nn.Linear(4, 3)
        self.batch_first = batch_first

    def forward(self, x):
        x = x if self.batch_first else x.permute(1, 0, 2)
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1 if self.batch_first else 0))


class Moved(nn.Module):
    """Axis 0 is the batch at either end only."""

    def __init__(self, to, back):
        super().__init__()
        self.to, self.back, self.inner, self.head = to, back, nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        batch = x.shape[0]
        return self.head(self.back(self.inner(self.to(x)).relu(), batch).mean(1))


MOVED = {
    "permuted": lambda: Moved(lambda x: x.permute(1, 0, 2), lambda x, n: x.permute(1, 0, 2)),
    "merged": lambda: Moved(lambda x: x.reshape(-1, 4), lambda x, n: x.reshape(n, -1, 4)),
    "unsqueezed": lambda: Moved(lambda x: x.unsqueeze(0), lambda x, n: x.squeeze(0)),
    "flipped": lambda: Moved(lambda x: x.flip(0), lambda x, n: x.flip(0)),
    "rolled": lambda: Moved(lambda x: x.roll(1, 0), lambda x, n: x.roll(-1, 0)),
    "compared": lambda: Moved(lambda x: x.softmax(0), lambda x, n: x),
    "attention": lambda: Sequence(False),
    "attention, batch first": lambda: Sequence(True),
}


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("name", MOVED)
def test_sweeps_where_the_batch_is_not_first_everywhere(name, batch):
    # With 3 examples the axis that takes the batch's place is as long as that.
    torch.manual_seed(1)
    x = random(batch, 3, 4)
    session = lrp.Session(MOVED[name]().double().eval(), x, device="cpu")
    for one, target in zip(session.sweep("target", [0, 1, 2]), (0, 1, 2), strict=True):
        alone = session.relevance(target=target)
        for layer in session.layers:
            torch.testing.assert_close(one[layer], alone[layer], rtol=1e-10, atol=1e-12)


def test_sweeps_over_a_model_with_a_single_number():
    class Total(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(x) + x.sum()

    session = lrp.Session(Total().double().eval(), random(2, 4), device="cpu")
    for one, target in zip(session.sweep("target", [0, 1, 2]), (0, 1, 2), strict=True):
        torch.testing.assert_close(one.input, session.relevance(target=target).input)


def test_a_batch_that_stays_first_is_swept_in_one_go(monkeypatch):
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    session = lrp.Session(model.double().eval(), random(2, 2, 5, 5), device="cpu")
    taken, step = [], walk.step
    monkeypatch.setattr(walk, "step", lambda node, *a, **k: (taken.append(node.name), step(node, *a, **k))[1])
    session.sweep("target", [0, 1, 2])
    assert taken.count("0") == 1


class LowRank(nn.Module):
    """A dense layer whose weight is a sum of a matrix and a product of two."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(random(6, 4))
        self.a, self.b = nn.Parameter(random(2, 4)), nn.Parameter(random(6, 2))
        self.head = nn.utils.parametrizations.orthogonal(nn.Linear(6, 3))

    def forward(self, x):
        return self.head(F.linear(x, self.weight + self.b @ self.a).relu())


def test_sweeps_with_products_of_constants():
    session = lrp.Session(LowRank().double().eval(), random(2, 4), device="cpu")
    for one, target in zip(session.sweep("target", [0, 1, 2]), (0, 1, 2), strict=True):
        torch.testing.assert_close(one.input, session.relevance(target=target).input)

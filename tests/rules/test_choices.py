"""Choices by index, values chosen by their order, and what else classifiers compute besides layers.

Spellings of one group stand side by side in one network, each read by weights of its own.
"""

import pytest
import torch
from oracles.side_by_side import ready, zero_of
from refusals import refused
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform
from lrp_explorer.errors import CoverageError, ModelError
from lrp_explorer.graph import trace
from lrp_explorer.graph.signs import nonnegative


def one_hot(y):
    return F.one_hot(y.argmax(1), y.shape[1]).movedim(-1, 1)


def unpooled(m, y):
    pooled, places = F.max_pool2d(y, 2, return_indices=True)
    return F.max_unpool2d(3 * pooled, places, 2, output_size=y.shape[2:])


def read_by_index(m, y):
    values, places = y.max(1, keepdim=True)
    return values + (2 * y).gather(1, places)


CHOICES = {
    "argmax": lambda m, y: y * (y.argmax(1, keepdim=True) == torch.arange(6)[:, None, None]),
    "argmin": lambda m, y: y * (y.argmin(1, keepdim=True) != torch.arange(6)[:, None, None]).to(y.dtype),
    "one-hot": lambda m, y: y * one_hot(y),
    "scatter of an argmax": lambda m, y: y * torch.zeros_like(y).scatter(1, y.argmax(1, keepdim=True), 1.0),
    "the k largest": lambda m, y: y * torch.zeros_like(y).scatter(1, y.topk(3, 1)[1], 1.0),
    "read by index": read_by_index,
    "in order": lambda m, y: torch.take_along_dim(y, (y + m.c[:1]).argsort(1)[:, :3], 1),
    "unpooled": unpooled,
    "whole numbers": lambda m, y: y * (3 * y).long(),
    "remainders": lambda m, y: y * ((3 * y).int() % 2 + 1),
    "truth values": lambda m, y: y * (y - 0.3).relu().bool(),
    "signs": lambda m, y: (y - 0.3) * torch.sign(y - 0.3),
    "by index of a comparison": lambda m, y: y.gather(1, (y > 0.3).long()),
    "counted": lambda m, y: (y > 0.3).to(y.dtype).sum(1) + y[:, 0],
    "bins": lambda m, y: y * torch.bucketize(y, torch.tensor([0.1, 0.4], dtype=y.dtype)),
    "looked up": lambda m, y: y + F.embedding(y.argmax(1), m.c.view(1, 3).repeat(6, 2)).movedim(-1, 1),
}
ORDER = {
    "topk": lambda m, y: y.flatten(2).topk(3)[0],
    "topk, smallest": lambda m, y: (y + m.c[:1]).flatten(2).topk(3, largest=False, sorted=False)[0],
    "sort": lambda m, y: (y - 0.3).flatten(2).sort(descending=True)[0][..., :4],
    "sort, stable": lambda m, y: y.sort(dim=1, stable=True)[0],
    "kthvalue": lambda m, y: y.flatten(2).kthvalue(22, keepdim=True)[0],
    "median": lambda m, y: (y + m.c[1]).flatten(2).median(2)[0],
    "mode": lambda m, y: (y - 0.3).flatten(2).mode(2)[0],
    "cummax": lambda m, y: (y + m.c[1]).cummax(1)[0],
    "cummin": lambda m, y: (y + m.c[1]).cummin(3)[0],
    "max of all": lambda m, y: y - y.max(),
    "range": lambda m, y: torch.aminmax(y, dim=1)[1] - torch.aminmax(y - 1, dim=1)[0],
    "between values": lambda m, y: y.clamp(0.2 * y.mean(1, keepdim=True), y.flip(1).abs() + 0.3),
}
SUMS = {
    "cumsum": lambda m, y: (y - 0.3).cumsum(1),
    "cumsum_": lambda m, y: (y - 0.3).cumsum_(3),
    "size of a spectrum": lambda m, y: torch.fft.rfft(y).abs(),
    "size in two dimensions": lambda m, y: torch.fft.fft2(y).abs(),
    "real and imaginary": lambda m, y: torch.cat([torch.fft.rfft(y).real, torch.fft.rfft(y).imag], -1),
    "pairs of numbers": lambda m, y: torch.view_as_real(torch.fft.rfft(y)).norm(dim=-1),
    "filtered": lambda m, y: torch.fft.irfft2(torch.fft.rfft2(y) * torch.complex(m.c, -m.c)[0], s=(5, 5)),
    "spectrogram": lambda m, y: torch.stft(
        y.flatten(1), 16, 8, window=torch.hann_window(16), return_complex=True
    ).abs(),
    "LP pooling": lambda m, y: F.lp_pool2d(y + 0.1, 2.0, 2),
    "LP pooling, p = 3": lambda m, y: F.lp_pool2d(y + 0.1, 3.0, 2),
    "nothing joined": lambda m, y: torch.cat([y.new_empty(0), y], 1),
    "several nothings": lambda m, y: torch.cat([torch.tensor([]), y, y[:, :0], y.new_zeros(len(y), 0, 5, 5)], 1),
    "nothing of the input": lambda m, y: torch.cat([y[0, 0, 0, :0], y], 1),
    "grown from nothing": lambda m, y: torch.cat([torch.cat([torch.tensor([]), y[:, :2]], 1), y[:, 3:]], 1),
}
GROUPS = {"choices": CHOICES, "order": ORDER, "sums": SUMS}


@pytest.mark.parametrize("group", GROUPS)
def test_lrp_0_is_input_times_gradient(group):
    model, x = ready(*GROUPS[group].values())
    logits = model(x)
    session = lrp.Session(model, x, device="cpu")
    torch.testing.assert_close(session.logits, logits, rtol=1e-12, atol=1e-12)
    relevance = session.relevance(target=1, composite=zero_of(session))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    wanted = gradient * x
    torch.testing.assert_close(relevance.input, wanted, rtol=1e-10, atol=1e-10 * float(wanted.abs().max()))
    for row in relevance.ledger:
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert abs(missing) <= 1e-10 * max(abs(row.relevance_in), row.magnitude), row


class Function(nn.Module):
    """Logits by a function of the input alone."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def explained(function, x, **settings):
    return lrp.explain(Function(function).eval(), x, device="cpu", **{"target": 0, **settings})


def test_a_soft_maximum_is_shared_by_its_softmax():
    x = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = explained(lambda x: x.logsumexp(2), x, target=1)
    wanted = torch.zeros_like(x)
    wanted[:, 1] = x[:, 1].softmax(1) * x[:, 1].logsumexp(1, keepdim=True)
    torch.testing.assert_close(found.input, wanted, rtol=1e-12, atol=1e-14)
    both = explained(lambda x: torch.logaddexp(x[:, 0], x[:, 1]), x, target=2).input[:, :2, 2]
    share = torch.sigmoid(x[:, 0, 2] - x[:, 1, 2])
    total = torch.logaddexp(x[:, 0, 2], x[:, 1, 2])
    torch.testing.assert_close(both, torch.stack([share * total, (1 - share) * total], 1), rtol=1e-12, atol=1e-14)
    masked = explained(lambda x: torch.cat([x, torch.full((2, 3, 1), -torch.inf)], 2).logsumexp(2), x, target=1)
    torch.testing.assert_close(masked.input, wanted, rtol=1e-12, atol=1e-14)


def test_factors_of_a_product_receive_equal_parts_and_powers_of_a_spectrum_all():
    x = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.5
    exact = Uniform(rules.Epsilon(1e-15)).override({"prod": rules.EqualSplit(0.0)})
    found = explained(lambda x: x.prod(2), x, target=1, composite=exact)
    torch.testing.assert_close(found.input[:, 1], x[:, 1].prod(1, True).expand(2, 4) / 4, rtol=1e-12, atol=1e-14)

    def power(x):
        z = torch.fft.rfft(x)
        return (z * z.conj()).real.sum(2)

    found = explained(power, x, target=1, composite=Uniform(rules.Epsilon(1e-15)))
    assert found.input.sum().item() == pytest.approx(found.logits[:, 1].sum().item(), rel=1e-5)


def test_what_has_no_slope_is_no_layer_and_leaves_what_is_rectified_alone():
    """The convolution's output is compared before it is rectified, and may not be overwritten.

    Where its shape alone is asked it may, and sweeps ask again for more examples.
    """
    torch.manual_seed(0)

    class Compared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3)

        def forward(self, x):
            y = self.conv(x)
            return (y.relu() * (y > -0.2) * (y.argmin(1, keepdim=True) > 1)).sum((2, 3))

    model, x = Compared().double().eval(), torch.randn(2, 2, 5, 5, dtype=torch.float64)
    session = lrp.Session(model, x, device="cpu")
    torch.testing.assert_close(session.logits, model(x), rtol=1e-12, atol=1e-12)
    assert not {"gt", "argmin"} & set(session.layers)
    assert {node.kind for node in session.graph if node.op in ("gt", "argmin")} == {"choice"}
    shaped = Function(lambda x: ((y := model.conv(x)).relu() + torch.ones_like(y)).mean((2, 3)))
    session = lrp.Session(shaped.eval(), x, device="cpu")
    for one, target in zip(session.sweep("target", [0, 1]), [0, 1], strict=True):
        torch.testing.assert_close(one.input, session.relevance(target=target).input, rtol=1e-12, atol=1e-14)


def test_examples_compared_with_each_other_are_not_swept_together():
    """Whole numbers across the batch: copies of a batch are not a batch of so many."""
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    session = lrp.Session(Function(lambda x: x * (x.argmax(0) + 1.0)).eval(), x, device="cpu")
    for one, target in zip(session.sweep("target", [0, 2]), [0, 2], strict=True):
        torch.testing.assert_close(one.input, session.relevance(target=target).input, rtol=1e-12, atol=1e-14)


def test_signs_of_what_is_written_are_not_guessed():
    def known(function):
        graph = trace(Function(function).eval(), torch.zeros(2, 4))
        return graph.output in nonnegative(graph, input_nonnegative=True)

    def written(x):
        x = x.clone()
        x[:, 0] = -0.5
        return x

    assert known(lambda x: x.cumsum(1))
    assert not known(written)
    assert not known(lambda x: x.index_fill(1, torch.tensor([0]), -1.0))
    assert not known(lambda x: x.index_add(1, torch.tensor([0]), x[:, :1], alpha=-1))


# The convention for every kind of maximum: of equal values, the first in row-major order.
TIES = {
    "amax": lambda x: x.amax((2, 3)),
    "amin": lambda x: x.amin((2, 3)),
    "max along an axis": lambda x: x.flatten(2).max(2)[0],
    "min along an axis": lambda x: x.flatten(2).min(2)[0],
    "pooling, one axis": lambda x: F.max_pool1d(x.flatten(2), 16).flatten(1),
    "pooling, two axes": lambda x: F.max_pool2d(x, 4).flatten(1),
    "pooling, three axes": lambda x: F.max_pool3d(x[:, :, None], (1, 4, 4)).flatten(1),
    "pooling with indices": lambda x: F.max_pool2d(x, 4, return_indices=True)[0].flatten(1),
    "adaptive, one axis": lambda x: F.adaptive_max_pool1d(x.flatten(2), 1).flatten(1),
    "adaptive, two axes": lambda x: F.adaptive_max_pool2d(x, 1).flatten(1),
    "adaptive, three axes": lambda x: F.adaptive_max_pool3d(x[:, :, None], 1).flatten(1),
    "topk": lambda x: x.flatten(2).topk(1)[0].squeeze(2),
    "sort": lambda x: x.flatten(2).sort(descending=True)[0][..., 0],
    "kthvalue": lambda x: x.flatten(2).kthvalue(7)[0],
    "median": lambda x: x.flatten(2).median(2)[0],
    "cummax": lambda x: x.flatten(2).cummax(2)[0][..., -1],
    "cummin": lambda x: x.flatten(2).cummin(2)[0][..., -1],
    "argmax": lambda x: x.flatten(2).gather(2, x.flatten(2).argmax(2, keepdim=True)).squeeze(2),
}


def test_of_equal_values_the_first_wins():
    x = torch.full((1, 2, 4, 4), 2.0, dtype=torch.float64)
    together = Function(lambda x: torch.cat([function(x) for function in TIES.values()], 1)).eval()
    session = lrp.Session(together, x, device="cpu")
    wanted = torch.zeros_like(x)
    wanted[0, 0, 0, 0] = 2.0
    for number, name in enumerate(TIES):
        found = session.relevance(target=2 * number, composite=Uniform(rules.Epsilon(1e-15))).input
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14, msg=name)


def test_of_two_equal_values_the_left_one_wins():
    functions = (torch.maximum, torch.minimum, torch.max, torch.min, torch.Tensor.clamp)
    x = torch.full((1, 2, 3), 2.0, dtype=torch.float64)
    together = Function(lambda x: torch.cat([function(x[:, 0], x[:, 1]) for function in functions], 1)).eval()
    session = lrp.Session(together, x, device="cpu")
    for number in range(len(functions)):
        found = session.relevance(target=3 * number + 1).input
        torch.testing.assert_close(found[0], torch.tensor([[0, 2.0, 0], [0, 0, 0]], dtype=torch.float64))


def test_paths_go_to_the_first_winner_too():
    x = torch.full((1, 2, 4, 4), 2.0, dtype=torch.float64)
    for function in (TIES["amax"], TIES["pooling, two axes"], TIES["adaptive, two axes"], TIES["topk"]):
        found = explained(function, x, semiring=lrp.semirings.Counting(theta=1e-9, pooling="winner")).input
        assert found.nonzero().tolist() == [[0, 0, 0, 0]]


GRADIENT = {
    "no derivative": lambda x: torch.igamma(x + 3, torch.ones(4)),
    "rounded": lambda x: x.round() + x,
    "shape alone": lambda x: x + torch.rand_like(x),
    "of the whole batch": lambda x: x * torch.histc(x, 4),
    "angles": lambda x: torch.fft.fft(x).angle(),
}


@pytest.mark.parametrize("name", GRADIENT)
def test_the_advice_to_take_the_gradient_ends_in_no_crash(name):
    x = torch.rand(2, 4, generator=torch.Generator().manual_seed(0))
    session = lrp.Session(Function(GRADIENT[name]).eval(), x, device="cpu")
    unknown = next(node.name for node in session.graph if node.kind == "unknown")
    with refused(CoverageError, unknown, "Gradient", "override"):
        session.relevance(target=0)
    composite = Uniform().override({unknown: rules.Gradient()})
    if name == "no derivative":
        with refused(CoverageError, "igamma", "no derivative"):
            session.relevance(target=0, composite=composite)
        return
    assert bool(torch.isfinite(session.relevance(target=0, composite=composite).input).all())


def test_logits_that_are_choices_or_complex_are_refused_by_name():
    x = torch.rand(2, 4)
    with refused(ModelError, "choices", r"test_choices\.py:\d+", "no slope"):
        explained(lambda x: F.one_hot(x.argmax(1), 4).to(x.dtype), x)
    with refused(ModelError, "choices", "whole numbers"):
        explained(lambda x: (3 * x).to(torch.int32).to(x.dtype), x)
    with refused(ModelError, "complex", r"\.abs\(\)"):
        explained(torch.fft.rfft, x)
    with refused(ModelError, "Generator", "buffer"):
        explained(lambda x: x + torch.rand(4, generator=torch.Generator().manual_seed(0)), x)

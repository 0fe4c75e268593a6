"""Max pooling: to the first of the largest, in the real semiring and in the others alike, ties included."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform
from lrp_explorer.semirings import Bottleneck, Counting, Viterbi

POOLS = {
    "two axes": (lambda x: F.max_pool2d(x, 2), (2, 6, 6)),
    "overlapping, padded": (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 7, 6)),
    "spread": (lambda x: F.max_pool2d(x, 2, 1, 0, 2), (2, 6, 5)),
    "rounded up": (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), (2, 6, 6)),
    "with indices": (lambda x: F.max_pool2d(x, 2, return_indices=True)[0], (2, 6, 6)),
    "one axis": (lambda x: F.max_pool1d(x, 3, 2), (2, 9)),
    "three axes": (lambda x: F.max_pool3d(x, 2), (2, 4, 4, 2)),
    "adaptive": (lambda x: F.adaptive_max_pool2d(x, 3), (2, 6, 6)),
    "adaptive, uneven": (lambda x: F.adaptive_max_pool2d(x, (4, 3)), (2, 7, 5)),
    "adaptive, one axis": (lambda x: F.adaptive_max_pool1d(x, 4), (2, 7)),
    "over axes": (lambda x: x.amax((2, 3)), (3, 4, 5)),
    "over one axis": (lambda x: x.amax(2, keepdim=True), (3, 4, 5)),
    "maximum": (lambda x: x.max(1).values, (3, 4, 5)),
}


class Pooled(nn.Module):
    def __init__(self, pool, shape):
        super().__init__()
        self.pool, self.shape = pool, shape
        with torch.no_grad():
            self.width = pool(torch.zeros(2, *shape)).flatten(1).shape[1]

    def forward(self, x):
        return self.pool(x).flatten(1)


def recorded(name, ties):
    pool, shape = POOLS[name]
    torch.manual_seed(4)
    x = torch.randn(2, *shape, dtype=torch.float64)
    x = x.round() if ties else x
    model = Pooled(pool, shape).double().eval()
    return model, x, lrp.Session(model, x, device="cpu")


def winners(pool, x):
    """For every output, by brute force, the first input in row-major order that holds its value and moves it."""
    outputs = pool(x).flatten(1)
    found = []
    for example, output in itertools.product(range(len(x)), range(outputs.shape[1])):
        for place in itertools.product(*map(range, x.shape[1:])):
            if x[(example, *place)] != outputs[example, output]:
                continue
            probe = x.clone()
            probe[(example, *place)] += 100.0
            if pool(probe).flatten(1)[example, output] > outputs[example, output] + 50.0:
                found.append((example, output, place))
                break
    return found


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("name", POOLS)
def test_relevance_goes_to_the_first_of_the_largest(name, ties):
    model, x, session = recorded(name, ties)
    target = torch.tensor([1, model.width - 2])
    wanted = torch.zeros_like(x)
    for example, output, place in winners(model.pool, x):
        wanted[(example, *place)] += output == target[example]
    composite = Uniform(rules.Epsilon())
    real = session.relevance(target=target, composite=composite, seed="one")
    assert torch.equal(real.input, wanted)
    counts = session.relevance(target=target, composite=composite, semiring=Counting(pooling="winner"))
    assert torch.equal(counts.input, wanted)
    best = session.relevance(target=target, composite=composite, semiring=Viterbi(pooling="winner"))
    assert torch.equal(best.input, wanted)


def test_ties_go_where_pytorch_finds_the_largest():
    torch.manual_seed(4)
    x = torch.randn(3, 2, 7, 7, dtype=torch.float64).round()
    _, index = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    inputs = F.unfold(x, 3, padding=1, stride=2).unflatten(1, (2, 9))
    assert int((inputs == F.max_pool2d(x, 3, 2, 1).flatten(2)[:, :, None]).sum(2).max()) > 1
    model = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Flatten()).eval()
    for target in range(0, 32, 5):
        found = lrp.explain(
            model, x, target=target, semiring=Counting(pooling="winner"), composite=Uniform(), device="cpu"
        )
        wanted = torch.zeros_like(x).flatten(2)
        wanted[:, target // 16].scatter_(1, index.flatten(2)[:, target // 16, target % 16, None], 1.0)
        assert torch.equal(found.input.flatten(2), wanted)


AVERAGES = {
    "over axes": lambda x: x.mean((2, 3)),
    "two axes": lambda x: F.avg_pool2d(x, 2),
    "adaptive, uneven": lambda x: F.adaptive_avg_pool2d(x, (4, 3)),
}


@pytest.mark.parametrize("name", AVERAGES)
def test_pooling_by_the_input_itself(name):
    _, x, session = recorded(name, ties=False)
    found = session.relevance(target=0, semiring=Bottleneck(pooling="activation"), composite=Uniform()).input
    leaf = x.clone().requires_grad_()
    (seen,) = torch.autograd.grad(AVERAGES[name](leaf).flatten(1)[:, 0].sum(), leaf)
    assert torch.equal(found, torch.where(seen > 0, x.clamp(min=0), 0.0))


def test_a_maximum_over_axes_shared_as_an_average():
    model, x, _ = recorded("over axes", ties=False)
    x = x.abs()
    found = lrp.explain(
        model, x, target=1, composite=Uniform().override({"amax": rules.Average(1e-15)}), seed="one", device="cpu"
    )
    wanted = torch.zeros_like(x)
    wanted[:, 1] = x[:, 1] / x[:, 1].sum((1, 2), keepdim=True)
    torch.testing.assert_close(found.input, wanted, rtol=1e-10, atol=1e-12)

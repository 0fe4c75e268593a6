"""Edges of pooling are those of the ordinary engine, whatever a window's zeros and its divisor count for."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform
from lrp_explorer.semirings import Bottleneck, Real, Viterbi

# Large, so that its place in the denominator shows.
EPSILON = 0.5

AVERAGES = {
    (2, 7, 6): {
        "padded": lambda x: F.avg_pool2d(x, 3, 2, 1),
        "padded, zeros left out": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        "rounded up": lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
        "rounded up and padded": lambda x: F.avg_pool2d(x, (3, 2), 2, (1, 1), ceil_mode=True),
        "rounded up, zeros left out": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        "divisor given": lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=4),
        "divisor given, zeros left out": lambda x: F.avg_pool2d(x, 2, 2, 1, True, False, 3),
        "adaptive, uneven": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
        "adaptive, larger than the input": lambda x: F.adaptive_avg_pool2d(x, (9, 2)),
        "over axes": lambda x: x.mean((2, 3)),
        "sum over an axis": lambda x: x.sum(2),
    },
    (2, 11): {
        "padded": lambda x: F.avg_pool1d(x, 3, 2, 1),
        "zeros left out": lambda x: F.avg_pool1d(x, 4, 3, 2, ceil_mode=True, count_include_pad=False),
        "adaptive, uneven": lambda x: F.adaptive_avg_pool1d(x, 4),
    },
    (2, 4, 5, 3): {
        "padded": lambda x: F.avg_pool3d(x, 2, 2, 1),
        "divisor given": lambda x: F.avg_pool3d(x, 2, 1, 1, divisor_override=3),
        "rounded up, zeros left out": lambda x: F.avg_pool3d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        "adaptive, uneven": lambda x: F.adaptive_avg_pool3d(x, (3, 2, 2)),
    },
}
MAXIMA = {
    (2, 7, 6): {
        "padded": lambda x: F.max_pool2d(x, 3, 2, 1),
        "rounded up": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
        "spread": lambda x: F.max_pool2d(x, 2, 1, 1, (3, 2)),
        "spread, rounded up": lambda x: F.max_pool2d(x, 2, 2, 1, 2, ceil_mode=True),
        "adaptive, uneven": lambda x: F.adaptive_max_pool2d(x, (3, 4)),
        "over axes": lambda x: x.amax((2, 3)),
    },
    (2, 11): {"spread, rounded up": lambda x: F.max_pool1d(x, 3, 3, 1, 2, ceil_mode=True)},
    (2, 4, 5, 3): {"spread": lambda x: F.max_pool3d(x, 2, 1, 1, 2)},
}


@dataclass(frozen=True)
class ByPaths(Real):
    """The real semiring by the way of paths."""


class Pools(nn.Module):
    """Several poolings of one value; every output is a class."""

    def __init__(self, pools):
        super().__init__()
        self.pools = pools

    def forward(self, x):
        return torch.cat([pool(x).flatten(1) for pool in self.pools.values()], 1)


def recorded(pools, shape):
    torch.manual_seed(2)
    x = torch.randn(2, *shape, dtype=torch.float64)
    ends = [0, *itertools.accumulate(pool(x)[0].numel() for pool in pools.values())]
    chosen = {name: sorted({a, (a + b) // 2, b - 1}) for name, a, b in zip(pools, ends, ends[1:], strict=False)}
    return x, lrp.Session(Pools(pools).eval(), x, device="cpu"), chosen


@pytest.mark.parametrize("shape", AVERAGES)
def test_averages_have_the_edges_of_the_ordinary_engine(shape):
    x, session, chosen = recorded(AVERAGES[shape], shape)
    composite = Uniform(rules.Epsilon(EPSILON))
    ones, written = torch.ones_like(x), Pools(AVERAGES[shape])
    for name, targets in chosen.items():
        for target in targets:
            found = session.relevance(target=target, semiring=ByPaths(), composite=composite).input
            real = session.relevance(target=target, seed="one", composite=composite).input
            torch.testing.assert_close(found, real, rtol=0, atol=1e-12, msg=f"{name}, output {target}")
            leaf = ones.clone().requires_grad_()
            (share,) = torch.autograd.grad(written(leaf)[:, target].sum(), leaf)
            c = (x * share).flatten(1)
            z = c.sum(1, keepdim=True)
            wanted = c / (z + torch.where(z < 0, -EPSILON, EPSILON))
            torch.testing.assert_close(found.flatten(1), wanted, rtol=0, atol=1e-12, msg=f"{name}, output {target}")
            # By the strongest edge, and by the weakest, the same inputs are there.
            if target == targets[0]:
                weakest = session.relevance(target=target, semiring=Bottleneck(absolute=True), composite=composite)
                torch.testing.assert_close(weakest.input.flatten(1), wanted.abs(), rtol=0, atol=1e-12)
                best = session.relevance(target=target, semiring=Viterbi(), composite=composite).input.flatten(1)
                torch.testing.assert_close(best, c.abs() / c.abs().amax(1, keepdim=True), rtol=0, atol=1e-12)


def windows_of(pool, x):
    """For every output, which inputs move it, by making each of them the largest in turn ``(outputs, inputs)``."""
    probes = torch.full((x[0].numel(), *x.shape[1:]), -1.0, dtype=x.dtype)
    probes.flatten(1).fill_diagonal_(1.0)
    return pool(probes).flatten(1).T > 0


@pytest.mark.parametrize("shape", MAXIMA)
def test_maxima_shared_as_averages_have_the_edges_of_the_ordinary_engine(shape):
    x, session, chosen = recorded(MAXIMA[shape], shape)
    composite = Uniform(rules.Epsilon()).override(
        {node.name: rules.Average(EPSILON) for node in session.graph if node.kind == "max_pool"}
    )
    for name, targets in chosen.items():
        seen = windows_of(MAXIMA[shape][name], x)
        start = targets[0]
        for target in targets:
            found = session.relevance(target=target, semiring=ByPaths(), composite=composite).input.flatten(1)
            real = session.relevance(target=target, seed="one", composite=composite).input.flatten(1)
            torch.testing.assert_close(found, real, rtol=0, atol=1e-12, msg=f"{name}, output {target}")
            # What is shared is the windows' own inputs, in proportion to each.
            here = torch.where(seen[target - start], x.flatten(1), 0.0)
            assert torch.equal(found != 0, here != 0), f"{name}, output {target}"
            # S = z / (z + ε sign z) with z = Σ here / n gives n, the places that a window counts.
            total, share = here.sum(1, keepdim=True), found.sum(1, keepdim=True)
            torch.testing.assert_close(found, share * here / total, rtol=0, atol=1e-12)
            places = total.abs() / EPSILON * (1.0 / share - 1.0)
            assert bool((places.round() >= seen[target - start].sum()).all())
            torch.testing.assert_close(places, places.round(), rtol=0, atol=1e-9)


def test_padded_and_spread_windows_share_by_the_number_of_places_within_the_padding():
    """Windows with gaps, rounded up: the last may end beyond the padded input, where nothing counts."""
    x, session, _ = recorded(MAXIMA[2, 11], (2, 11))
    composite = Uniform().override({session.layers[1]: rules.Average(EPSILON)})
    found = session.relevance(target=3, seed="one", composite=composite).input[:, 0]
    # Of the fourth window, places 8, 10 and 12 of the input: beyond its end, and beyond the one zero behind it.
    wanted = torch.zeros_like(found)
    inside = x[:, 0, [8, 10]] / 2
    z = inside.sum(1, keepdim=True)
    wanted[:, [8, 10]] = inside / (z + torch.where(z < 0, -EPSILON, EPSILON))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert math.isclose(float(F.max_pool1d(x, 3, 3, 1, 2, ceil_mode=True)[0, 0, 3]), float(x[0, 0, [8, 10]].max()))

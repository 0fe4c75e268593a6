"""Relevance is the ⊕ of ⊗ over all paths: on small networks, every path is enumerated."""

import dataclasses
import itertools
import math

import pytest
import torch
from semirings.layers import Layer
from semirings.scalars import is_exact, scalars
from semirings.written import written

from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Real, Tropical, Viterbi
from lrp_explorer.semirings.kernels import reference

SEMIRINGS = (
    Real(),
    Boolean(theta=0.03),
    Boolean(theta=0.0, strict=True),
    Counting(theta=0.03),
    Viterbi(),
    Bottleneck(),
    Tropical(),
)
NETWORKS = ((4, 3, 2), (3, 5, 4, 3), (5, 6, 6, 2))


def network(widths, seed):
    """Random dense layers, input side first; one input is zero, and no layer is all silent."""
    layers = []
    for depth, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        edges = Layer(inputs=inputs, outputs=outputs, batch=1).edges(seed=seed + 10 * depth)
        x = edges.x + 0.125
        x[0, 0] *= depth > 0
        layers.append(dataclasses.replace(edges, x=x, positive=edges.positive.abs()))
    return layers


def propagated(semiring, layers, target):
    like = torch.empty(0, dtype=semiring.dtype(torch.float64))
    relevance = semiring.full((1, layers[-1].weight.shape[0]), like)
    relevance[0, target] = semiring.full((1,), like, semiring.one)[0]
    for edges in reversed(layers):
        relevance = reference.contract(semiring, edges, relevance)
    return relevance[0]


def edge(edges, j, k):
    w = edges.weight[k, j].item()
    factor = (edges.positive if w > 0 else edges.negative)[0, k].item()
    return edges.x[0, j].item() * (w * factor)


def paths(layers, start, target):
    """Coefficients along each path from one input to the target."""
    hidden = [range(edges.weight.shape[0]) for edges in layers[:-1]]
    for middle in itertools.product(*hidden):
        nodes = (start, *middle, target)
        yield [edge(edges, j, k) for edges, (j, k) in zip(layers, itertools.pairwise(nodes), strict=True)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("widths", NETWORKS, ids=str)
@pytest.mark.parametrize("semiring", SEMIRINGS, ids=lambda semiring: semiring.name)
def test_every_path(semiring, widths, seed):
    layers, oracle = network(widths, seed), scalars(semiring)
    reached = set()
    for target in range(widths[-1]):
        found = propagated(semiring, layers, target)
        expected = [
            oracle.sum(oracle.product(map(oracle.encode, path)) for path in paths(layers, start, target))
            for start in range(widths[0])
        ]
        reached |= set(expected)
        if is_exact(semiring):
            assert found.tolist() == expected
        else:
            torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert len(reached) > 1


@pytest.mark.parametrize("widths", NETWORKS, ids=str)
@pytest.mark.parametrize("name", ["best-paths", "two-best-paths"])
def test_the_k_best_of_every_path(name, widths):
    semiring, layers = written(name), network(widths, seed=2)
    found = propagated(semiring, layers, target=1)
    for start in range(widths[0]):
        strengths = sorted((math.prod(map(abs, path)) for path in paths(layers, start, 1)), reverse=True)
        best = torch.tensor([*strengths, *[0.0] * semiring.k][: semiring.k], dtype=torch.float64)
        torch.testing.assert_close(found[start], best, rtol=1e-12, atol=1e-12)
    assert found.shape == (widths[0], semiring.k)
    assert (found[:, 1] > 0).any()
    # The best of them is Viterbi's.
    torch.testing.assert_close(found[:, 0], propagated(Viterbi(), layers, 1), rtol=1e-12, atol=1e-12)


def test_chains_of_lukasiewicz():
    layers = network((4, 3, 2), seed=3)
    for start, found in enumerate(propagated(written("lukasiewicz"), layers, target=0).tolist()):
        lacks = [sum(1 - min(max(d, 0.0), 1.0) for d in path) for path in paths(layers, start, 0)]
        assert found == pytest.approx(max(0.0, 1 - min(lacks)), abs=1e-12)


@pytest.mark.parametrize("widths", NETWORKS, ids=str)
def test_tropical_is_the_logarithm_of_viterbi(widths):
    layers = network(widths, seed=4)
    strength, cost = (propagated(semiring, layers, 0) for semiring in (Viterbi(), Tropical()))
    torch.testing.assert_close(cost, -strength.log(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_boolean_at_every_theta_is_thresholded_bottleneck_bit_for_bit(dtype):
    layers = [
        Layer((5, 6), (3, 3), (2, 1), (1, 1), (1, 1), groups=2, inputs=4, outputs=6).edges(5, dtype),
        Layer((3, 6), (2, 2), (1, 2), (0, 0), (1, 1), inputs=6, outputs=5).edges(6, dtype),
    ]
    strengths = Bottleneck().full(layers[-1].positive.shape, layers[-1].x, math.inf)
    for edges in reversed(layers):
        strengths = reference.contract(Bottleneck(), edges, strengths)
    met = strengths[strengths > 0].unique()
    assert len(met) > 20
    # Thresholds that some path meets exactly, and the next number above.
    for theta in (*met.tolist()[::5], *torch.nextafter(met, met + 1).tolist()[::5], 1e-9):
        for strict in (False, True):
            boolean = Boolean(theta=theta, strict=strict)
            reached = torch.ones(layers[-1].positive.shape, dtype=torch.bool)
            for edges in reversed(layers):
                reached = reference.contract(boolean, edges, reached)
            assert torch.equal(reached, strengths > theta if strict else strengths >= theta)

"""The reference kernel: pair by pair in Python, against autograd, and the same in tiles of any size."""

import itertools
import math

import pytest
import torch
from semirings.layers import SEMIRINGS, Layer, relevance_for
from semirings.scalars import is_exact, scalars
from semirings.written import written
from torch.nn import functional

from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Real
from lrp_explorer.semirings.kernels import reference

LAYERS = {
    "dense": Layer(inputs=5, outputs=4),
    "rank 1": Layer((9,), (3,), (2,), (1,), (2,), groups=2, inputs=4, outputs=4, batch=1),
    "rank 2": Layer((4, 5), (3, 2), (1, 1), (1, 0), (1, 1), inputs=3, outputs=2),
    "strided, dilated": Layer((6, 7), (2, 3), (3, 2), (2, 1), (3, 2), groups=2, inputs=4, outputs=2, batch=1),
    "depthwise": Layer((4, 3), (3, 3), (1, 1), (1, 1), (1, 1), groups=3, inputs=3, outputs=6, batch=1),
    "gaps": Layer((5, 4), (1, 1), (2, 2), (0, 0), (1, 1), inputs=2, outputs=3, batch=1),
    "rank 3": Layer((3, 4, 3), (2, 2, 2), (1, 2, 1), (1, 0, 0), (1, 1, 2), inputs=2, outputs=2, batch=1),
}
EACH = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
ALL = pytest.mark.parametrize("semiring", [Real(), *SEMIRINGS], ids=lambda semiring: semiring.name)


def pairs(edges):
    """Every edge of the layer: input (example, channel, *place), output likewise, x_j, w_jk and the output's factor."""
    geometry = edges.geometry
    ins, outs = edges.weight.shape[1], edges.weight.shape[0] // geometry.groups
    for out in itertools.product(*map(range, edges.positive.shape)):
        example, k, *place = out
        for channel, *tap in itertools.product(*map(range, edges.weight.shape[1:])):
            numbers = zip(place, tap, geometry.stride, geometry.padding, geometry.dilation, strict=True)
            at = [o * stride - padding + t * dilation for o, t, stride, padding, dilation in numbers]
            if all(0 <= i < n for i, n in zip(at, edges.x.shape[2:], strict=True)):
                w = edges.weight[(k, channel, *tap)].item()
                factor = (edges.positive if w > 0 else edges.negative)[out].item()
                j = (example, k // outs * ins + channel, *at)
                yield j, out, edges.x[j].item(), w, factor


def pair_by_pair(semiring, edges, relevance):
    oracle = scalars(semiring)
    found = dict.fromkeys(itertools.product(*map(range, edges.x.shape)), oracle.zero)
    for j, k, x, w, factor in pairs(edges):
        d = x * (w * factor)
        message = oracle.mul(oracle.encode(abs(d) if edges.absolute else d), relevance[k].item())
        found[j] = oracle.add(found[j], message)
    return torch.tensor(list(found.values()), dtype=relevance.dtype).reshape(edges.x.shape)


@pytest.mark.parametrize("absolute", [False, True])
@EACH
@ALL
def test_pair_by_pair(semiring, layer, absolute):
    edges = layer.edges(absolute=absolute)
    relevance = relevance_for(semiring, edges)
    expected, found = pair_by_pair(semiring, edges, relevance), reference.contract(semiring, edges, relevance)
    assert found.dtype == semiring.dtype(torch.float64)
    assert found.is_contiguous()
    if is_exact(semiring):
        assert torch.equal(found, expected)
    else:
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert expected.unique().numel() > 1


@EACH
def test_largest_edges(layer):
    edges = layer.edges(seed=2)
    expected = torch.zeros_like(edges.positive)
    for _, k, x, w, _ in pairs(edges):
        expected[k] = max(expected[k].item(), x * abs(w))
    assert torch.equal(reference.largest(edges), expected)


@EACH
def test_real_is_input_times_gradient(layer):
    edges = layer.edges(seed=3)
    relevance = relevance_for(Real(), edges)
    found = reference.contract(Real(), edges, relevance)
    # Weights enter with the factor of their sign, which differs by output: one gradient for each sign.
    x = edges.x.clone().requires_grad_()
    geometry = edges.geometry
    numbers = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    operation = (None, functional.conv1d, functional.conv2d, functional.conv3d)[geometry.rank]
    score = x.new_zeros(())
    for weight, factor in ((edges.weight.clamp(min=0), edges.positive), (edges.weight.clamp(max=0), edges.negative)):
        z = operation(x, weight, None, *numbers) if operation else functional.linear(x, weight)
        score = score + (z * factor * relevance).sum()
    (gradient,) = torch.autograd.grad(score, x)
    torch.testing.assert_close(found, edges.x * gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tile", [1, 50, 200])
@EACH
@ALL
def test_the_size_of_tiles_changes_nothing(semiring, layer, tile, monkeypatch):
    edges = layer.edges(seed=4)
    relevance = relevance_for(semiring, edges)
    expected, widest = reference.contract(semiring, edges, relevance), reference.largest(edges)
    tiles, join = [], type(semiring).sum

    def counted(self, values, axis):
        tiles.append(values.numel())
        return join(self, values, axis)

    monkeypatch.setattr(type(semiring), "sum", counted)
    monkeypatch.setattr(reference, "TILE", tile)
    found = reference.contract(semiring, edges, relevance)
    assert torch.equal(reference.largest(edges), widest)
    if isinstance(semiring, Real):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    else:
        assert torch.equal(found, expected)
    # One output at least, and otherwise no more than fit.
    one = edges.x[:, :: layer.groups, ...].numel()
    assert max(tiles) <= max(tile, one)
    assert len(tiles) >= math.prod(layer.kernel) * (layer.outputs if tile == 1 else layer.groups)


def test_elements_of_several_numbers_in_a_convolution(monkeypatch):
    semiring = written("best-paths")
    edges = LAYERS["strided, dilated"].edges(seed=5)
    out = edges.positive.shape
    relevance = torch.rand(*out, semiring.k, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    relevance = relevance.sort(-1, descending=True).values
    found = reference.contract(semiring, edges, relevance)
    expected = {place: [] for place in itertools.product(*map(range, edges.x.shape))}
    for j, k, x, w, factor in pairs(edges):
        expected[j] += [abs(x * (w * factor)) * r for r in relevance[k].tolist()]
    for j, strengths in expected.items():
        best = [*sorted(strengths, reverse=True), *[0.0] * semiring.k][: semiring.k]
        torch.testing.assert_close(found[j], torch.tensor(best, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(reference, "TILE", 1)
    assert torch.equal(reference.contract(semiring, edges, relevance), found)


@pytest.mark.parametrize("theta", [1e-9, 0.05, 0.125, 1.0])
@EACH
def test_boolean_is_thresholded_bottleneck_and_counts_its_paths(layer, theta):
    edges = layer.edges(seed=6, dtype=torch.float32)
    relevance = relevance_for(Bottleneck(), edges)
    boolean = Boolean(theta=theta)
    strengths = reference.contract(Bottleneck(), edges, relevance)
    reached = reference.contract(boolean, edges, boolean.reaches(relevance))
    assert torch.equal(reached, strengths >= theta)
    counts = reference.contract(Counting(theta=theta), edges, boolean.reaches(relevance).double())
    assert torch.equal(counts > 0, reached)
    assert counts.dtype == torch.float64

"""Compiled kernels give what the reference gives: to the last bit where nothing is rounded twice."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Real, Semiring, Tropical, Viterbi
from lrp_explorer.semirings.edges import Edges, Geometry
from lrp_explorer.semirings.kernels import cpu, reference

CONVOLUTIONS = {0: F.linear, 1: F.conv1d, 2: F.conv2d}
# rank, groups, stride, padding, dilation, kernel, size
LAYERS = [
    pytest.param(0, 1, 1, 0, 1, 1, 1, id="dense"),
    pytest.param(2, 1, 1, 1, 1, 3, 9, id="conv"),
    pytest.param(2, 2, 2, 1, 1, 3, 9, id="strided-groups"),
    pytest.param(2, 1, 2, 0, 2, 3, 11, id="strided-dilated"),
    pytest.param(2, 1, 3, 2, 1, 2, 10, id="stride-beyond-kernel"),
    pytest.param(2, 4, 1, 4, 1, 3, 7, id="padding-beyond-kernel"),
    pytest.param(2, 1, 2, 0, 1, 1, 6, id="strided-1x1"),
    pytest.param(2, 8, 1, 1, 1, 3, 40, id="depthwise-tiles"),
    pytest.param(1, 2, 2, 1, 2, 3, 12, id="conv1d"),
    pytest.param(1, 1, 1, 1, 1, 3, 2100, id="conv1d-long"),
]
THETA = 0.05
EXACT = [
    Boolean(theta=THETA),
    Boolean(theta=0.0, strict=True),
    Counting(theta=THETA),
    Counting(theta=0.0, strict=True),
    Bottleneck(),
]
ROUNDED = [Viterbi(), Tropical()]


def layer(
    rank: int, groups: int, stride: int, padding: int, dilation: int, kernel: int, size: int, *, double: bool = False
) -> tuple[Edges, Tensor]:
    """Edges of a small layer, with zeros wherever zeros may be, and relevance in [0, 1)."""
    torch.manual_seed(rank + 7 * size)
    dtype = torch.float64 if double else torch.float32
    x = torch.randn(3 if size < 20 else 2, 8, *[size] * rank, dtype=dtype).relu()
    x[0, 2] = 0
    weight = torch.randn(12 if groups != 8 else 16, 8 // groups, *[kernel] * rank, dtype=dtype)
    weight[weight.abs() < 0.1] = 0
    numbers = (stride, padding, dilation) if rank else ()
    z = CONVOLUTIONS[rank](x, weight, None, *numbers, *((groups,) if rank else ()))
    relevance = torch.rand_like(z) * (z > 0)
    relevance[1, 3] = 0
    factors = torch.randn_like(z), torch.randn_like(z)
    steps, margins, spread = ((n,) * rank for n in (stride, padding, dilation))
    geometry = Geometry(steps, margins, spread, groups)
    return Edges(x, weight, *factors, geometry), relevance


def elements(semiring: Semiring, relevance: Tensor) -> Tensor:
    """Relevance as elements of a semiring."""
    if isinstance(semiring, Boolean):
        return relevance > 0.4
    if isinstance(semiring, Counting):
        return (relevance * 1000).floor().double()
    return -relevance.log() if isinstance(semiring, Tropical) else relevance


def forms(edges: Edges) -> list[Edges]:
    """Signed and absolute; negative weights without edges; one factor for both signs; only negative weights."""
    if edges.x.numel() > 1 << 14:
        return [edges]
    none = torch.zeros_like(edges.positive)
    return [
        edges,
        replace(edges, absolute=True),
        replace(edges, negative=none),
        replace(edges, negative=edges.positive, absolute=True),
        replace(edges, negative=edges.positive),
        replace(edges, positive=none, negative=-edges.negative.abs()),
    ]


@pytest.mark.parametrize("numbers", [[*p.values] for p in LAYERS], ids=[p.id for p in LAYERS])
def test_same_bits_as_the_reference(numbers: list[int]) -> None:
    edges, relevance = layer(*numbers)
    for form in forms(edges):
        for semiring in EXACT:
            r = elements(semiring, relevance)
            found, truth = cpu.contract(semiring, form, r), reference.contract(semiring, form, r)
            assert found.dtype == truth.dtype
            assert torch.equal(found, truth), semiring
            assert truth.any()
    assert torch.equal(cpu.largest(edges), reference.largest(edges))


@pytest.mark.parametrize("numbers", [[*p.values] for p in LAYERS], ids=[p.id for p in LAYERS])
def test_equal_up_to_rounding(numbers: list[int]) -> None:
    edges, relevance = layer(*numbers, double=True)
    for form in forms(edges):
        for semiring in ROUNDED:
            r = elements(semiring, relevance)
            found, truth = cpu.contract(semiring, form, r), reference.contract(semiring, form, r)
            # Costs are differences of logarithms: those near 0 have the error of their parts.
            torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-12 if isinstance(semiring, Tropical) else 0)


@pytest.mark.parametrize("semiring", [*EXACT[::2], *ROUNDED], ids=lambda s: s.name)
def test_other_precision(semiring: Semiring) -> None:
    exact = semiring in EXACT
    edges, relevance = layer(2, 2, 2, 1, 1, 3, 9, double=exact)
    r = elements(semiring, relevance)
    found, truth = cpu.contract(semiring, edges, r), reference.contract(semiring, edges, r)
    torch.testing.assert_close(found, truth, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5)
    assert torch.equal(cpu.largest(edges), reference.largest(edges))


@pytest.mark.parametrize("numbers", [[*p.values] for p in LAYERS], ids=[p.id for p in LAYERS])
@pytest.mark.parametrize("absolute", [False, True])
def test_boolean_is_thresholded_bottleneck(numbers: list[int], absolute: bool) -> None:
    edges, relevance = layer(*numbers)
    edges = replace(edges, absolute=absolute)
    bottleneck = cpu.contract(Bottleneck(), edges, relevance)
    assert bottleneck.any()
    for theta in (1e-9, 0.01, 0.3, float(bottleneck.max()), float(bottleneck[bottleneck > 0].median())):
        boolean = cpu.contract(Boolean(theta=theta), edges, relevance >= theta)
        assert torch.equal(boolean, bottleneck >= theta)


def test_ties() -> None:
    """Powers of two make gains that equal each other, the bounds and the thresholds."""
    torch.manual_seed(0)
    edges, _ = layer(2, 1, 1, 1, 1, 3, 9)
    few = [2.0 ** torch.randint(-3, 3, t.shape) for t in (edges.x, edges.weight, edges.positive, edges.positive)]
    # Few connections, so that a bundle left out is seen.
    few[1] *= torch.rand_like(few[1]) < 0.25
    edges = replace(edges, x=few[0], weight=few[1], positive=few[2])
    for semiring in (Boolean(theta=2.0), Boolean(theta=2.0, strict=True), Counting(theta=0.5), Bottleneck(), Viterbi()):
        r = (few[3] > 0.5) if isinstance(semiring, Boolean) else few[3]
        r = r.double() if isinstance(semiring, Counting) else r
        assert torch.equal(cpu.contract(semiring, edges, r), reference.contract(semiring, edges, r)), semiring


def test_counts_are_exact_to_the_last_integer() -> None:
    edges, _ = layer(2, 1, 1, 1, 1, 3, 9)
    edges = replace(edges, positive=edges.positive.abs() + 1)
    r = torch.full(edges.positive.shape, 2.0**45, dtype=torch.float64) + torch.randint(0, 9, edges.positive.shape)
    truth = reference.contract(Counting(theta=1e-9), edges, r)
    assert truth.max() < 2.0**53
    assert torch.equal(cpu.contract(Counting(theta=1e-9), edges, r), truth)


@pytest.mark.parametrize("semiring", [*EXACT[::2], *ROUNDED], ids=lambda s: s.name)
@pytest.mark.parametrize("rank", [0, 2])
def test_nothing_in_nothing_out(semiring: Semiring, rank: int) -> None:
    edges, relevance = layer(rank, 1, 1, 1, 1, 3, 9)
    r = semiring.full(relevance.shape, elements(semiring, relevance))
    assert torch.equal(cpu.contract(semiring, edges, r), semiring.full(edges.x.shape, r))
    assert cpu.contract(semiring, replace(edges, x=edges.x[:0], positive=edges.positive[:0],
                                          negative=edges.negative[:0]), r[:0]).shape == edges.x[:0].shape  # fmt: skip


def test_examples_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    from lrp_explorer.semirings.kernels import cpu_layers

    monkeypatch.setattr(cpu_layers, "BYTES", 1)
    monkeypatch.setattr(cpu_layers, "LOGS", 1)
    edges, relevance = layer(2, 2, 2, 1, 1, 3, 9)
    assert torch.equal(cpu.contract(Bottleneck(), edges, relevance), reference.contract(Bottleneck(), edges, relevance))
    edges, relevance = layer(0, 1, 1, 1, 1, 1, 1)
    found, truth = (kernel.contract(Tropical(), edges, -relevance.log()) for kernel in (cpu, reference))
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-5)


def test_callers_from_several_threads() -> None:
    cases = [layer(2, 1, 1, 1, 1, 3, size) for size in (33, 40)] * 4
    truths = [reference.contract(Bottleneck(), edges, r) for edges, r in cases[:2]]

    def many(case: tuple[Edges, Tensor]) -> list[Tensor]:
        return [cpu.contract(Bottleneck(), *case) for _ in range(20)]

    with ThreadPoolExecutor(4) as threads:
        for i, results in enumerate(threads.map(many, cases)):
            assert all(torch.equal(result, truths[i % 2]) for result in results)


def test_strides_in_memory_do_not_matter() -> None:
    edges, relevance = layer(2, 1, 1, 1, 1, 3, 9)
    last = replace(edges, x=edges.x.contiguous(memory_format=torch.channels_last).requires_grad_(),
                   weight=torch.nn.Parameter(edges.weight.transpose(2, 3).contiguous().transpose(2, 3)))  # fmt: skip
    assert torch.equal(cpu.contract(Bottleneck(), last, relevance), cpu.contract(Bottleneck(), edges, relevance))
    assert torch.equal(cpu.largest(last), cpu.largest(edges))


def test_what_is_not_covered_is_refused() -> None:
    class Own(Bottleneck):
        """A user's own."""

    edges, relevance = layer(2, 1, 1, 1, 1, 3, 9)
    assert cpu.covers(Bottleneck(), edges)
    assert not cpu.covers(Real(), edges)
    assert not cpu.covers(Own(), edges)
    assert not cpu.covers(Bottleneck(), replace(edges, x=edges.x.half()))
    assert not cpu.covers(Bottleneck(), replace(edges, x=edges.x.to("meta")))
    volume = Geometry((1,) * 3, (1,) * 3, (1,) * 3)
    assert not cpu.covers(Bottleneck(), replace(edges, x=edges.x.unsqueeze(2), geometry=volume))
    with pytest.raises(TypeError, match="Own"):
        cpu.contract(Own(), edges, relevance)


def test_works_without_a_folder_to_keep_compiled_code() -> None:
    code = """
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []
import numpy as np
from lrp_explorer.semirings.kernels.cpu_rows import largest_rows
result = np.zeros((1, 2))
largest_rows(np.zeros(1, np.int64), result, np.array([[1.0, 2.0]]), np.array([[3.0, -4.0], [5.0, 1.0]]))
assert result.tolist() == [[8.0, 5.0]]
assert type(largest_rows._cache).__name__ == "NullCache", largest_rows._cache
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_kept_code_is_not_older_than_what_it_calls() -> None:
    from lrp_explorer.semirings.kernels import cpu_loops, cpu_sweeps

    stamps = [f._cache._cache_file._source_stamp for f in (cpu_loops.planes, cpu_sweeps.widest)]
    assert all(stamp[1] == cpu_sweeps.SOURCES == cpu_sweeps._sources() for stamp in stamps)

"""The GPU's kernels equal the reference: interpreted on the CPU (in a process of their own), compiled on a GPU."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from refusals import refused
from semirings.layers import SEMIRINGS, Layer, relevance_for

from lrp_explorer.errors import InputError
from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Real, Tropical, Viterbi
from lrp_explorer.semirings.kernels import gpu, reference

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
NO_GPU = not torch.cuda.is_available() or INTERPRETED
# Triton reads its variable when it is imported, so the interpreter has a process of its own: test_in_the_interpreter.
ON_GPU = (pytest.mark.cuda, pytest.mark.skipif(NO_GPU, reason="no GPU to compile for and run on"))
DEVICES = ["cpu"] if INTERPRETED else [pytest.param("cuda", marks=ON_GPU)]
LAYERS = {
    "dense": Layer(inputs=5, outputs=7, batch=3),
    "rank 1": Layer((7,), (3,), (2,), (1,), (1,), groups=2, batch=1),
    "rank 2": Layer((4, 5), (3, 2), (1, 1), (1, 0), (1, 1), inputs=3, outputs=5, batch=1),
    "strided, dilated": Layer((6, 7), (2, 3), (2, 3), (2, 1), (3, 2), inputs=2, outputs=3, batch=1),
    "depthwise": Layer((2, 3), (2, 2), (1, 1), (1, 0), (1, 1), groups=2, inputs=2, outputs=4),
    "gaps": Layer((5, 4), (1, 1), (2, 2), (0, 0), (1, 1), inputs=3, outputs=2, batch=1),
}
EXACT = (Boolean, Counting, Bottleneck)


@pytest.fixture(params=[(64, 64, 2048), (4, 2, 16)], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    for name, value in zip(("PIXELS", "INPUTS", "PAIRS"), request.param, strict=True):
        monkeypatch.setattr(gpu, name, value)


def assert_same(semiring, edges, relevance):
    expected = reference.contract(semiring, edges, relevance)
    found = gpu.contract(semiring, edges, relevance)
    assert found.dtype == expected.dtype
    if isinstance(semiring, EXACT):
        assert torch.equal(found, expected)
    else:
        tolerance = 1e-12 if edges.x.dtype == torch.float64 else 2e-6
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    # A comparison of constants would tell nothing.
    assert expected.unique().numel() > 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("semiring", SEMIRINGS, ids=lambda semiring: semiring.name)
def test_equal_to_the_reference(semiring, layer, device):
    edges = layer.edges(device=device)
    assert gpu.covers(semiring, edges)
    assert_same(semiring, edges, relevance_for(semiring, edges))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("semiring", SEMIRINGS, ids=lambda semiring: semiring.name)
def test_single_precision_and_absolute_edges(semiring, device):
    edges = LAYERS["dense"].edges(seed=2, dtype=torch.float32, absolute=True, device=device)
    assert_same(semiring, edges, relevance_for(semiring, edges))


@pytest.mark.parametrize("device", DEVICES)
def test_blocks_of_any_size(blocks, device):
    for name in ("dense", "rank 1"):
        edges = LAYERS[name].edges(seed=3, device=device)
        assert torch.equal(gpu.largest(edges), reference.largest(edges))
        for semiring in (Counting(theta=0.05), Bottleneck(), Tropical()):
            assert_same(semiring, edges, relevance_for(semiring, edges))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_largest_edges(layer, device):
    edges = layer.edges(seed=4, device=device)
    assert torch.equal(gpu.largest(edges), reference.largest(edges))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("absolute", [False, True])
def test_boolean_at_theta_is_thresholded_bottleneck_bit_for_bit(absolute, device):
    for name, most in (("dense", 12), ("rank 1", 1)):
        edges = LAYERS[name].edges(seed=5, dtype=torch.float32, absolute=absolute, device=device)
        bottleneck = Bottleneck()
        relevance = relevance_for(bottleneck, edges)
        strengths = gpu.contract(bottleneck, edges, relevance)
        # Thresholds that edges meet exactly are where rounding would show.
        met = strengths[(strengths > 0) & strengths.isfinite()].unique()
        for theta in (*met[:: max(1, len(met) // most)][:most].tolist(), 0.1):
            for strict in (False, True):
                boolean = Boolean(theta=theta, strict=strict)
                found = gpu.contract(boolean, edges, boolean.reaches(relevance))
                assert torch.equal(found, strengths > theta if strict else strengths >= theta)


@pytest.mark.parametrize("device", DEVICES)
def test_sign_alone(device):
    edges = LAYERS["dense"].edges(seed=6, device=device)
    for semiring in (Boolean(theta=0.0, strict=True), Counting(theta=0.0, strict=True)):
        assert_same(semiring, edges, relevance_for(semiring, edges))


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_no_number_is_not_hidden(device, monkeypatch):
    # Outputs one by one, so that no number meets a number in each of the joins.
    monkeypatch.setattr(gpu, "PAIRS", 1)
    edges = LAYERS["dense"].edges(seed=7, device=device)
    edges.positive[0, 0] = edges.negative[0, 0] = torch.nan
    for semiring in SEMIRINGS:
        relevance = torch.ones_like(edges.positive, dtype=semiring.dtype(edges.x.dtype))
        expected = reference.contract(semiring, edges, relevance)
        found = gpu.contract(semiring, edges, relevance)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, equal_nan=True)
        assert isinstance(semiring, Boolean | Counting) or expected.isnan().any()


@pytest.mark.parametrize("device", DEVICES)
def test_inputs_that_lie_otherwise_in_memory(device):
    edges = LAYERS["rank 2"].edges(seed=8, device=device)
    names = ("x", "weight", "positive", "negative")
    turned = type(edges)(*(getattr(edges, n).mT.contiguous().mT for n in names), edges.geometry)
    assert not turned.x.is_contiguous()
    relevance = relevance_for(Bottleneck(), edges)
    expected = reference.contract(Bottleneck(), edges, relevance)
    assert torch.equal(gpu.contract(Bottleneck(), turned, relevance.mT.contiguous().mT), expected)
    assert torch.equal(gpu.largest(turned), reference.largest(edges))


@pytest.mark.parametrize("device", DEVICES)
def test_what_it_does_not_cover_it_says(device):
    cube = Layer((3, 3, 3), (2, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1)).edges(device=device)
    half = LAYERS["dense"].edges(dtype=torch.float16, device=device)
    dense = LAYERS["dense"].edges(device=device)

    @dataclass(frozen=True)
    class Mine(Viterbi):
        pass

    assert not gpu.covers(Viterbi(), cube)
    assert not gpu.covers(Viterbi(), half)
    assert not gpu.covers(Real(), dense)
    assert not gpu.covers(Mine(), dense)
    with refused(InputError, "Viterbi", "rank 3", "reference"):
        gpu.contract(Viterbi(), cube, relevance_for(Viterbi(), cube))
    with refused(InputError, "Mine", "float64"):
        gpu.contract(Mine(), dense, relevance_for(Viterbi(), dense))
    with refused(InputError, "largest", "float16"):
        gpu.largest(half)


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter")
def test_in_the_interpreter():
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-k", "cpu", "-W", "ignore::RuntimeWarning"]
    root = Path(__file__).parents[2]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout.splitlines()[-1]


@pytest.mark.skipif(INTERPRETED, reason="an interpreter compiles nothing")
@pytest.mark.parametrize("ones", [False, True], ids=["any sizes", "sizes of 1"])
@pytest.mark.parametrize("mode", [*gpu.MODES.values(), "strongest"])
def test_kernels_compile_for_a_gpu_without_one(mode, ones, tmp_path, monkeypatch):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from lrp_explorer.semirings.kernels import gpu_gather

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = gpu_gather.strongest if mode == "strongest" else gpu_gather.gather
    constants = {"MODE": mode, "ZERO": float("inf" if mode == "tropical" else 0), "STRICT": False, "ABSOLUTE": True}
    constants |= {"K": 2, "J": 16, "P": 64}
    if ones:
        # Triton takes arguments of 1 for constants, which are no tensors.
        sizes = gpu._sizes(Layer(inputs=1, outputs=1, batch=1).edges())
        constants |= {"K": 1, "J": 1, "P": 1} | {name: 1 for name, size in sizes.items() if size == 1}
    special = {("boolean", "result_ptr"): "*i8", ("boolean", "relevance_ptr"): "*i1"}
    special |= {("counting", "result_ptr"): "*fp64", ("counting", "relevance_ptr"): "*fp64"}
    names = [parameter.name for parameter in kernel.params]
    signature = {n: special.get((mode, n), "*fp32") if n.endswith("_ptr") else "i32" for n in names}
    signature |= dict.fromkeys(set(constants) & set(names), "constexpr")
    places = {(names.index(n),): value for n, value in constants.items() if n in names}
    source = ASTSource(kernel, signature=signature, constexprs=places)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=dict(gpu.OPTIONS))
    assert made.asm["cubin"]
    # A product that is added to something before it is rounded would not be the reference's. (Logarithms use them.)
    assert mode == "tropical" or "fma.rn" not in made.asm["ptx"]


@pytest.mark.cuda
@pytest.mark.skipif(NO_GPU, reason="no GPU to run on")
def test_nothing_waits_for_the_device():
    edges = LAYERS["rank 2"].edges(device="cuda")
    relevances = [relevance_for(semiring, edges) for semiring in SEMIRINGS]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for semiring, relevance in zip(SEMIRINGS, relevances, strict=True):
            gpu.contract(semiring, edges, relevance)
        gpu.largest(edges)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.cuda
@pytest.mark.skipif(NO_GPU, reason="no GPU to run on")
def test_layers_of_more_than_two_thousand_million_numbers():
    if torch.cuda.mem_get_info()[0] < 70 << 30:
        pytest.skip("needs 70 GiB of free GPU memory")
    length = (1 << 31) + 4096
    edges = Layer((8,), (1,), (1,), (0,), (1,), inputs=1, outputs=1, batch=1).edges(dtype=torch.float32, device="cuda")
    many = {name: getattr(edges, name).repeat(1, 1, length // 8) for name in ("x", "positive", "negative")}
    wide = type(edges)(many["x"], edges.weight, many["positive"], many["negative"], edges.geometry)
    relevance = relevance_for(Bottleneck(), edges)
    expected = reference.contract(Bottleneck(), edges, relevance)
    found = gpu.contract(Bottleneck(), wide, relevance.repeat(1, 1, length // 8))
    assert torch.equal(found[:, :, :8], expected)
    assert torch.equal(found[:, :, -8:], expected)

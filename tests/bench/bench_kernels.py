"""Time of the compiled semiring kernels on every layer of VGG-16, one image, beside PyTorch's own forward.

Run as ``python tests/bench/bench_kernels.py [--repeats 3] [--layers 13]``. Activations and relevance are those of a
network with random weights: inputs and relevance are zero where ReLU is, factors are those of the z⁺ rule. Each number
is the least of a few repeats, with the forward measured in between. Viterbi's and Tropical's need `largest` too.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Tropical, Viterbi
from lrp_explorer.semirings.edges import Edges, Geometry
from lrp_explorer.semirings.kernels import cpu

# Input channels, output channels and width of VGG-16's convolutions, then inputs and outputs of its dense layers.
LAYERS = (
    (3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56),
    (256, 512, 28), (512, 512, 28), (512, 512, 28), (512, 512, 14), (512, 512, 14), (512, 512, 14),
    (25088, 4096), (4096, 4096), (4096, 1000),
)  # fmt: skip
COLUMNS = ("forward", "boolean", "counting", "bottleneck", "largest", "viterbi", "tropical")


def layer(inputs: int, outputs: int, *width: int) -> tuple[Callable[[], Tensor], list[Callable[[], Tensor]]]:
    """The forward of one layer, and a contraction for each further column."""
    x = torch.randn(1, inputs, *width * 2).relu_()
    weight = torch.randn(outputs, inputs, *[3] * (2 * len(width))) / (inputs * 9 ** len(width)) ** 0.5
    forward = (lambda: F.conv2d(x, weight, padding=1)) if width else (lambda: F.linear(x, weight))
    convolve = F.conv2d(x, weight.clamp(min=0), padding=1) if width else F.linear(x, weight.clamp(min=0))
    active = forward() > 0
    geometry = Geometry((1, 1), (1, 1), (1, 1)) if width else Geometry()
    signed = Edges(x, weight, active / convolve.clamp(min=1e-6), torch.zeros_like(convolve), geometry)
    relevance = torch.rand_like(convolve) * active
    most = 1 / cpu.largest(signed).clamp(min=1e-12)
    strength = Edges(x, weight, most, most, geometry, absolute=True)
    counts = (relevance * 1e6).floor().double()
    return forward, [
        lambda: cpu.contract(Boolean(), signed, active),
        lambda: cpu.contract(Counting(), signed, counts),
        lambda: cpu.contract(Bottleneck(), signed, relevance),
        lambda: cpu.largest(signed),
        lambda: cpu.contract(Viterbi(), strength, relevance),
        lambda: cpu.contract(Tropical(), strength, -relevance.log()),
    ]


def least(calls: list[Callable[[], Tensor]], repeats: int) -> list[float]:
    """Milliseconds of each call, the least of some rounds."""
    found = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            found[i] = min(found[i], 1e3 * (time.perf_counter() - start))
    return found


def main() -> None:
    """Print milliseconds by layer, sums, and multiples of the forward."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layers", type=int, nargs="*", default=range(len(LAYERS)))
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, float32, milliseconds")
    torch.manual_seed(0)
    total = [0.0] * len(COLUMNS)
    with torch.inference_mode():
        start = time.perf_counter()
        for shape in ((4, 4, 8), (8, 8)):
            least(layer(*shape)[1], 1)
        print(f"compiling or loading: {time.perf_counter() - start:.1f} s")
        print(f"{'layer':>18}", *(f"{name:>10}" for name in COLUMNS))
        for index in options.layers:
            forward, calls = layer(*LAYERS[index])
            row = least([forward, *calls], options.repeats)
            total = [a + b for a, b in zip(total, row, strict=True)]
            print(f"{LAYERS[index]!s:>18}", *(f"{value:10.1f}" for value in row), flush=True)
    print(f"{'sum':>18}", *(f"{value:10.0f}" for value in total))
    total[5], total[6] = total[5] + total[4], total[6] + total[4]
    print(f"{'× forward':>18}", *(f"{value / total[0]:10.1f}" for value in total), " (viterbi, tropical: with largest)")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()

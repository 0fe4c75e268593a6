"""Time and memory of semiring relevance, as multiples of the model's own forward pass in the same run.

    python tests/bench/bench_semirings.py [--models vgg16] [--batch 1] [--rounds 5] [--device auto]

Prints, for each semiring, an explanation from scratch (forward, all layers, input), its peak memory in a process of its
own, the first call of a fresh process (with and without what was compiled before), and 10 000 examples of a
784-300-100-10 network under the Boolean semiring.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import torch
from bench_engine import network, peak
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.composites import EpsilonGammaBox, EpsilonPlus

SEMIRINGS = ("boolean", "counting", "viterbi", "bottleneck", "tropical")


def clock(device: str) -> float:
    """Seconds, with everything done that was asked for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def table(name: str, batch: int, rounds: int, device: str) -> None:
    """Print one table."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    model, x = network(name).to(device), torch.randn(batch, 3, 224, 224, device=device)
    composite = EpsilonGammaBox(-3, 3)

    def forward() -> None:
        with torch.no_grad():
            model(x)

    todo = {"forward": forward}
    for semiring in ("real", *SEMIRINGS):
        todo[semiring] = lambda s=semiring: lrp.explain(model, x, composite=composite, semiring=s, device=device)
    times: dict[str, list[float]] = {label: [] for label in todo}
    for run in todo.values():
        run()
    for _ in range(rounds):
        for label, run in todo.items():
            start = clock(device)
            run()
            times[label].append(clock(device) - start)
    unit = statistics.median(times["forward"])
    print(f"\n{name}, batch {batch}, {device}, {torch.get_num_threads()} threads, float32, median of {rounds}")
    for label, seconds in times.items():
        median = statistics.median(seconds)
        each = f"{median * 1e3 / batch:9.1f} ms an image"
        print(f"  {label:12s} {median * 1e3:9.1f} ms {each}  {median / unit:6.2f} × forward")


def fresh(name: str, semiring: str, cache: str | None) -> str:
    """Run one explanation in a process of its own."""
    environment = dict(os.environ) | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    command = [sys.executable, __file__, "--alone", semiring, "--models", name]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def alone(name: str, semiring: str) -> None:
    """Print what one explanation costs here: the first, the second, and the peak of memory over what was there."""
    model, x = network(name), torch.randn(1, 3, 224, 224)
    lrp.coverage(model, x)
    before = peak()
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        lrp.explain(model, x, composite=EpsilonGammaBox(-3, 3), semiring=semiring)
        seconds.append(time.perf_counter() - start)
    print(f"first {seconds[0]:6.2f} s, second {seconds[1]:6.2f} s, memory {peak():.0f} MiB ({peak() - before:+.0f})")


def many(count: int = 10_000) -> None:
    """Print the time of many examples of a small network."""
    torch.manual_seed(0)
    sizes = (784, 300, 100, 10)
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())][:-1]
    model, x = nn.Sequential(*layers).eval(), torch.rand(count, 784) * (torch.rand(count, 784) < 0.2)
    lrp.explain(model, x[:500], composite=EpsilonPlus(), semiring="boolean")
    start = time.perf_counter()
    for part in x.split(500):
        lrp.explain(model, part, composite=EpsilonPlus(), semiring="boolean")
    print(f"\n{count} examples of 784-300-100-10, boolean: {time.perf_counter() - start:.2f} s")


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vgg16"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--alone", choices=SEMIRINGS)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in chosen.models:
        if chosen.alone:
            alone(name, chosen.alone)
            continue
        table(name, chosen.batch, chosen.rounds, chosen.device)
        with tempfile.TemporaryDirectory() as cache:
            for semiring in SEMIRINGS:
                print(f"  {semiring:12s} nothing compiled yet: {fresh(name, semiring, cache)}")
                print(f"  {semiring:12s} compiled before:      {fresh(name, semiring, cache)}")
    if not chosen.alone:
        many()


if __name__ == "__main__":
    main()

"""Class-wise masks: rate against the engine's own, peak memory against the number of examples, speed of two workers.

    python tests/bench/bench_masks.py [rate] [memory] [dask] [--model mnist-cnn] [--data mnist] [--examples 4096]

MNIST has to be in the cache folder (LRP_EXPLORER_CACHE). Rates are medians of rounds in which both sides take turns;
the ratio of processor time is the fairer one where others use the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import lrp_explorer as lrp
from lrp_explorer.analyses import selection
from lrp_explorer.analyses.aggregate import aggregate
from lrp_explorer.analyses.runners import Dask, cores

REDUCE = ("and", "or", "min", "max", "mean", "std", "count")


def rate(name: str, data: str, examples: int, rounds: int, threads: int) -> None:
    """Print examples a second of the engine alone, on batches that lie in memory, and of the whole aggregation."""
    torch.set_num_threads(threads)
    model = lrp.load_model(name)
    dataset = lrp.load_dataset(data, card=model.card)
    limit = examples // len(dataset.classes)
    chosen = [i for one in range(len(dataset.classes)) for i in where(dataset.labels, one)[:limit]]
    x = torch.stack([dataset[i][0] for i in chosen])
    target = torch.tensor([dataset.labels[i] for i in chosen])
    size = selection.batch_size(x.shape[1:])

    def engine() -> None:
        for part, own in zip(x.split(size), target.split(size), strict=True):
            lrp.explain(model, part, target=own)

    def whole() -> None:
        aggregate(model, dataset, limit=limit, reduce=REDUCE, progress=False)

    # The first round traces the model.
    rows = [(*timed(engine), *timed(whole)) for _ in range(rounds + 1)][1:]
    alone, spent_alone, folded, spent_folded = zip(*rows, strict=True)
    ratio, spent = (
        statistics.median(e / w for e, w in zip(*pair, strict=True))
        for pair in ((alone, folded), (spent_alone, spent_folded))
    )
    print(f"{name}, {len(chosen)} examples of {data}, batches of {size}, {threads} thread(s), median of {rounds}")
    print(f"  engine alone   {len(chosen) / statistics.median(alone):8.0f} examples/s")
    told = f"{ratio:.3f} of the engine's rate ({spent:.3f} by processor time)"
    print(f"  aggregate      {len(chosen) / statistics.median(folded):8.0f} examples/s, {told}")


def timed(call: Callable[[], None]) -> tuple[float, float]:
    """Give the seconds that a call takes, and the seconds of all processors."""
    start, spent = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - spent


def where(labels: list[int], one: int) -> list[int]:
    """Give the examples of a class."""
    return [i for i, label in enumerate(labels) if label == one]


def memory(name: str, data: str, counts: list[int]) -> None:
    """Print the peak memory of fresh processes that fold more and more examples."""
    for count in counts:
        command = [sys.executable, __file__, "peak", "--model", name, "--data", data, "--examples", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        print(f"  {done}")


def one_peak(name: str, data: str, examples: int) -> None:
    """Print the peak resident size of this process after one aggregation (Linux)."""
    torch.set_num_threads(1)
    model = lrp.load_model(name)
    dataset = lrp.load_dataset(data, split="train", card=model.card)
    start = time.perf_counter()
    limit = None if examples >= len(dataset) else examples // len(dataset.classes)
    reduce = (*REDUCE, "quantile(0.9)") if os.environ.get("BENCH_QUANTILE") else REDUCE
    masks = aggregate(model, dataset, limit=limit, reduce=reduce, progress=False)
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    passed = time.perf_counter() - start
    print(f"{masks.counts[-1]:6d} examples: peak {peak:7.0f} MiB, {masks.counts[-1] / passed:6.0f} examples/s")


def workers(name: str, data: str) -> None:
    """Print what two workers are worth over one: the same job through clusters that are up and warm."""
    from distributed import Client, LocalCluster

    seconds = {}
    for count in (1, 2):
        with (
            LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
            Client(cluster) as client,
        ):
            settings = {"runner": Dask(client), "reduce": REDUCE, "progress": False}
            aggregate(name, data, limit=16, batch=16, **settings)
            start = time.perf_counter()
            masks = aggregate(name, data, split="train", **settings)
            seconds[count] = time.perf_counter() - start
            print(f"  {count} worker(s): {masks.counts[-1] / seconds[count]:6.0f} examples/s")
    load = f"{cores()} cores, load average {os.getloadavg()[0]:.1f}"
    print(f"  two workers give {seconds[1] / seconds[2]:.2f} × ({load})")


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["rate", "memory", "dask"])
    parser.add_argument("--model", default="mnist-cnn")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--examples", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 60_000])
    chosen = parser.parse_args()
    for what in chosen.what:
        if what == "rate":
            for threads in sorted({1, torch.get_num_threads()}):
                rate(chosen.model, chosen.data, chosen.examples, chosen.rounds, threads)
        elif what == "memory":
            memory(chosen.model, chosen.data, chosen.counts)
        elif what == "peak":
            one_peak(chosen.model, chosen.data, chosen.examples)
        else:
            workers(chosen.model, chosen.data)


if __name__ == "__main__":
    main()

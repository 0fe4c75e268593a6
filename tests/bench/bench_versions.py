"""Two builds of the package, side by side: is any row slower than it was?

    pip install --no-deps --target old <the earlier commit's folder or wheel>
    python tests/bench/bench_versions.py old . [--pairs 30] [--rows resnet18 slider]

Each build has a process of its own, and both take turns, row by row and pair by pair, the first of a pair in turn too.
What is told of a row is the geometric mean of new over old with its 95 % interval; a row is slower where the whole
interval lies above 1.03.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from scipy.stats import t as student

HERE = Path(__file__).parent
# Slower by less than this is no news.
TOLERATED = 1.03
FB = "forward + backward"


def rows(wanted: list[str]) -> dict[str, Callable[[], object]]:
    """Everything that is measured, by name; `wanted` keeps the rows whose name holds one of these words."""
    import torch
    from bench_engine import forward_backward, network, ours

    import lrp_explorer as lrp

    found: dict[str, Callable[[], object]] = {}
    for name, batch in (("resnet18", 1), ("resnet18", 8), ("vgg16", 1), ("mobilenet_v2", 1), ("vit_b_32", 1)):
        if not _asked(f"{name} b{batch}", wanted):
            continue
        model, x = network(name), torch.randn(batch, 3, 224, 224)
        found[f"{name} b{batch}, {FB}"] = lambda m=model, x=x: forward_backward(m, x)
        found |= {f"{name} b{batch}, {label.strip()}": run for label, run in ours(model, x).items()}
    if _asked("semirings", wanted):
        model, x = network("squeezenet1_1"), torch.randn(1, 3, 96, 96)
        for semiring in ("boolean", "viterbi", "bottleneck", "counting"):
            found[f"semirings squeezenet1_1, {semiring}"] = lambda m=model, x=x, s=semiring: lrp.explain(
                m, x, semiring=s
            )
    if _asked("masks", wanted):
        small, digits = lrp.load_model("digits-cnn"), lrp.load_dataset("digits")
        found["masks of 200 digits"] = lambda: lrp.aggregate(small, digits, limit=20, progress=False)
    if _asked("slider", wanted):
        small = lrp.load_model("digits-cnn")
        session = lrp.Session(small, lrp.load_dataset("digits")[0][0][None])
        moved = iter(range(1, 10**6))

        def step() -> None:
            for _ in range(20):
                session.relevance(composite=lrp.composites.EpsilonGammaBox(0, 1, gamma=0.25 + next(moved) / 1e4))

        found["slider digits-cnn, 20 steps"] = step
        one = lrp.load_dataset("digits")[0][0][None]
        found["digits-cnn, 20 explanations"] = lambda: [lrp.explain(small, one) for _ in range(20)]
    return found


def _asked(name: str, wanted: list[str]) -> bool:
    return not wanted or any(word in name for word in wanted)


def serve(wanted: list[str]) -> None:
    """Answer a row's number, line by line, with the seconds that it took."""
    warnings.simplefilter("ignore")
    todo = rows(wanted)
    for run in todo.values():
        run()
    print("\t".join(todo), flush=True)
    runs = list(todo.values())
    for line in sys.stdin:
        start = time.perf_counter()
        runs[int(line)]()
        print(time.perf_counter() - start, flush=True)


class Build:
    """One build in a process of its own."""

    def __init__(self, path: str, wanted: list[str]) -> None:
        code = f"import sys; sys.path[:0] = [{str(Path(path).resolve())!r}, {str(HERE)!r}]; "
        code += f"import bench_versions; bench_versions.serve({wanted!r})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.names = self._line().split("\t")

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a build ended early; see above")
        return line.rstrip("\n")

    def seconds(self, row: int) -> float:
        """Run a row once."""
        assert self._process.stdin is not None
        print(row, file=self._process.stdin, flush=True)
        return float(self._line())


def main() -> None:
    """Read the command line, take turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="folder that holds the earlier build")
    parser.add_argument("new", help="folder that holds the later build")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--rows", nargs="*", default=[], help="words; rows whose group holds one of them are measured")
    chosen = parser.parse_args()
    builds = [Build(chosen.old, chosen.rows), Build(chosen.new, chosen.rows)]
    names = [name for name in builds[0].names if name in builds[1].names]
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
    for pair in range(chosen.pairs):
        for name in names:
            for side in (0, 1) if pair % 2 else (1, 0):
                times[name][side].append(builds[side].seconds(builds[side].names.index(name)))
    print(f"{'':44s} {'old':>10s} {'new':>10s}  new / old, 95 % of {chosen.pairs} pairs")
    for name, (old, new) in times.items():
        logs = [math.log(b / a) for a, b in zip(old, new, strict=True)]
        mean, half = (
            statistics.fmean(logs),
            student.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / len(logs) ** 0.5,
        )
        low, high = math.exp(mean - half), math.exp(mean + half)
        ms = [statistics.median(side) * 1e3 for side in (old, new)]
        mark = "  slower" if low > TOLERATED else ""
        print(f"{name:44s} {ms[0]:7.1f} ms {ms[1]:7.1f} ms  {math.exp(mean):.3f} ({low:.3f} to {high:.3f}){mark}")


if __name__ == "__main__":
    main()

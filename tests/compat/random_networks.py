"""Explain many random small networks, and say which fail: ``python tests/compat/random_networks.py --count 400``."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from oracles.random_checks import check
from oracles.random_nets import case

from lrp_explorer.graph.ops import OPS


def main() -> int:
    """Check the networks of seeds 0, 1, 2 …; return 1 if any fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--traceback", action="store_true")
    given = parser.parse_args()
    failed, met = [], Counter[str]()
    for seed in range(given.first, given.first + given.count):
        drawn = case(seed)
        try:
            met.update(node.op for node in check(drawn).graph)
        except Exception as error:
            failed.append(seed)
            print(f"seed {seed}, {drawn.x.dtype}: {type(error).__name__}: {error}\n    {', '.join(drawn.steps)}")
            if given.traceback:
                traceback.print_exc()
    never = sorted(set(OPS) - set(met))
    print(f"torch {torch.__version__}: {given.count - len(failed)} of {given.count} networks hold; failed: {failed}")
    print(f"{len(set(OPS) & set(met))} of {len(OPS)} operations of the table met; never: {' '.join(never)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

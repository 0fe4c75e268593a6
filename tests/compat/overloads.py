"""Which overloads of PyTorch's operations stand in the graphs of classifiers, by PyTorch's version.

``python tests/compat/overloads.py`` traces every family of torchvision (most by a small network of the family's own
blocks), 400 random small networks, and the spellings of the tests of operations, and writes what it meets to
``tests/compat/overloads.json`` beside what other versions had.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "rules"))

import torch
from oracles.families import published
from oracles.random_nets import case
from oracles.side_by_side import ready
from oracles.small import SMALL, small
from torch import Tensor, fx, nn
from torch.export import Dim, export
from torch.export.graph_signature import InputKind

from lrp_explorer.graph.functional import make_functional

TABLE = Path(__file__).with_name("overloads.json")


def read(program: torch.export.ExportedProgram) -> Iterator[str]:
    """Names of the overloads that compute real values with those of the input, once nothing is written in place.

    Those that compute whole numbers or truth values only choose, whatever their name.
    """
    inputs = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind == InputKind.USER_INPUT}
    reached: set[fx.Node] = set()
    for node in make_functional(program).graph.nodes:
        if node.name in inputs or any(source in reached for source in node.all_input_nodes):
            value = node.meta.get("val")
            first = value[0] if isinstance(value, (tuple, list)) else value
            if isinstance(first, Tensor) and (first.is_floating_point() or first.is_complex()):
                reached.add(node)
                if node.op == "call_function" and node.target is not operator.getitem:
                    yield str(node.target)


def models(count: int) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Name, model and input of everything that is traced."""
    import test_choices
    import test_operations
    import test_writes

    for groups in (test_writes.GROUPS, test_choices.GROUPS):
        for name, group in groups.items():
            yield name, *ready(*group.values())
    for name, function in (test_operations.PIECEWISE_LINEAR | test_operations.OTHERS).items():
        if name not in ("weights read the other way", "weights from the input"):
            yield name, *test_operations.recorded(function)[:2]
    for name in SMALL:
        yield name, *small(name)
    for name in ("alexnet", "vgg11", "squeezenet1_1"):
        yield name, *published(name)
    for seed in range(count):
        drawn = case(seed)
        yield f"network {seed}", drawn.net.eval(), drawn.x


def like(x: Tensor) -> Tensor:
    """Make an example of the input's shape; a batch of 1 would be taken for a constant."""
    return torch.zeros((2, *x.shape[1:]), dtype=x.dtype)


def main() -> None:
    """Trace everything, and write the table anew for the version that runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="random networks")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found: set[str] = set()
    for name, model, x in models(given.count):
        with torch.no_grad():
            try:
                met = set(read(export(model, (like(x),), dynamic_shapes=({0: Dim.DYNAMIC},), strict=False)))
            except Exception:
                # Code that fixes the batch. A tensor whose axis was once free stays so.
                met = set(read(export(model, (like(x),), strict=False)))
        if met - found:
            print(f"{name}: {' '.join(sorted(met - found))}")
            found |= met
            write(found)


def write(found: set[str]) -> None:
    """Add what was found to what this version had."""
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    version = torch.__version__.partition("+")[0]
    table[version] = sorted(found | set(table.get(version, [])))
    beside = TABLE.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(dict(sorted(table.items())), indent=1) + "\n")
    beside.replace(TABLE)


if __name__ == "__main__":
    main()

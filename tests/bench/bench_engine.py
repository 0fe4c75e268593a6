"""Time and memory of explanations, as multiples of one forward and backward pass of the same model and batch (FB).

    python tests/bench/bench_engine.py [--models vgg16 resnet18] [--batches 1 8] [--rounds 5]

Everything is measured in turn in one process, round after round, and the medians are compared; memory is counted by the
profiler. zennit and captum are left out where they are not installed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

sys.path.insert(0, str(Path(__file__).parents[1]))

from oracles.memory import peak

import lrp_explorer as lrp
from lrp_explorer.composites import EpsilonGammaBox, EpsilonPlusFlat, Uniform
from lrp_explorer.rules import Epsilon

COMPOSITES = {"ε everywhere": Uniform(Epsilon()), "ε, z⁺, flat": EpsilonPlusFlat(), "ε, γ, zᴮ": EpsilonGammaBox(-3, 3)}


def network(name: str) -> nn.Module:
    """Build a network in evaluation mode whose weights need no gradients, so that FB computes none for them."""
    torch.manual_seed(0)
    model = models.get_model(name, weights=None).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return model


def forward_backward(model: nn.Module, x: Tensor) -> None:
    """One FB: gradient of the predicted class's logit by the input."""
    leaf = x.clone().requires_grad_()
    torch.autograd.grad(model(leaf).amax(1).sum(), leaf)


def ours(model: nn.Module, x: Tensor) -> dict[str, Callable[[], object]]:
    """Explanations from scratch, and changes of one setting in a recorded session."""
    todo: dict[str, Callable[[], object]] = {
        f"lrp_explorer {name}": (lambda c=composite: lrp.explain(model, x, composite=c))
        for name, composite in COMPOSITES.items()
    }
    session = lrp.Session(model, x)
    box = COMPOSITES["ε, γ, zᴮ"]
    session.relevance(composite=box)
    moved = iter(range(1, 10**6))
    todo["  session: γ moved"] = lambda: session.relevance(
        composite=EpsilonGammaBox(-3, 3, gamma=0.25 + next(moved) / 1e3)
    )
    todo["  session: ε moved"] = lambda: session.relevance(composite=EpsilonGammaBox(-3, 3, epsilon=1e-6 * next(moved)))
    todo["  session: another class"] = lambda: session.relevance(target=next(moved) % 1000, composite=box)
    return todo


def peers(model: nn.Module, x: Tensor) -> dict[str, Callable[[], object]]:
    """Do the same by zennit and captum, as far as they are installed."""
    todo: dict[str, Callable[[], object]] = {}
    try:
        import zennit.canonizers as zc
        import zennit.composites as z

        kind = zc.SequentialMergeBatchNorm if type(model).__name__ == "VGG" else None
        if kind is None:
            from zennit.torchvision import ResNetCanonizer as kind
        made = {
            "ε, z⁺, flat": z.EpsilonPlusFlat(canonizers=[kind()]),
            "ε, γ, zᴮ": z.EpsilonGammaBox(low=-3.0, high=3.0, canonizers=[kind()]),
        }
        for name, composite in made.items():
            todo[f"zennit {name}"] = lambda c=composite: _zennit(c, model, x)
    except ImportError:
        print("zennit is not installed")
    try:
        from captum.attr import LRP

        if type(model).__name__ == "VGG":
            todo["captum ε everywhere"] = lambda: LRP(model).attribute(x.clone(), target=0)
    except ImportError:
        print("captum is not installed")
    return todo


def _zennit(composite: object, model: nn.Module, x: Tensor) -> None:
    with composite.context(model) as modified:  # type: ignore[attr-defined]
        forward_backward(modified, x)


def table(name: str, batch: int, rounds: int) -> None:
    """Print one table."""
    model, x = network(name), torch.randn(batch, 3, 224, 224)
    own = ours(model, x)
    todo: dict[str, Callable[[], object]] = {"forward + backward": lambda: forward_backward(model, x)}
    todo |= own | peers(model, x)
    times: dict[str, list[float]] = {label: [] for label in todo}
    for run in todo.values():
        run()
    for _ in range(rounds):
        for label, run in todo.items():
            start = time.perf_counter()
            run()
            times[label].append(time.perf_counter() - start)
        # The peers change the model and put it back; a changed model is read anew, which is no part of an explanation.
        for run in own.values():
            run()
    unit = statistics.median(times["forward + backward"])
    print(f"\n{name}, batch {batch}, {torch.get_num_threads()} threads, float32, median of {rounds}")
    for label, seconds in times.items():
        print(f"  {label:28s} {statistics.median(seconds) * 1e3:9.1f} ms  {statistics.median(seconds) / unit:6.2f} FB")
    for label in ("forward + backward", *(f"lrp_explorer {name}" for name in COMPOSITES)):
        print(
            f"  peak memory, {label:28s} {peak(todo[label]) / 2**20:7.0f} MiB of tensors over the model and its input"
        )


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vgg16", "resnet18"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in chosen.models:
        for batch in chosen.batches:
            table(name, batch, chosen.rounds)


if __name__ == "__main__":
    main()

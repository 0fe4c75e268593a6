"""What reaches the input, and how large relevance grows: the tables of docs/stability.md.

    python tests/bench/bench_conservation.py [splits] [families]

In float64, on two images, networks as published with ten classes, He weights, and batch norms that have the statistics
of what they see, as after training. Minutes for both.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

sys.path.insert(0, str(Path(__file__).parents[1]))

from oracles.families import PIECEWISE_LINEAR

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonGammaBox, EpsilonPlusFlat, Uniform

EDGE = {"inception_v3": 96}
SPLITS = ("resnet18", "resnet50", "densenet121", "vit_b_32")


def seen(name: str) -> tuple[nn.Module, Tensor]:
    """Build a network whose batch norms have seen the data, and two examples."""
    torch.manual_seed(0)
    edge = EDGE.get(name, 64)
    options = {"image_size": edge} if name.startswith("vit") else {}
    options |= {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model = models.get_model(name, weights=None, num_classes=10, **options).double()
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            # The average of the batches, not a trace of the start.
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    x = torch.randn(16, 3, edge, edge, dtype=torch.float64).clamp(-2.0, 2.0)
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        model.train()
        with torch.no_grad():
            for _ in range(4):
                model(x)
    return model.eval().requires_grad_(False), x[:2]


def told(relevance: lrp.Relevance) -> str:
    """Largest |R| at the input and in any layer, and ΣR / f(x) of each example."""
    f = relevance.logits.gather(1, relevance.target[:, None])[:, 0]
    ratios = ", ".join(f"{value:.3g}" for value in relevance.input.flatten(1).sum(1) / f)
    largest = max(float(relevance[layer].abs().max()) for layer in relevance.layers)
    return f"{float(relevance.input.abs().max()):.1e}, {largest:.1e}; {ratios}"


def splits() -> None:
    """Print how sums of two branches behave under both splits."""
    print("| network | composite | signed: max abs R at the input, anywhere; ΣR/f | by magnitude: the same |")
    print("|---|---|---|---|")
    for name in SPLITS:
        session = lrp.Session(*seen(name))
        # One rule for everything leaves no choice to `split`.
        zero = Uniform(rules.Zero(stabilizer=0.0))
        shared = zero.override({node.name: rules.Magnitude() for node in session.graph if node.kind == "sum"})
        # Norms are passed over here; what they do is told by bench_transformers.py.
        norms = {node.name: rules.NormIdentity() for node in session.graph if node.kind == "layer_norm"}
        for label, pair in {
            "epsilon-plus-flat": [EpsilonPlusFlat(split=split) for split in ("signed", "magnitude")],
            "epsilon-gamma-box": [EpsilonGammaBox(-2, 2, split=split) for split in ("signed", "magnitude")],
            "uniform LRP-0": [zero, shared],
        }.items():
            cells = [told(session.relevance(composite=composite.override(norms))) for composite in pair]
            print("|", " | ".join([name, label, *cells]), "|", flush=True)


def families() -> None:
    """Print what reaches the input under one composite."""
    print("| network | epsilon-plus-flat: max abs R at the input, anywhere; ΣR/f |\n|---|---|")
    for name in PIECEWISE_LINEAR:
        print("|", name, "|", told(lrp.explain(*seen(name), composite=EpsilonPlusFlat())), "|", flush=True)


def main() -> None:
    """Print the tables that are asked for, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["splits", "families"])
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for what in parser.parse_args().what:
        {"splits": splits, "families": families}[what]()
        print()


if __name__ == "__main__":
    main()

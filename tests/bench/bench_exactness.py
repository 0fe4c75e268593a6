"""How exact every family of torchvision is, composite by composite: the table of docs/exactness.md.

    python tests/bench/bench_exactness.py [resnet18 vit_b_32 …]

In float64, on two images at a small resolution, networks as published (MaxViT narrower) with random weights that all
count. Each error is the largest difference over the largest relevance. Minutes for all families.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from oracles.by_zennit import COMPOSITES, HIGH, LOW, by_zennit
from oracles.eager import Found, explain, recipes
from oracles.families import OTHERS, PIECEWISE_LINEAR, published

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform

OURS = {name: ours for name, (ours, _) in COMPOSITES.items()} | {"uniform LRP-0": Uniform(rules.Zero(stabilizer=0.0))}
# zennit shares the sums of these networks, and folds their batch norms; of others it takes the plain gradient.
BY_ZENNIT = tuple("alexnet vgg resnet resnext wide_resnet squeezenet".split())


def error(found: Tensor, wanted: Tensor) -> float:
    """Largest difference over the largest value; a layer that receives nothing must receive exactly nothing."""
    largest, difference = wanted.abs().max(), (found.reshape(wanted.shape) - wanted).abs().max()
    return float(difference / largest) if largest > 0 else float("inf") if difference > 0 else 0.0


def inside(session: lrp.Session, relevance: lrp.Relevance, expected: Found) -> float:
    """Largest error of the layers with weights, each relative to its own largest relevance."""
    weighted = [node.name for node in session.graph if node.inputs and node.kind in ("convolution", "linear")]
    return max(
        error(relevance[layer], relevance[layer].new_zeros(1) if wanted is None else wanted)
        for layer, wanted in zip(weighted, expected.weighted, strict=True)
    )


def input_times_gradient(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The identity that LRP-0 obeys on piecewise linear networks."""
    leaf = x.clone().requires_grad_()
    return x * torch.autograd.grad(model(leaf).gather(1, target[:, None]).sum(), leaf)[0]


def row(name: str) -> list[str]:
    """Errors of one network: each composite at the input, all layers inside, zennit's composites, the identity."""
    model, x = published(name)
    model.requires_grad_(False)
    session = lrp.Session(model, x, device="cpu")
    target = session.logits.argmax(1)
    theirs = recipes(*(torch.tensor(bound, dtype=x.dtype).view(3, 1, 1) for bound in (LOW, HIGH)))
    at_input, layers, zennit, identity = [], [], [], "–"
    for composite, ours in OURS.items():
        relevance = session.relevance(target=target, composite=ours)
        expected = explain(model, x, target, theirs[composite])
        at_input.append(error(relevance.input, expected.input))
        layers.append(inside(session, relevance, expected))
        if composite in COMPOSITES and name.startswith(BY_ZENNIT):
            zennit.append(error(relevance.input, by_zennit(model, x, target, composite, "")[0]))
        elif composite not in COMPOSITES and name in PIECEWISE_LINEAR:
            identity = f"{error(relevance.input, input_times_gradient(model, x, target)):.1e}"
    worst = f"{max(zennit):.1e}" if zennit else "–"
    return [name, *(f"{value:.1e}" for value in (*at_input, max(layers))), worst, identity]


def main() -> None:
    """Print the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; all families by default")
    names = parser.parse_args().names or [*PIECEWISE_LINEAR, *OTHERS]
    # Grouped convolutions in float64 wait for each other on several threads.
    torch.set_num_threads(1)
    header = ["network", *OURS, "layers inside", "zennit", "input × gradient"]
    print("|", " | ".join(header), "|")
    print("|" + "---|" * len(header))
    for name in names:
        print("|", " | ".join(row(name)), "|", flush=True)


if __name__ == "__main__":
    main()

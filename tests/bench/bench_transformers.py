"""How sums and norms had best be shared in trained transformers: the tables of docs/stability.md.

    python tests/bench/bench_transformers.py FOLDER [vit swin mixer]

Trains a small ViT, Swin and MLP-Mixer on MNIST (found in or downloaded to FOLDER), minutes each on one core, and
explains 200 test images under every split of sums and every rule of norms. Weights are kept in FOLDER.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.datasets import MNIST
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Composite, EpsilonPlus

IMAGES, STEPS = 200, 28


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al. 2021, arXiv:2105.01601) of 49 patches."""

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {"tokens": _mlp(width, 49, 64), "channels": _mlp(width, width, 128)},
            )
            for _ in range(depth)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            norm, mlp = block["tokens"]
            x = x + mlp(norm(x).transpose(1, 2)).transpose(1, 2)
            norm, mlp = block["channels"]
            x = x + mlp(norm(x))
        return self.head(self.norm(x).mean(1))


def _mlp(width: int, mixed: int, hidden: int) -> nn.ModuleList:
    return nn.ModuleList(
        [nn.LayerNorm(width), nn.Sequential(nn.Linear(mixed, hidden), nn.GELU(), nn.Linear(hidden, mixed))]
    )


def vit() -> nn.Module:
    """Build torchvision's ViT of four blocks on 4×4 patches, grey images."""
    model = VisionTransformer(28, 4, 4, 4, 64, 128, num_classes=10)
    model.conv_proj = nn.Conv2d(1, 64, 4, 4)
    return model


def swin() -> nn.Module:
    """Build torchvision's Swin of two stages of two blocks on 2×2 patches, grey images."""
    model = SwinTransformer([2, 2], 32, [2, 2], [2, 4], [7, 7], stochastic_depth_prob=0.0, num_classes=10)
    model.features[0][0] = nn.Conv2d(1, 32, 2, 2)
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {"vit": vit, "swin": swin, "mixer": Mixer}


def digits(folder: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Images ``(count, 1, 28, 28)`` in [0, 1], and labels."""
    data = MNIST(str(folder), train=train, download=True)
    return data.data[:, None].float() / 255, data.targets


def trained(name: str, folder: Path, epochs: int, images: int) -> nn.Module:
    """Train a network, or take the weights of an earlier run."""
    torch.manual_seed(0)
    model, file = MODELS[name](), folder / f"{name}-{epochs}-{images}.pt"
    if file.exists():
        model.load_state_dict(torch.load(file, weights_only=True))
        return model.eval()
    x, y = (part[:images] for part in digits(folder, True))
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * (len(x) // 128))
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(128)[: len(x) // 128]:
            optimiser.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    torch.save(model.state_dict(), file)
    return model.eval()


@dataclass(frozen=True)
class Setting:
    """One way to share: which split of sums, which rule of norms, which rule of attention."""

    split: str
    norm: str
    attention: str

    def composite(self, session: lrp.Session) -> Composite:
        """ε for dense layers, z⁺ for the patches."""
        norm = rules.NormIdentity() if self.norm == "identity" else rules.Epsilon()
        kinds = {"layer_norm": norm}
        if self.attention == "CP-LRP":
            kinds["attention"] = rules.Attention(through_softmax=False)
        by_name = {node.name: kinds[node.kind] for node in session.graph if node.kind in kinds and node.inputs}
        return EpsilonPlus(split=self.split).override(by_name)  # type: ignore[arg-type]


def settings(name: str) -> Iterator[Setting]:
    """Every split with every rule of norms, and ViT with both rules of attention."""
    for attention in ("AttnLRP", "CP-LRP") if name == "vit" else ("AttnLRP",) if name == "swin" else ("–",):
        for norm in ("ε", "identity"):
            for split in ("signed", "magnitude"):
                yield Setting(split, norm, attention)


def flipped(model: nn.Module, x: Tensor, target: Tensor, order: Tensor, fill: str) -> float:
    """Area under the target's probability while pixels go in `order` ``(batch, pixels)``, in equal steps."""
    pixels, other = x.flatten(1), (torch.zeros_like(x) if fill == "black" else 1 - x).flatten(1)
    ranks = order.argsort(1)
    found = []
    for step in range(STEPS + 1):
        gone = ranks < step * ranks.shape[1] // STEPS
        changed = torch.where(gone, other, pixels).reshape(x.shape)
        with torch.no_grad():
            found.append(float(model(changed).softmax(1).gather(1, target[:, None]).mean()))
    return sum((a + b) / 2 for a, b in pairwise(found)) / STEPS


def areas(model: nn.Module, x: Tensor, target: Tensor, relevance: Tensor, fill: str) -> tuple[float, float]:
    """Areas with the most and with the least relevant pixels first."""
    order = relevance.flatten(1).argsort(1, descending=True)
    return flipped(model, x, target, order, fill), flipped(model, x, target, order.flip(1), fill)


def measured(session: lrp.Session, model: nn.Module, x: Tensor, setting: Setting) -> list[str]:
    """Growth of Σ|R|, what arrives, and how well the order of the pixels tells what counts."""
    target = session.logits.argmax(1)
    relevance = session.relevance(target=target, composite=setting.composite(session))
    f = relevance.logits.gather(1, target[:, None])[:, 0].double()

    def size(layer: str) -> float:
        # Of all examples together: torchvision's attention has tokens on the first axis.
        return float(relevance[layer].double().abs().sum() / f.abs().sum())

    largest = max(size(layer) for layer in relevance.layers)
    ratio = relevance.input.double().flatten(1).sum(1) / f
    quantiles = ratio.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)).tolist()
    cells = [f"{largest:.3g}", f"{size('input'):.3g}"]
    cells.append(f"{quantiles[1]:.3g} ({quantiles[0]:.2g} to {quantiles[2]:.2g})")
    for fill in ("black", "inverted"):
        most, least = areas(model, x, target, relevance.input, fill)
        cells.append(f"{most:.3f}, {least:.3f}, {least - most:.3f}")
    return cells


def main() -> None:
    """Train, explain, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", choices=[[], *MODELS], default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=60000, help="images that are trained on")
    given = parser.parse_args()
    x, y = digits(given.folder, False)
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:IMAGES]
    for name in given.models or MODELS:
        model = trained(name, given.folder, given.epochs, given.images)
        with torch.no_grad():
            right = float((model(x[:2000]).argmax(1) == y[:2000]).float().mean())
        some = x[chosen]
        session = lrp.Session(model, some, device="cpu")
        target = session.logits.argmax(1)
        random = torch.rand(IMAGES, 784, generator=torch.Generator().manual_seed(1))
        chance = [flipped(model, some, target, random.argsort(1), fill) for fill in ("black", "inverted")]
        print(
            f"{name}: accuracy {right:.3f}; random order: black {chance[0]:.3f}, inverted {chance[1]:.3f}", flush=True
        )
        for setting in settings(name):
            cells = [name, setting.attention, setting.norm, setting.split, *measured(session, model, some, setting)]
            print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()

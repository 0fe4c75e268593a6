"""Train our own small models: ``python -m lrp_explorer.zoo.train NAME [--data FOLDER]``.

Reproducible: the seed sets initial weights, order and distortions, and one thread computes, so the same command gives
the same bits on the same kind of machine. Each picture is distorted a little every time it is seen (turned, scaled,
sheared, shifted), and weight decay is part of the gradient: weights of pixels that never carry ink then go to zero
instead of keeping their random start, which would show as noise in an explanation's background. The lower of two digits
does carry ink, only none that matters: there the decay alone is too weak, so its weights are thresholded as well.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from lrp_explorer.errors import DataError, unknown_name
from lrp_explorer.writing import write_together
from lrp_explorer.zoo import digits
from lrp_explorer.zoo.checkpoints import state_digest
from lrp_explorer.zoo.downloads import DOWNLOADS
from lrp_explorer.zoo.recipes import BATCH, DECAY, RATE, RECIPES, Recipe, pace, shrink
from lrp_explorer.zoo.shipped import CHECKSUMS, DIGITS, SHIPPED, read_checksums
from lrp_explorer.zoo.two_digits import SINGLES, DigitPairs

NEGLIGIBLE = 1e-8
"""Weights below are set to zero at the end: they change no sum in float32, and the least of them slow processors."""


@dataclass(frozen=True)
class Trained:
    """What a training gives.

    Attributes
    ----------
    model : nn.Module
        In evaluation mode.
    accuracy : float
        Share of held-out examples classified correctly, in [0, 1].
    facts : dict of str to str
        What is written beside the weights: accuracy, data, date, command, seed, versions, digest.
    """

    model: nn.Module
    accuracy: float
    facts: dict[str, str]


def train(
    name: str,
    data: Path | None = None,
    epochs: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    progress: bool = True,
) -> Trained:
    """Train one of our models from scratch and measure it on held-out examples.

    Parameters
    ----------
    name : str
        `digits-mlp`, `digits-cnn`, `mnist-mlp`, `mnist-cnn`, `two-digits-mlp`, `two-digits-cnn` or
        `two-digits-mnist-mlp`.
    data : Path, optional
        Folder with MNIST in TorchVision's layout (`MNIST/raw/…`); otherwise it is downloaded into the cache folder.
    epochs : int, optional
        Passes over the training examples; those of its recipe otherwise.
    seed : int
        Of initial weights, order and distortions.
    limit : int, optional
        Use this many training examples only.
    progress : bool
        Show a progress bar.

    Raises
    ------
    UnknownNameError
        If the model is not one of ours.
    DataError
        If the data are missing or damaged, or fewer than one epoch is asked for.
    """
    ours = {model.name: model for model in SHIPPED}
    if name not in ours:
        raise unknown_name("model", name, ours, "TorchVision's models come trained.")
    recipe = RECIPES[name] if epochs is None else replace(RECIPES[name], epochs=epochs)
    epochs = recipe.epochs
    if epochs < 1 or (limit is not None and limit < 1):
        raise DataError(f"epochs={epochs} and limit={limit} were given; expected at least 1 of each")
    source = ours[name].datasets[0]
    pictures, labels = _read(source, "train", data)
    with _reproducible(seed) as generator:
        model = ours[name].network()
        _fit(model, pictures[:limit], labels[:limit], recipe, generator, name if progress else None)
        accuracy = measure(model, *_read(source, "test", data))
    return Trained(model, accuracy, _facts(name, source, accuracy, epochs, seed, data is not None, model))


@contextmanager
def _reproducible(seed: int) -> Iterator[torch.Generator]:
    """Seed the initial weights and compute on one thread: sums in another order would differ in the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield torch.Generator().manual_seed(seed)
    finally:
        torch.set_num_threads(threads)


def _read(source: str, split: str, folder: Path | None) -> tuple[Tensor, Tensor]:
    single = SINGLES.get(source, source)
    if single == "digits":
        values, labels = digits.load(split)
    else:
        values, labels = next(download for download in DOWNLOADS if download.name == single).load(split, folder)
    if single != source:
        values = DigitPairs(np.asarray(values), tuple(labels), DIGITS).pixels(range(len(values)))
    return torch.from_numpy(np.array(values))[:, None].float() / 255, torch.tensor(labels)


def _fit(
    model: nn.Module, pictures: Tensor, labels: Tensor, recipe: Recipe, generator: torch.Generator, title: str | None
) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY)
    steps = recipe.epochs * math.ceil(len(pictures) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: pace(step, steps))
    model.train()
    with tqdm(total=steps, desc=title, unit="batch", disable=title is None) as bar:
        for _ in range(recipe.epochs):
            for batch in torch.randperm(len(pictures), generator=generator).split(BATCH):
                loss = functional.cross_entropy(model(recipe.vary(pictures[batch], generator)), labels[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                if recipe.shrinkage:
                    shrink(model, recipe.shrinkage * optimiser.param_groups[0]["lr"])
                schedule.step()
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[parameter.abs() < NEGLIGIBLE] = 0
    model.eval()


def measure(model: nn.Module, pictures: Tensor, labels: Tensor) -> float:
    """Give the share of pictures `(batch, 1, height, 28)` whose label `(batch,)` the model predicts."""
    with torch.inference_mode():
        hits = sum(
            int((model(some).argmax(dim=1) == true).sum())
            for some, true in zip(pictures.split(1000), labels.split(1000), strict=True)
        )
    return hits / len(labels)


def _facts(
    name: str, source: str, accuracy: float, epochs: int, seed: int, from_folder: bool, model: nn.Module
) -> dict[str, str]:
    where = " --data FOLDER" if from_folder else ""
    return {
        "model": name,
        "data": source,
        "accuracy": f"{accuracy:.4f}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": f"python -m lrp_explorer.zoo.train {name}{where} --epochs {epochs} --seed {seed}",
        "seed": str(seed),
        "torch": torch.__version__,
        "sha256_of_tensors": state_digest(model.state_dict()),
    }


def save(trained: Trained, folder: Path) -> Path:
    """Write weights and facts as `NAME.safetensors` into a folder, and their checksum into its `SHA256SUMS`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{trained.facts['model']}.safetensors"
    content = to_bytes(trained.model.state_dict(), metadata=trained.facts)
    known = {**read_checksums(folder), path.name: hashlib.sha256(content).hexdigest()}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(known.items())]
    write_together({path: content, folder / CHECKSUMS: "".join(lines).encode()})
    return path


def main(arguments: list[str] | None = None) -> None:
    """Train, save, and say how good the model is."""
    parser = argparse.ArgumentParser(
        prog="python -m lrp_explorer.zoo.train", description="Train one of our own models."
    )
    parser.add_argument("name", choices=[model.name for model in SHIPPED])
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="folder that holds MNIST/raw; else it is downloaded"
    )
    parser.add_argument("--epochs", type=int, help="passes over the training examples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where to write; here by default")
    options = parser.parse_args(arguments)
    trained = train(options.name, options.data, options.epochs, options.seed)
    path = save(trained, options.out)
    print(f"{path}: {100 * trained.accuracy:.2f} % of the held-out examples of {trained.facts['data']}")


if __name__ == "__main__":
    main()

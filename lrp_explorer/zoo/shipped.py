"""Our own trained models: which there are, and their weights in this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lrp_explorer.errors import WeightsError
from lrp_explorer.zoo.cards import ModelCard
from lrp_explorer.zoo.checkpoints import file_digest
from lrp_explorer.zoo.networks import digit_cnn, digit_mlp
from lrp_explorer.zoo.preprocessing import Unit

WEIGHTS = Path(__file__).parent / "weights"
CHECKSUMS = "SHA256SUMS"
DIGITS = tuple("0123456789")
OWN_PAIRS = ("two-digits", "two-digits-mnist")
MNIST_PAIRS = OWN_PAIRS[::-1]


@dataclass(frozen=True)
class ShippedModel:
    """A network of ours, with the data it was trained on.

    Attributes
    ----------
    name, title : str
        For `load_model` and for a reader.
    network : callable
        Builds it, freshly initialised.
    datasets : tuple of str
        What it fits; it was trained on the first.
    height : int
        Of its pictures, in pixels; their width is 28.
    """

    name: str
    title: str
    network: Callable[[], nn.Module]
    datasets: tuple[str, ...]
    height: int = 28

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.network().parameters())

    def card(self, weights: Path | None = None) -> ModelCard:
        """Give the model's card; accuracy and source are read from the head of the weights file."""
        facts = read_facts(WEIGHTS / f"{self.name}.safetensors")
        preprocessing = Unit(self.height)
        return ModelCard(
            name=self.name,
            title=self.title,
            classes=DIGITS,
            input_shape=(1, self.height, 28),
            mean=(0.0,),
            std=(1.0,),
            low=(0.0,),
            high=(1.0,),
            preprocess=preprocessing,
            to_image=preprocessing.to_image,
            datasets=self.datasets,
            licence="BSD-3-Clause, as this package",
            source=f"trained by this package: {facts['command']}",
            accuracy=float(facts["accuracy"]),
            notes=f"Trained on {facts['data']} on {facts['date']}, seed {facts['seed']}, PyTorch {facts['torch']}.",
        )

    def build(self, weights: Path | None) -> nn.Module:
        """Give the network, freshly initialised."""
        return self.network()

    def fetch(self) -> Path:
        """Give the packaged weights file, its checksum verified."""
        path = WEIGHTS / f"{self.name}.safetensors"
        if not path.is_file():
            raise WeightsError(f"the packaged weights {path.name!r} are missing; install lrp-explorer again")
        expected = read_checksums(WEIGHTS).get(path.name)
        if file_digest(path) != expected:
            raise WeightsError(
                f"the packaged weights {path.name!r} do not have the SHA-256 of {CHECKSUMS} ({expected}); install "
                "lrp-explorer again"
            )
        return path

    def adapt(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Give the state dict in today's names: ours never had others."""
        return state


@cache
def read_facts(path: Path) -> dict[str, str]:
    """Read what the training wrote into the head of a weights file; the weights themselves stay on disk."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"the packaged weights {path.name!r} cannot be read ({error}); install lrp-explorer again"
        ) from error


def read_checksums(folder: Path) -> dict[str, str]:
    """Read the checksum of each weights file of a folder, by file name; none where the list is missing."""
    path = folder / CHECKSUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: digest for digest, name in (line.split() for line in lines)}


SHIPPED = (
    ShippedModel("digits-cnn", "Digits CNN", digit_cnn, ("digits", "mnist")),
    ShippedModel("digits-mlp", "Digits MLP 784-300-100-10", digit_mlp, ("digits", "mnist")),
    ShippedModel("mnist-cnn", "MNIST CNN", digit_cnn, ("mnist", "digits")),
    ShippedModel("mnist-mlp", "MNIST MLP 784-300-100-10", digit_mlp, ("mnist", "digits")),
    ShippedModel("two-digits-cnn", "Two digits CNN", partial(digit_cnn, 56), OWN_PAIRS, 56),
    ShippedModel("two-digits-mlp", "Two digits MLP 1568-200-100-10", partial(digit_mlp, 56, 200), OWN_PAIRS, 56),
    ShippedModel(
        "two-digits-mnist-mlp", "Two MNIST digits MLP 1568-200-100-10", partial(digit_mlp, 56, 200), MNIST_PAIRS, 56
    ),
)
"""The first is what the explorer begins with: every composite shows something on a convolutional network."""

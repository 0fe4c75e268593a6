"""TorchVision's small data sets, kept in a cache folder and downloaded at first use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrp_explorer.errors import DataError

CACHE_VARIABLE = "LRP_EXPLORER_CACHE"


def cache_folder() -> Path:
    """Give the folder of downloaded data sets: `LRP_EXPLORER_CACHE`, or `~/.cache/lrp_explorer`."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/lrp_explorer").expanduser()


@dataclass(frozen=True)
class Download:
    """A data set of TorchVision.

    Attributes
    ----------
    name : str
        Ours.
    kind : str
        TorchVision's class.
    classes : tuple of str
        Class names by label.
    """

    name: str
    kind: str
    classes: tuple[str, ...]

    def load(self, split: str, folder: Path | None = None) -> tuple[np.ndarray, list[int]]:
        """Give the pictures, uint8 `(examples, height, width)` or `(examples, height, width, 3)`, and the labels.

        Parameters
        ----------
        split : str
            `"train"` or `"test"`.
        folder : Path, optional
            Where TorchVision's layout begins; the cache folder otherwise.

        Raises
        ------
        DataError
            If files are missing and cannot be downloaded, or are damaged.
        """
        from torchvision import datasets

        kind = getattr(datasets, self.kind)
        folder = folder or cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            data = kind(folder, train=split == "train", download=True)
        except (OSError, RuntimeError) as error:
            files, place = self._files(kind, folder)
            raise DataError(
                f"the data set {self.name!r} is not on this machine and could not be downloaded ({_last_line(error)}). "
                f"Missing or damaged: {', '.join(files)}. Put them into {place}, or name another cache folder in the "
                f"environment variable {CACHE_VARIABLE}"
            ) from error
        except Exception as error:  # a file of the right name with the wrong content
            place = self._files(kind, folder)[1]
            raise DataError(
                f"the data set {self.name!r} in {place} is damaged ({type(error).__name__}: {error}); delete that "
                "folder and load it again"
            ) from error
        return np.asarray(data.data), [int(label) for label in data.targets]

    @staticmethod
    def _files(kind: Any, folder: Path) -> tuple[list[str], Path]:
        if hasattr(kind, "resources"):  # the MNIST family
            place = folder / kind.__name__ / "raw"
            files = [file for file, _ in kind.resources]
            return [file for file in files if not (place / file.removesuffix(".gz")).exists()] or files, place
        return [kind.filename], folder


def _last_line(error: Exception) -> str:
    return str(error).strip().split("\n")[-1]


DOWNLOADS = (
    Download("mnist", "MNIST", tuple("0123456789")),
    Download(
        "fashion-mnist",
        "FashionMNIST",
        ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    Download("kmnist", "KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
    Download(
        "cifar10",
        "CIFAR10",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
)

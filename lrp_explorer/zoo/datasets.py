"""Data sets by name, each preprocessed for the model that is to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lrp_explorer.errors import DataError, InputError, unknown_name
from lrp_explorer.registry import Registry
from lrp_explorer.zoo import digits
from lrp_explorer.zoo.cards import ModelCard
from lrp_explorer.zoo.downloads import DOWNLOADS, Download
from lrp_explorer.zoo.examples import Examples, ImageDataset, Pixels
from lrp_explorer.zoo.folders import read_folder, sample_photographs
from lrp_explorer.zoo.preprocessing import Preprocessing, Unit
from lrp_explorer.zoo.torchvision_models import standard_preprocessing
from lrp_explorer.zoo.two_digits import SINGLES, DigitPairs

FOLDER = "folder:"
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Entry:
    """A registered data set.

    Attributes
    ----------
    load : callable
        From a split to its examples.
    preprocessing : callable
        Gives the data set's own preprocessing, for use without a model card.
    splits : tuple of str
        Those it has.
    """

    load: Callable[[str], Examples]
    preprocessing: Callable[[], Preprocessing]
    splits: tuple[str, ...] = SPLITS


def _downloaded(download: Download) -> Callable[[str], Pixels]:
    def load(split: str) -> Pixels:
        values, labels = download.load(split)
        return Pixels(values, tuple(labels), download.classes)

    return load


def _own_digits(split: str) -> Pixels:
    return Pixels(*digits.load(split), tuple("0123456789"))


def _pairs(load: Callable[[str], Pixels]) -> Callable[[str], Examples]:
    def load_pairs(split: str) -> Examples:
        single = load(split)
        return DigitPairs(single.values, single.labels, single.classes)

    return load_pairs


_PIXELS = {"digits": _own_digits, **{download.name: _downloaded(download) for download in DOWNLOADS}}
_REGISTRY = Registry[Entry]("data set")
for _name, _load in _PIXELS.items():
    _REGISTRY.register(_name, Entry(_load, partial(Unit, 32, 32, channels=3) if _name == "cifar10" else Unit))
for _name, _single in SINGLES.items():
    _REGISTRY.register(_name, Entry(_pairs(_PIXELS[_single]), partial(Unit, height=56)))
_REGISTRY.register("photographs", Entry(lambda split: sample_photographs(), standard_preprocessing, ("test",)))


def datasets() -> list[str]:
    """Name every data set; besides these, `folder:PATH` loads images of one's own."""
    return _REGISTRY.names()


def load_dataset(name: str, split: str = "test", card: ModelCard | None = None) -> ImageDataset:
    """Load a data set, preprocessed for a model.

    Parameters
    ----------
    name : str
        One of `datasets()`, or `folder:PATH` for images in a folder or in its class sub-folders.
    split : str
        `"train"` or `"test"`; photographs and folders have `"test"` only.
    card : ModelCard, optional
        Whose preprocessing is used, `model.card`. Without one: values in [0, 1] at the data set's own size; for
        photographs and folders what most ImageNet models share (224×224, ImageNet's mean and deviation).

    Returns
    -------
    ImageDataset
        A torch data set of `(tensor (channels, height, width), label)`. Photographs and images that lie directly in a
        folder are unlabelled: their label is −1 and `classes` is empty. Class sub-folders that are all named after
        classes of the card have its indices as labels.

    Raises
    ------
    UnknownNameError
        If there is no such data set or split.
    DataError
        If it is missing and cannot be downloaded, is empty or damaged, or does not have the split.
    InputError
        If the card is not a `ModelCard`.
    """
    if card is not None and not isinstance(card, ModelCard):
        raise InputError(f"card is a {type(card).__name__}; expected a ModelCard, such as model.card")
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    entry = _folder(name, card) if str(name).startswith(FOLDER) else _named(name)
    if split not in entry.splits:
        raise DataError(
            f"the data set {name!r} has no {split!r} split; expected {' or '.join(map(repr, entry.splits))}"
        )
    examples = entry.load(split)
    if card is not None:
        return ImageDataset(name, examples, card.preprocess, card.to_image)
    preprocessing = entry.preprocessing()
    return ImageDataset(name, examples, preprocessing, preprocessing.to_image)


def _named(name: str) -> Entry:
    if name not in datasets():
        raise unknown_name("data set", name, datasets(), "Images of your own: folder:PATH.")
    return _REGISTRY.get(name)


def _folder(name: str, card: ModelCard | None) -> Entry:
    path = Path(name.removeprefix(FOLDER)).expanduser()
    return Entry(lambda split: read_folder(path, card.classes if card else ()), standard_preprocessing, ("test",))

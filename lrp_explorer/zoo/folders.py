"""Pictures in files: a folder of one's own, and scikit-learn's two sample photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lrp_explorer.errors import DataError
from lrp_explorer.zoo.examples import UNLABELLED
from lrp_explorer.zoo.images import SUFFIXES, open_image


@dataclass(frozen=True)
class Files:
    """Image files with labels; a picture is opened when it is asked for.

    Attributes
    ----------
    paths : tuple of Path
        One for each example.
    labels : tuple of int
        Indices into `classes`, or `UNLABELLED` throughout.
    classes : tuple of str
        Class names; empty without labels.
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def picture(self, index: int) -> Image.Image:
        """Open the picture of one example, RGB."""
        return open_image(self.paths[index])

    def caption(self, index: int) -> str:
        """Give the file's name."""
        return self.paths[index].name


def read_folder(folder: Path, known: Sequence[str] = ()) -> Files:
    """List the images of a folder, or of its class sub-folders, without opening them.

    Parameters
    ----------
    folder : Path
        Images directly in it are unlabelled. If there are none, each sub-folder with images is a class.
    known : sequence of str, optional
        A model's classes: if every sub-folder is named after one of them, labels are indices into these.

    Raises
    ------
    DataError
        If the folder is missing, holds no image, or holds images both directly and in sub-folders.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"the folder {str(folder)!r} {what}; give a folder of images as 'folder:PATH'")
    direct = _images_in(folder)
    groups = {sub.name: images for sub in sorted(folder.iterdir()) if sub.is_dir() and (images := _images_in(sub))}
    if not direct and not groups:
        raise DataError(
            f"the folder {str(folder)!r} holds no images; expected files ({', '.join(SUFFIXES)}) in it or in one "
            "sub-folder for each class"
        )
    if direct and groups:
        raise DataError(
            f"the folder {str(folder)!r} holds images both directly ({direct[0].name!r}, …) and in sub-folders "
            f"({next(iter(groups))!r}, …); expected one or the other. Move those that have no class elsewhere"
        )
    if direct:
        return Files(tuple(direct), (UNLABELLED,) * len(direct), ())
    classes = tuple(known) if set(groups) <= set(known) else tuple(groups)
    pairs = [(path, classes.index(name)) for name, paths in groups.items() for path in paths]
    return Files(tuple(path for path, _ in pairs), tuple(label for _, label in pairs), classes)


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def sample_photographs() -> Files:
    """List scikit-learn's two sample photographs (china.jpg, flower.jpg; CC BY 2.0).

    They are unlabelled: their names are no classes of ImageNet, and no class of it was ever assigned to them.
    """
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    return read_folder(folder)

"""Weights from files: data, never code."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from lrp_explorer.errors import WeightsError
from lrp_explorer.zoo.formats import Kind, kind_of
from lrp_explorer.zoo.state_dicts import Part, likeliest, parts
from lrp_explorer.zoo.unpickling import load_pickle, refused


def read_parts(path: str | os.PathLike[str]) -> list[Part]:
    """Read every mapping of names to tensors from a local file, without running anything in it.

    The content of the file says what it is, not its name: a `.ckpt`, `.bin`, `.pth.tar`, or no ending at all.

    Parameters
    ----------
    path : str or PathLike
        Written by `torch.save`, which is read with `weights_only=True`, or a file of safetensors.

    Returns
    -------
    list of Part
        At least one; tensors on the CPU, as stored. The version notes that PyTorch keeps beside a state dict are kept.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of another kind, or contains no tensors by name.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise WeightsError(
            f"there is no weights file {str(path)!r}; give the path of a file with a state dict, None for the "
            "published weights, or 'random' for a fresh initialisation"
        )
    absent: tuple[str, ...] = ()
    try:
        if kind_of(path) is Kind.SAFETENSORS:
            content = load_file(path)
        else:
            content, absent = load_pickle(path)
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise WeightsError(
            f"the weights file {path.name!r} is damaged or of another kind ({type(error).__name__}: "
            f"{_first_line(error)}); fetch it again"
        ) from error
    try:
        return parts(content, path.name)
    except WeightsError:
        if absent:
            raise refused(path.name, absent) from None
        raise


def read_state(path: str | os.PathLike[str]) -> Mapping[str, Tensor]:
    """Read a state dict from a local file without knowing its model: the largest, the model's own before averages.

    What `DataParallel`, averaged models and `torch.compile` leave before its names is taken off. Parameters and errors
    are those of `read_parts`.
    """
    return likeliest(read_parts(path)).state


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Give the SHA-256 of names, shapes, dtypes and values, whatever file they are in."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()

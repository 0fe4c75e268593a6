"""Weights from files: data, never code."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lrp_explorer.errors import WeightsError

SUFFIXES = (".pt", ".pth", ".safetensors")
WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.")  # left by DataParallel and torch.compile


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a state dict from a local file without running anything in it.

    A state dict inside the dictionary of a training run (`"state_dict"`, `"model_state_dict"`, `"model"`) is found,
    and the prefixes of `DataParallel` and `torch.compile` are taken off.

    Parameters
    ----------
    path : str or PathLike
        A `.safetensors` file, or a `.pt` / `.pth` file, which is read with `weights_only=True`.

    Returns
    -------
    dict of str to Tensor
        On the CPU, as stored; the version notes that PyTorch keeps beside a state dict are kept.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of another kind, or contains anything but tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"there is no weights file {str(path)!r}; give the path of a {', '.join(SUFFIXES)} file, None for the "
            "published weights, or 'random' for a fresh initialisation"
        )
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"the weights file {path.name!r} has an unknown kind; expected {', '.join(SUFFIXES)}")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise WeightsError(
            f"the weights file {path.name!r} is damaged or of another kind ({type(error).__name__}: "
            f"{_first_line(error)}); fetch it again"
        ) from error
    return _state_of(content, path.name)


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None:
            raise
        raise WeightsError(
            f"the weights file {path.name!r} is a pickle that asks for {named[1]}; expected tensors only, since "
            "anything else can run code. Have its author save model.state_dict(), or a .safetensors file"
        ) from None


def _state_of(content: Any, file: str) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise WeightsError(
            f"the weights file {file!r} holds a {type(content).__name__}; expected a state dict (name → tensor), as "
            "model.state_dict() gives it"
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"the weights file {file!r} holds a {type(value).__name__} under {key!r}; expected tensors only. Save "
                "model.state_dict() alone"
            )
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in content):
            return {key.removeprefix(prefix): value for key, value in content.items()}
    return content


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

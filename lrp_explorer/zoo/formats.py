"""What a file of weights is, told by its content: names of files say little about it."""

from __future__ import annotations

import json
import zipfile
from enum import Enum
from pathlib import Path
from typing import Any

from lrp_explorer.errors import WeightsError

SAVED = "torch.save(model.state_dict(), 'weights.pt')"
MAGIC_OF_TORCH = b"l\xfc\x9cF\xf9 j\xa8P\x19"
"""The number with which files of PyTorch before 1.6 begin, as pickle writes it."""


class Kind(Enum):
    """Files that can hold a state dict."""

    PICKLE = "written by torch.save"
    SAFETENSORS = "safetensors"


def kind_of(path: Path) -> Kind:
    """Tell how a file of weights is to be read.

    Raises
    ------
    WeightsError
        If it is of a kind that holds no state dict; the message names it and says how to come by one.
    """
    if path.is_dir():
        raise WeightsError(f"the weights {str(path)!r} are a folder; {_inside(path)}")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise WeightsError(f"the weights file {path.name!r} is damaged: it has 0 bytes; fetch it again")
    if _is_safetensors(head, path.stat().st_size):
        return Kind.SAFETENSORS
    told = _in_zip(path) if head.startswith(b"PK\x03\x04") else _by_head(head, path)
    if told is None:
        return Kind.PICKLE
    raise WeightsError(f"the weights file {path.name!r} is {told}")


def _is_safetensors(head: bytes, size: int) -> bool:
    # The length of a header in JSON, and the header.
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8


def _in_zip(path: Path) -> str | None:
    """Say what an archive is if it is not one of torch.save."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return None  # PyTorch says what is wrong with it
    inner = {name.partition("/")[2] or name for name in names}
    if "constants.pkl" in inner:
        return (
            "a TorchScript archive (torch.jit.save), a program; expected a state dict. Where you trust its author, "
            f"torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pt') writes one"
        )
    if inner & {"models/model.json", "serialized_exported_program.json"}:
        return (
            "an exported program (torch.export.save); expected a state dict. Where you trust its author, "
            f"torch.save(dict(torch.export.load({path.name!r}).state_dict), 'weights.pt') writes one"
        )
    if "model.weights.h5" in names:
        return _KERAS
    if any(name.endswith(".npy") for name in names):
        return (
            "an archive of NumPy arrays; expected a state dict. If the arrays have its names, torch.save({name: "
            f"torch.from_numpy(array) for name, array in numpy.load({path.name!r}).items()}}, 'weights.pt') writes one"
        )
    if "data.pkl" not in inner:
        shown = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
        return f"a zip archive of {shown or 'nothing'}; unpack it, and give the file of weights in it"
    return None


_KERAS = (
    "a file of Keras (HDF5), whose kernels have other names and another order of axes; expected a state dict. Build "
    "the network in PyTorch, copy each kernel into it (a convolution's as kernel.transpose(3, 2, 0, 1), a dense "
    f"layer's as kernel.T), then {SAVED}"
)
_ELSEWHERE = f"expected a state dict of PyTorch: take the checkpoint that it was converted from, or {SAVED} there"
_UNPACK = "unpack it first, and give the file of weights in it"
_HEADS = (
    (0, b"\x89HDF\r\n\x1a\n", _KERAS),
    (0, b"GGUF", f"a GGUF file of llama.cpp; {_ELSEWHERE}"),
    (4, b"TFL3", f"a TensorFlow Lite model; {_ELSEWHERE}"),
    (0, b"\x93NUMPY", "a single NumPy array; expected a state dict: tensors by name"),
    (0, b"\x1f\x8b", f"compressed by gzip; {_UNPACK}"),
    (0, b"BZh", f"compressed by bzip2; {_UNPACK}"),
    (0, b"\xfd7zXZ", f"compressed by xz; {_UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"compressed by zstd; {_UNPACK}"),
    (257, b"ustar", f"a tar archive; {_UNPACK}"),
    (
        0, b"version https://git-lfs", "a note of Git LFS that stands for the file itself; fetch that by: git lfs pull",
    ),
)  # fmt: skip


def _by_head(head: bytes, path: Path) -> str | None:
    """Say what a file is by its first bytes if it is not one of torch.save."""
    for place, mark, told in _HEADS:
        if head[place:].startswith(mark):
            return told
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, as servers send one in place of a file; fetch the file itself"
    if text.startswith(b"{"):
        return _json(path)
    if head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        return f"an ONNX model, which does not keep PyTorch's names; {_ELSEWHERE}"
    if head[:1] == b"\x80" and b"." in head[1:] and MAGIC_OF_TORCH not in head[:32]:
        return (
            "a pickle that torch.save did not write, and unpickling can run code; expected a state dict. If it is one, "
            f"and you trust its author, torch.save({{name: torch.as_tensor(value) for name, value in pickle.load("
            f"open({path.name!r}, 'rb')).items()}}, 'weights.pt') writes it anew"
        )
    return None


def _json(path: Path) -> str:
    try:
        content: Any = json.loads(path.read_bytes())
        shards = sorted(set(content["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "text in JSON; expected tensors by name: give the file of weights that it belongs to"
    shown = ", ".join(map(repr, shards[:3])) + (", …" if len(shards) > 3 else "")
    loader = "safetensors.torch.load_file(shard)"
    if not all(str(shard).endswith(".safetensors") for shard in shards):
        loader = "torch.load(shard, weights_only=True)"
    return (
        f"an index of {len(shards)} shards ({shown}), without weights of its own. Join them: state = {{}}; for each "
        f"shard state.update({loader}); then torch.save(state, 'weights.pt')"
    )


def _inside(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    if "saved_model.pb" in names:
        return f"it holds a SavedModel of TensorFlow; {_ELSEWHERE}"
    if ".metadata" in names:
        return (
            "it holds a distributed checkpoint; torch.distributed.checkpoint.format_utils.dcp_to_torch_save("
            f"{str(folder)!r}, 'weights.pt') writes a file"
        )
    known = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
    files = [name for name in names if name.endswith(known)] or names
    return f"give the file of weights in it{': ' + ', '.join(map(repr, files[:3])) if files else ', which is empty'}"

"""Masks on disk: the numbers as safetensors, all else as JSON; written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as write_arrays

from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.relevant import Criterion
from lrp_explorer.errors import DataError, InputError

FORMAT = 1
SUFFIX = ".safetensors"
_ARRAYS = {"arrays": "mask", "levels": "level"}
_PLAIN = [f.name for f in fields(Masks) if f.name not in (*_ARRAYS, "criterion")]


def save(masks: Masks, path: Path) -> None:
    """Write masks: the numbers to `path`, all else beside it with the ending ``.json``.

    Both files are written under other names in the same folder and then put in place, so that a full disk or a killed
    process leaves what was there before.

    Parameters
    ----------
    masks : Masks
        What to write.
    path : Path
        It has to end in ``.safetensors``; its folder has to exist.

    Raises
    ------
    InputError
        If the name or the folder is not as expected.
    DataError
        If the files cannot be written; nothing is left of them.
    """
    path = _checked(path)
    if not path.parent.is_dir():
        raise InputError(f"masks cannot be saved to {str(path)!r}: there is no folder {str(path.parent)!r}; make it")
    arrays: dict[str, np.ndarray] = {}
    index = []
    for kind in _ARRAYS:
        for (layer, reduction), array in getattr(masks, kind).items():
            key = f"{_ARRAYS[kind]}/{layer}/{reduction}"
            arrays[key] = np.ascontiguousarray(array)
            index.append({"key": key, "kind": kind, "layer": layer, "reduction": reduction})
    packed = write_arrays(arrays)
    facts = {name: getattr(masks, name) for name in _PLAIN}
    facts["criterion"] = {"theta": masks.criterion.theta, "cost": masks.criterion.cost}
    facts |= {"format": FORMAT, "arrays": index, "sha256": hashlib.sha256(packed).hexdigest()}
    text = json.dumps(facts, indent=1, ensure_ascii=False, default=str)
    write_together({path: packed, path.with_suffix(".json"): text.encode()})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files so that each is there as a whole or as it was before.

    Raises
    ------
    DataError
        If that is not possible; what was begun is removed.
    """
    begun: list[tuple[Path, Path]] = []
    for path in contents:
        if path.is_dir():
            raise DataError(f"{str(path)!r} could not be written: there is a folder of that name; choose another name")
    try:
        for path, content in contents.items():
            begun.append((path.with_name(f".{path.name}.{uuid.uuid4().hex}"), path))
            with begun[-1][0].open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for name, path in begun:
            os.replace(name, path)
    except OSError as error:
        first = next(iter(contents))
        raise DataError(
            f"{str(first)!r} could not be written ({error.strerror or error}); nothing of it was left behind. "
            "Free some space, or choose another folder"
        ) from error
    finally:
        for name, _ in begun:
            name.unlink(missing_ok=True)


def load(path: Path) -> Masks:
    """Read masks that `save` has written.

    Raises
    ------
    InputError
        If the name does not end in ``.safetensors``.
    DataError
        If a file is missing, damaged, or not one of masks, or if the two do not belong together.
    """
    path = _checked(path)
    try:
        packed = path.read_bytes()
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"masks in {str(path)!r} cannot be read: {error.strerror}: {error.filename}") from error
    except ValueError as error:
        raise DataError(f"{str(path.with_suffix('.json'))!r} is no JSON ({error}); save the masks again") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise DataError(f"{str(path.with_suffix('.json'))!r} does not describe masks of format {FORMAT}")
    if facts.get("sha256") != hashlib.sha256(packed).hexdigest():
        raise DataError(f"{str(path)!r} is damaged, or not the file that its .json describes; save the masks again")
    try:
        return _built(facts, read_arrays(packed))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{str(path)!r} is damaged ({type(error).__name__}: {error}); save the masks again") from error


def _built(facts: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Masks:
    plain = {name: _frozen(facts[name]) for name in _PLAIN}
    named: dict[str, dict[tuple[str, str], np.ndarray]] = {kind: {} for kind in _ARRAYS}
    for entry in facts["arrays"]:
        array = arrays[entry["key"]]
        if len(array) != len(plain["classes"]):
            raise ValueError(f"{entry['key']} has {len(array)} rows for {len(plain['classes'])} classes")
        named[entry["kind"]][entry["layer"], entry["reduction"]] = array
    everything: dict[str, Any] = {**plain, **named, "criterion": Criterion(**facts["criterion"])}
    return Masks(**everything)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _checked(path: Path) -> Path:
    path = path.expanduser()
    if path.suffix != SUFFIX:
        raise InputError(f"masks have the file name {str(path)!r}; expected one that ends in {SUFFIX}")
    return path

"""Masks on disk: the numbers as safetensors, all else as JSON; written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as write_arrays

from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.relevant import Criterion, checked_theta
from lrp_explorer.errors import DataError, InputError

FORMAT = 1
SUFFIX = ".safetensors"
_ARRAYS = {"arrays": "mask", "levels": "level"}
_LISTS: Mapping[str, type | tuple[type, ...]] = {
    "classes": (int, str),
    **dict.fromkeys(("counts", "planned", "skipped_examples"), int),
    **dict.fromkeys(("names", "layers", "reductions", "notes"), str),
}
_PLAIN = [f.name for f in fields(Masks) if f.name not in (*_ARRAYS, "criterion")]


def save(masks: Masks, path: Path) -> None:
    """Write masks: the numbers to `path`, all else beside it with the ending ``.json``.

    Both files are written under other names in the same folder and then put in place, so that a full disk or a killed
    process leaves what was there before. A process that is killed between the two puts is told of by `load`.

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
    if not _is_folder(path.parent):
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
    """Write files so that all are there as a whole, or all as they were before.

    Raises
    ------
    DataError
        If that is not possible; what was begun is removed, and what was replaced is put back.
    """
    begun: list[tuple[Path, Path]] = []
    for path in contents:
        if _is_folder(path):
            raise DataError(f"{str(path)!r} could not be written: there is a folder of that name; choose another name")
    try:
        for path, content in contents.items():
            begun.append((path.with_name(f".{path.name}.{uuid.uuid4().hex}"), path))
            with begun[-1][0].open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        _put(begun)
    except OSError as error:
        raise _unwritten(next(iter(contents)), error) from error
    finally:
        _remove(name for name, _ in begun)


def _put(begun: Sequence[tuple[Path, Path]]) -> None:
    """Give finished files their names; if one cannot have it, the others are as they were before."""
    aside = [(path.with_name(f".{path.name}.{uuid.uuid4().hex}"), path) for _, path in begun]
    try:
        for old, path in aside:
            _keep(path, old)
    except BaseException:
        _remove(old for old, _ in aside)
        raise
    try:
        for name, path in begun:
            os.replace(name, path)
    except BaseException:
        for (name, path), (old, _) in zip(begun, aside, strict=True):
            if os.path.lexists(name):
                continue  # not put yet
            if os.path.lexists(old):
                os.replace(old, path)
            else:
                path.unlink(missing_ok=True)
        _remove(old for old, _ in aside)
        raise
    _remove(old for old, _ in aside)


def _keep(path: Path, aside: Path) -> None:
    """Give what is there a second name; nothing is moved, so that the first one is never missing."""
    if not os.path.lexists(path):
        return
    try:
        os.link(path, aside, follow_symlinks=False)
    except (OSError, NotImplementedError):
        # Not every file system has links.
        shutil.copy2(path, aside, follow_symlinks=False)


def _remove(names: Iterable[Path]) -> None:
    for name in names:
        name.unlink(missing_ok=True)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{str(path)!r} could not be written ({error.strerror or error}); nothing of it was left behind. "
        "Free some space, or choose another folder or name"
    )


def load(path: Path) -> Masks:
    """Read masks that `save` has written.

    Raises
    ------
    InputError
        If the name is not one of a file that ends in ``.safetensors``.
    DataError
        If a file is missing, damaged, or not one of masks, or if the two do not belong together.
    """
    path = _checked(path)
    try:
        packed, text = path.read_bytes(), path.with_suffix(".json").read_bytes()
    except OSError as error:
        raise DataError(f"masks in {str(path)!r} cannot be read: {error.strerror}: {error.filename}") from error
    try:
        facts = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
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
    plain = {name: _plain(name, facts[name]) for name in _PLAIN}
    for name in ("names", "counts", "planned"):
        if len(plain[name]) != len(plain["classes"]):
            raise ValueError(f"there are {len(plain[name])} {name} for {len(plain['classes'])} classes")
    named: dict[str, dict[tuple[str, str], np.ndarray]] = {kind: {} for kind in _ARRAYS}
    for entry in facts["arrays"]:
        array = arrays[entry["key"]]
        if len(array) != len(plain["classes"]):
            raise ValueError(f"{entry['key']} has {len(array)} rows for {len(plain['classes'])} classes")
        named[entry["kind"]][entry["layer"], entry["reduction"]] = array
    told = {(layer, reduction) for layer in plain["layers"] for reduction in plain["reductions"]}
    if not told or set(named["arrays"]) != told or not set(named["levels"]) <= told:
        raise ValueError("the arrays are not those of its layers and reductions")
    theta, cost = facts["criterion"]["theta"], facts["criterion"]["cost"]
    if not isinstance(cost, bool):
        raise TypeError(f"cost is {cost!r}")
    everything: dict[str, Any] = {**plain, **named, "criterion": Criterion(checked_theta(theta), cost)}
    return Masks(**everything)


def _plain(name: str, value: Any) -> Any:
    """Give a field the type that `Masks` has for it."""
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(one, _LISTS[name]) for one in value):
            raise TypeError(f"{name} is no list of what it should hold")
        return tuple(value)
    if not isinstance(value, {"complete": bool, "settings": dict}[name]):
        raise TypeError(f"{name} is {value!r}")
    return value


def _checked(path: Path) -> Path:
    path = path.expanduser()
    if "\0" in str(path):
        raise InputError(f"masks have the file name {str(path)!r}; expected one without the character 0")
    if path.suffix != SUFFIX:
        raise InputError(f"masks have the file name {str(path)!r}; expected one that ends in {SUFFIX}")
    return path

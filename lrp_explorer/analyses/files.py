"""Masks on disk: the numbers as safetensors, all else as JSON; written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
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
from lrp_explorer.writing import is_folder, write_together

FORMAT = 2
"""Since 2 the facts have a checksum of their own."""

FORMATS = (1, 2)
SUFFIX = ".safetensors"
_ARRAYS = {"arrays": "mask", "levels": "level"}
_LISTS: Mapping[str, type | tuple[type, ...]] = {
    "classes": (int, str),
    **dict.fromkeys(("counts", "planned", "skipped_examples"), int),
    **dict.fromkeys(("names", "layers", "reductions", "notes"), str),
}
_PLAIN = [f.name for f in fields(Masks) if f.name not in (*_ARRAYS, "criterion")]


def save(masks: Masks, path: str | os.PathLike[str]) -> None:
    """Write masks: the numbers to `path`, all else beside it with the ending ``.json``.

    Both files are written under other names in the same folder and then put in place, so that a full disk or a killed
    process leaves what was there before. A process that is killed between the two puts is told of by `load`.

    Parameters
    ----------
    masks : Masks
        What to write.
    path : str or PathLike
        It has to end in ``.safetensors``; its folder has to exist.

    Raises
    ------
    InputError
        If the name or the folder is not as expected.
    DataError
        If the files cannot be written; nothing is left of them.
    """
    place = _checked(path)
    if not is_folder(place.parent):
        raise InputError(f"masks cannot be saved to {str(place)!r}: there is no folder {str(place.parent)!r}; make it")
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
    facts = json.loads(json.dumps(facts, default=str))
    text = json.dumps(facts | {"sha256_of_facts": _digest(facts)}, indent=1, ensure_ascii=False)
    write_together({place: packed, place.with_suffix(".json"): text.encode()})


def _digest(facts: Mapping[str, Any]) -> str:
    """Digest facts as they are, however they are laid out in the file."""
    rest = {name: value for name, value in facts.items() if name != "sha256_of_facts"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def load(path: str | os.PathLike[str]) -> Masks:
    """Read masks that `save` has written.

    Raises
    ------
    InputError
        If the name is not one of a file that ends in ``.safetensors``.
    DataError
        If a file is missing, damaged, or not one of masks, or if the two do not belong together.
    """
    place = _checked(path)
    try:
        packed, text = place.read_bytes(), place.with_suffix(".json").read_bytes()
    except OSError as error:
        raise DataError(
            f"masks in {str(place)!r} cannot be read: {error.strerror}: "
            f"{error.filename}; a file that masks.save has written, with its .json beside it, is expected"
        ) from error
    try:
        facts = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{str(place.with_suffix('.json'))!r} is no JSON ({error}); save the masks again") from error
    if not isinstance(facts, dict) or facts.get("format") not in FORMATS:
        raise DataError(f"{str(place.with_suffix('.json'))!r} does not describe masks of format {FORMAT}")
    if facts["format"] >= 2 and facts.get("sha256_of_facts") != _digest(facts):
        raise DataError(
            f"{str(place.with_suffix('.json'))!r} is damaged, or was changed after it was written with the numbers of "
            f"{place.name!r}; save the masks again"
        )
    if facts.get("sha256") != hashlib.sha256(packed).hexdigest():
        raise DataError(f"{str(place)!r} is damaged, or not the file that its .json describes; save the masks again")
    try:
        return _built(facts, read_arrays(packed))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{str(place)!r} is damaged ({type(error).__name__}: {error}); save the masks again") from error


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


def _checked(given: object) -> Path:
    if not isinstance(given, (str, os.PathLike)) or not str(given):
        kind = type(given).__name__
        raise InputError(f"the file of masks is {given!r} ({kind}), but a name that ends in {SUFFIX} is expected")
    path = Path(given).expanduser()
    if "\0" in str(path):
        raise InputError(f"masks have the file name {str(path)!r}; expected one without the character 0")
    if path.suffix != SUFFIX:
        raise InputError(f"masks have the file name {str(path)!r}; expected one that ends in {SUFFIX}")
    return path

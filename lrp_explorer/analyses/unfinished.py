"""What is folded of masks that are not finished, kept on disk, so that the same call goes on from there."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as write_arrays

from lrp_explorer.analyses.base import Group, Layout, State
from lrp_explorer.errors import DataError
from lrp_explorer.writing import write_together

SUFFIX = ".unfinished"

EVERY = 30.0
"""Seconds from one writing to the next."""

OLD = 30 * 24 * 3600.0
"""Seconds after which nobody is expected to come back."""

DIGEST = 64


class Unfinished:
    """The file of one question: after how many shards, and what was folded of them.

    Parameters
    ----------
    place : Path
        The cache folder.
    key : str
        Of everything that decides the masks.
    """

    def __init__(self, place: Path, key: str) -> None:
        self.path = place / f"{key}{SUFFIX}"
        self._written = time.monotonic()
        self._able = True

    def read(self, layout: Layout) -> tuple[int, State]:
        """Give the number of shards done and their fold; 0 and an empty one where nothing is kept, or it is damaged."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            content = self.path.read_bytes()
            packed = content[DIGEST:]
            if hashlib.sha256(packed).hexdigest().encode() == content[:DIGEST]:
                return _unpacked(packed, layout)
            warnings.warn(f"{str(self.path)!r} is damaged: masks are computed anew", UserWarning, stacklevel=2)
        return 0, State(layout)

    def write(self, position: int, state: State, now: bool = False) -> None:
        """Keep what is done, every `EVERY` seconds, or `now`; where that is not possible, it is told once."""
        if not self._able or (not now and time.monotonic() - self._written < EVERY):
            return
        packed = _packed(position, state)
        try:
            write_together({self.path: hashlib.sha256(packed).hexdigest().encode() + packed})
        except DataError as error:
            self._able = False
            warnings.warn(f"what is done of the masks is not kept: {error}", UserWarning, stacklevel=2)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Forget what was kept, since the masks are finished; and what nobody came back for."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            for other in self.path.parent.glob(f"*{SUFFIX}"):
                if time.time() - other.stat().st_mtime > OLD:
                    other.unlink(missing_ok=True)


def _packed(position: int, state: State) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    for chosen, group in state.groups.items():
        for place, part in enumerate(group.parts.values()):
            for name, value in vars(part).items():
                if isinstance(value, list):
                    value = torch.cat(value).numpy() if value else None
                if isinstance(value, np.ndarray):
                    arrays[f"{chosen}/{place}/{name}"] = np.array(value, order="C")
    facts = {
        "position": position,
        "counts": {chosen: group.count for chosen, group in state.groups.items()},
        "parts": {chosen: [_plain(part) for part in group.parts.values()] for chosen, group in state.groups.items()},
        "skipped": state.skipped,
        "notes": list(state.notes),
        "first": state.first,
    }
    return write_arrays(arrays, metadata={"facts": json.dumps(facts)})


def _plain(part: Any) -> dict[str, int]:
    return {name: value for name, value in vars(part).items() if type(value) is int}


def _unpacked(packed: bytes, layout: Layout) -> tuple[int, State]:
    arrays = read_arrays(packed)
    # The header: its length, then JSON.
    header = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
    facts = json.loads(header["__metadata__"]["facts"])
    state = State(layout)
    for chosen in facts["counts"]:
        state.groups[int(chosen)] = _group(chosen, facts, arrays, layout)
    state.skipped = facts["skipped"]
    state.notes = dict.fromkeys(facts["notes"])
    state.first = {layer: (index, tuple(shape)) for layer, (index, shape) in facts["first"].items()}
    return facts["position"], state


def _group(chosen: str, facts: Any, arrays: Mapping[str, np.ndarray], layout: Layout) -> Group:
    group = Group(layout)
    group.count = facts["counts"][chosen]
    for place, part in enumerate(group.parts.values()):
        vars(part).update(facts["parts"][chosen][place])
        for name, kept in vars(part).items():
            value = arrays.get(f"{chosen}/{place}/{name}")
            if value is not None:
                setattr(part, name, [torch.from_numpy(value)] if isinstance(kept, list) else value)
    return group

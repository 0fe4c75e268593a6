"""PyTorch's safe reader, also for files that keep other things beside the tensors: those are not made at all."""

from __future__ import annotations

import builtins
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.serialization import safe_globals

from lrp_explorer.errors import WeightsError

NAMES = 100
"""Most foreign names that a file may ask for."""

COMMANDS = tuple(
    "os posix nt sys subprocess commands popen2 shutil importlib runpy ctypes socket pty code __builtin__".split()
)
"""Modules of which no record of a training is made, but harm is; some by the names that Python 2 had for them."""

LATER = (66, 67, *range(140, 152))
"""Instructions of pickle's protocols 3 to 5."""

_reading = threading.Lock()


class Absent:
    """Stands for an object whose class is not of PyTorch's safe ones: nothing of the file's is called or imported."""

    def __new__(cls, *_: Any) -> Any:
        """Take any arguments."""
        return object.__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        """Take any content, and keep none."""


class _AbsentMapping(Absent):
    def __new__(cls, *_: Any) -> Any:
        """Give the mapping into which PyTorch's reader puts items; what it holds may be a state dict."""
        return OrderedDict()


class _AbsentList(Absent):
    def __new__(cls, *_: Any) -> Any:
        """Give the list to which PyTorch's reader appends."""
        return []


def load_pickle(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Read what ``torch.save`` has written, with ``weights_only=True``.

    Records of a training that stand beside the weights (its arguments, NumPy's numbers, paths, dates) are left out: in
    place of each stands an `Absent`.

    Returns
    -------
    content, names
        The content, and the names of the classes that were left out.

    Raises
    ------
    WeightsError
        If the file asks for what can do harm, or in a way that PyTorch's safe reader does not know.
    Exception
        Whatever a damaged file leads to.
    """
    stands: dict[str, type] = {}
    with _reading:
        while len(stands) <= NAMES:
            # Each name has a class of its own, so that an error tells which it is about.
            known: Any = [
                (type(f"Absent_{place}", (kind,), {}), name) for place, (name, kind) in enumerate(stands.items())
            ]
            try:
                # An open file, since PyTorch would go by the ending of a name.
                with path.open("rb") as file, safe_globals(known), warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="Detected pickle protocol|Validating sparse tensor")
                    return torch.load(file, map_location="cpu", weights_only=True), tuple(stands)
            except Exception as error:
                _stand_in(stands, str(error), path.name, error)
    raise refused(path.name, tuple(stands))


def refused(file: str, names: Sequence[str]) -> WeightsError:
    """Say that a file holds objects of these classes where weights are expected, and how to come by weights."""
    more = f" and {len(names) - 1} more names" if len(names) > 1 else ""
    whole = any(name.startswith("torch.nn.") for name in names)
    trusted = (
        f" It seems to be a whole model: where you trust its author and have its code, torch.save(torch.load({file!r}, "
        "weights_only=False).state_dict(), 'weights.pt') writes its weights"
    )
    return WeightsError(
        f"the weights file {file!r} is a pickle that asks for {names[0]}{more}; expected tensors only, since anything "
        "else can run code. Have its author save model.state_dict(), or a .safetensors file."
        f"{trusted if whole else ''}".rstrip(".")
    )


def _stand_in(stands: dict[str, type], said: str, file: str, error: Exception) -> None:
    """Add what stands for the name that the safe reader has refused, or raise what is to be told."""
    if named := re.search(r"GLOBAL ([\w.]+)", said):
        name = named[1] if "." in named[1] else f"builtins.{named[1]}"
        top, _, last = name.partition(".")
        harmful = top in COMMANDS or (top == "builtins" and not isinstance(getattr(builtins, last, None), type))
        if not harmful and name not in stands:
            stands[name] = Absent
            return
        raise refused(file, [name]) from None
    # What is to be filled has to be a list or a mapping; PyTorch's words for it differ by version.
    filled = re.search(r"(append|extend|SETITEM|item assignment)", said)
    if filled and (which := re.search(r"Absent_(\d+)'", said)):
        name = list(stands)[int(which[1])]
        if stands[name] is Absent:
            stands[name] = _AbsentList if filled[1] in ("append", "extend") else _AbsentMapping
            return
    if (operand := re.search(r"Unsupported operand (\d+)", said)) and int(operand[1]) in LATER:
        raise WeightsError(
            f"the weights file {file!r} is written in a pickle protocol that PyTorch's safe reader does not know; "
            "expected protocol 2, torch.save's own. Where you trust its author, "
            f"torch.save(torch.load({file!r}, weights_only=False), 'weights.pt') writes it anew"
        ) from None
    if stands:
        raise refused(file, list(stands)) from None
    raise error

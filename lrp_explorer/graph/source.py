"""Where in the user's code something stands."""

from __future__ import annotations

import os
import re
import sys
import traceback
from pathlib import Path

import torch

_TORCH = str(Path(torch.__file__).parent) + os.sep
_OWN = str(Path(__file__).parents[1]) + os.sep
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \S+\n\s*(?P<code>[^\n]*)')
_FOREIGN_PACKAGES = sys.stdlib_module_names | {"torch", "numpy", __name__.partition(".")[0]}


def _foreign(path: str) -> bool:
    return path.startswith((_TORCH, _OWN, "<", "torch/"))


def foreign(module: str | None) -> bool:
    """Whether a Python module, by its full name, is of PyTorch, NumPy, the standard library or this package."""
    return (module or "").partition(".")[0] in _FOREIGN_PACKAGES


def offending_line(error: BaseException) -> str:
    """Name the innermost line of the user's code in a traceback, as `` at file:line (`code`)``; empty if none."""
    frames = traceback.extract_tb(error.__traceback__)
    start = next((i for i, frame in enumerate(frames) if frame.filename.startswith(_TORCH)), len(frames))
    for frame in reversed(frames[start:]):
        if not _foreign(frame.filename):
            return f" at {frame.filename}:{frame.lineno} (`{frame.line}`)"
    return ""


def call_site(stack_trace: str | None) -> str:
    """Name the innermost line outside PyTorch in a node's recorded stack, as ``file:line (`code`)``."""
    frames = list(_FRAME.finditer(stack_trace or ""))
    own = [frame for frame in frames if not _foreign(frame["file"])]
    chosen = (own or frames)[-1:]
    return f"{chosen[0]['file']}:{chosen[0]['line']} (`{chosen[0]['code'].strip()}`)" if chosen else ""

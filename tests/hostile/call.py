"""A hostile call: what is given, and the words by which its refusal must name it.

A refusal is clear when it is an error of the house that names the value (or its type) and says what is expected. Where
a row gives no words, the value's own repr, its text or its type must be in the message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hostile.world import World

# What is expected, or what to do.
EXPECTATION = re.compile(
    r"expected|must|needs?\b|required|known|accept|between|at least|out of range|is one of |classes 0 to|has examples 0"
    r"|should|did you mean|was given|serves |Rules for this layer|give|take|choose|leave|use\b|set |call |make |load "
    r"|convert|run the model|let forward|compute |check |fetch |see lrp-explorer",
    re.IGNORECASE,
)


class Opaque:
    """Nothing that any call could understand."""

    def __repr__(self) -> str:
        return "Opaque()"


NAN, INF = math.nan, math.inf
HUGE = 10**400
NESTED = [[1], [2, [3]]]
OBJECT = Opaque()
# Given wherever nothing of the kind is meant.
GARBAGE = (OBJECT, b"bytes", 1j, {"a": 1}, NESTED)


@dataclass(frozen=True)
class Call:
    """One call, and the words (regular expressions) that its refusal holds."""

    name: str
    run: Callable[[World], Any]
    words: tuple[str, ...]


def named(value: Any) -> str:
    """A regular expression for any of the ways in which a message may name a value, its type, or what is in it."""
    kind = re.escape(type(value).__name__)
    ways = [rf"\b(?:an?|of|torch\.)\s?{kind}\b", rf"\({kind}\)"]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        ways += [
            kind,
            re.escape(str(tuple(value.shape))),
            str(value.dtype),
            r"array\(",
            "empty" if 0 in value.shape else kind,
        ]
        ways += [str(value.layout), f"'{value.device}'"] if isinstance(value, torch.Tensor) else []
        ways += [rf"\b{one}\b" for one in _listed(value)]
    elif isinstance(value, int) and abs(value) == HUGE:
        ways += ["beyond", "10{20}", r"1e\+?400"]
    elif isinstance(value, (list, tuple, set, dict)):
        ways += [re.escape(repr(value)), rf"\b{kind}\b", rf"shape \({len(value)},\)" if value else "empty|no values"]
        ways += [named(one) for one in (value.values() if isinstance(value, dict) else value)]
    else:
        ways += [
            re.escape(text)
            for text in dict.fromkeys((repr(value), str(value), f"{value:g}" if kind == "float" else ""))
            if text
        ]
        ways += [rf"\b{kind}\b"] if type(value).__module__ != "builtins" else []
    return "|".join(ways)


def _listed(values: torch.Tensor | np.ndarray) -> list[Any]:
    strided = not isinstance(values, torch.Tensor) or (values.layout == torch.strided and values.device.type == "cpu")
    return values.reshape(-1).tolist() if strided and values.dtype not in (torch.complex64,) else []


def over(subject: str, run: Callable[[World, Any], Any], *values: Any, words: tuple[str, ...] = ()) -> Iterator[Call]:
    """The same argument, given each of the values."""
    for value in values:
        label = repr(value)
        label = (
            f"{type(value).__name__}{tuple(value.shape)}" if isinstance(value, (torch.Tensor, np.ndarray)) else label
        )
        label = label if len(label) <= 40 else f"{label[:30]}…"
        yield Call(f"{subject}={label}", lambda world, value=value: run(world, value), (f"(?:{named(value)})", *words))

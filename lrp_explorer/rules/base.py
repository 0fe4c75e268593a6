"""What every rule has: the kinds of layer it can serve, its formula, and checked parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from lrp_explorer.errors import InputError

Bias = Literal["absorb", "ignore"]


@dataclass(frozen=True)
class Rule:
    """A propagation rule as data; `lrp_explorer.engine` executes it.

    Attributes
    ----------
    kinds : frozenset of str
        Kinds of layer (`lrp_explorer.graph.ops.KINDS`) that the rule can serve.
    formula : str
        The rule in plain text, relevance R_k of the outputs to relevance R_j of the inputs.
    """

    kinds: ClassVar[frozenset[str]] = frozenset()
    formula: ClassVar[str] = ""
    # Whether an input that is zero receives zero relevance; lets the engine skip terms that must vanish.
    proportional: ClassVar[bool] = False


def check_number(owner: object, name: str, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise `InputError` unless the field `name` of `owner` is a finite real number in ``[low, high]``.

    A number of NumPy's becomes the same one of Python's.
    """
    value = getattr(owner, name)
    if isinstance(value, (np.integer, np.floating)):
        value = value.item()
        object.__setattr__(owner, name, value)
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if real and _finite(value) and low <= value <= high:
        return
    if low == -math.inf:
        valid = "a finite number is expected"
    else:
        valid = f"a number {f'at least {low:g}' if high == math.inf else f'between {low:g} and {high:g}'} is expected"
    raise InputError(f"{type(owner).__name__}: {name} is {value!r}{_kind(value)}, but {valid}")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # A whole number beyond the largest float.
        return False


def _kind(value: object) -> str:
    """Name the type of what is no plain number, where its spelling might be taken for one."""
    return "" if type(value) in (int, float) else f" ({type(value).__name__})"


def check_count(owner: object, name: str, low: int = 1) -> None:
    """Raise `InputError` unless the field `name` of `owner` is a whole number from `low` up."""
    check_number(owner, name, low)
    if not isinstance(getattr(owner, name), int):
        raise InputError(f"{type(owner).__name__}: {name} is {getattr(owner, name)!r}, but a whole number is expected")


def check_choice(owner: object, name: str, choices: tuple[object, ...]) -> None:
    """Raise `InputError` unless the field `name` of `owner` is one of `choices`; 1 is not True."""
    value = getattr(owner, name)
    if not any(isinstance(value, type(choice)) and _same(value, choice) for choice in choices):
        raise InputError(
            f"{type(owner).__name__}: {name} is {value!r}{_kind(value)}, but it must be one of {list(choices)!r}"
        )


def _same(value: object, choice: object) -> bool:
    return isinstance(value, bool) == isinstance(choice, bool) and bool(value == choice)


def check_flag(value: object, name: str) -> None:
    """Raise `InputError` unless an argument is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} is {value!r} ({type(value).__name__}), but True or False is expected")


def check_callable(value: object, name: str) -> None:
    """Raise `InputError` unless an argument is None or can be called."""
    if value is not None and not callable(value):
        raise InputError(f"{name} is {value!r} ({type(value).__name__}), but a function is expected, or None")

"""What every rule has: the kinds of layer it can serve, its formula, and checked parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

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
    """Raise `InputError` unless the field `name` of `owner` is a finite number in ``[low, high]``."""
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{type(owner).__name__}: {name} is {value!r}, but a finite number is expected")
    if not low <= value <= high:
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise InputError(f"{type(owner).__name__}: {name} is {value!r}, but it must be {bounds}")


def check_choice(owner: object, name: str, choices: tuple[object, ...]) -> None:
    """Raise `InputError` unless the field `name` of `owner` is one of `choices`."""
    value = getattr(owner, name)
    if value not in choices:
        raise InputError(f"{type(owner).__name__}: {name} is {value!r}, but it must be one of {list(choices)!r}")

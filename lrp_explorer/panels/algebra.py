"""Semirings as the panel offers them: what each lets one choose, and how its elements are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrp_explorer import semirings
from lrp_explorer.figures import scales
from lrp_explorer.figures.scales import Scale
from lrp_explorer.semirings import Bottleneck, Semiring

REAL = "real"

POOLINGS = (
    ("maximum as average", "average"),
    ("to the largest input", "winner"),
    ("by the input itself", "activation"),
)
NORMALISES = (("by the strongest edge", "max"), ("by the sum of edges", "sum"))
EDGES = (("in favour: d", False), ("of any sign: |d|", True))

THETAS = np.round(np.logspace(-9, 1, 101), 12)
"""Where the influence of the threshold is known: every step of the slider for θ."""


@dataclass(frozen=True)
class Reading:
    """How elements of a semiring are shown.

    Attributes
    ----------
    scale : Scale
        Quantity and colours.
    joins : mapping
        Reduction of the channels → what it is called; the first is the one to begin with.
    level : str
        What one number for each layer says; empty where the influence of the threshold is shown instead.
    reduce : str
        Reduction of a whole layer to that number.
    """

    scale: Scale
    joins: Mapping[str, str]
    level: str = ""
    reduce: str = "max"


READINGS: Mapping[str, Reading] = {
    "boolean": Reading(scales.TRUTH, {"max": "OR: any channel", "min": "AND: every channel"}),
    "bottleneck": Reading(scales.WEAKEST, {"max": "OR: any channel", "min": "AND: every channel"}),
    "counting": Reading(
        scales.COUNT, {"sum": "sum", "max": "maximum"}, level="log₁₀ of the number of paths", reduce="sum"
    ),
    "viterbi": Reading(scales.STRENGTH, {"max": "maximum", "sum": "sum"}, level="strength of the best path"),
    "tropical": Reading(
        scales.COST, {"min": "minimum", "max": "maximum"}, level="cost of the cheapest path", reduce="min"
    ),
}
OWN = Reading(scales.ELEMENT, {"max": "maximum", "sum": "sum"}, level="largest element")


def reading(name: str) -> Reading:
    """Tell how a semiring's elements are shown; those that a user registered are shown as they are."""
    return READINGS.get(name, OWN)


def compares(name: str) -> bool:
    """Tell whether the threshold is a comparison with what is kept, so that moving it propagates nothing."""
    return name in ("boolean", "bottleneck")


def choices(name: str) -> set[str]:
    """Names of the parameters that a semiring lets one choose."""
    if name == REAL:
        return set()
    found = semirings.get(name)
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        return set()
    fields = {field.name for field in dataclasses.fields(found)}
    if issubclass(found, Bottleneck):
        # Also one of the user's own covers every threshold at once.
        fields -= {"theta"}
    # Strengths are sizes already.
    return fields - {"absolute"} if "normalise" in fields else fields


def build(name: str, options: Mapping[str, Any]) -> Semiring:
    """Make the semiring that is computed: Bottleneck serves Boolean at every threshold.

    Parameters
    ----------
    name : str
        A name of `lrp_explorer.semirings.names()`.
    options : mapping
        Values of parameters; those that the semiring does not have are left out.
    """
    if compares(name):
        return Bottleneck(**{key: options[key] for key in ("absolute", "pooling") if key in options})
    found = semirings.get(name)
    taken = choices(name)
    if isinstance(found, type):
        return found(**{key: value for key, value in options.items() if key in taken})
    return found

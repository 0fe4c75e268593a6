"""Reductions over examples: AND, OR, min, max, mean, std, count, quantiles and votes, by name or as objects.

| name | result | memory for each neuron and class |
|---|---|---|
| ``"and"`` | relevant in every example (bool) | that of ``"min"`` |
| ``"or"`` | relevant in some example (bool) | that of ``"max"`` |
| ``"min"``, ``"max"`` | least and largest relevance | one value of the map's type: 1, 4 or 8 bytes |
| ``"mean"`` | mean relevance (float64) | 8 bytes |
| ``"std"`` | standard deviation, divided by n (float64) | 16 bytes, the mean included |
| ``"count"`` | number of examples in which it is relevant (int64) | 8 bytes |
| ``"vote(q)"`` | relevant in at least q·n of n examples (bool) | that of ``"count"``; for every θ a sample |
| ``"quantile(q)"`` | q-quantile, linear between neighbours as in ``np.quantile`` (float64) | a sample |

A sample holds every example up to `SAMPLE` = 2048 of a class, and the quantile is exact; beyond that it is a uniform
sample of 2048, and the rank of the result is off by more than 0.030·n with a probability below 5 % (for each neuron;
Dvoretzky, Kiefer and Wolfowitz 1956 with Massart's constant 1990, P ≤ 2 exp(−2 · 2048 · 0.030²)). It needs at most
3 · 2048 values, whatever n is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrp_explorer.analyses.accumulators import Extreme, Hits, Moments, Sample
from lrp_explorer.analyses.base import Key
from lrp_explorer.analyses.relevant import Criterion
from lrp_explorer.errors import InputError, unknown_name

SAMPLE = 2048
LOW, HIGH = (Extreme, False), (Extreme, True)
Parts = Mapping[Key, Any]
"""Key → the accumulator of one layer and class."""


@dataclass(frozen=True)
class Reduction:
    """Abstract: which accumulators a reduction needs, and how it is finished from them.

    Attributes
    ----------
    name : str
        As in ``masks[name]``.
    criterion : Criterion
        When a neuron counts as relevant.
    everywhere : bool
        Votes keep what decides them, so that they can be taken at every threshold afterwards.
    """

    name: str
    criterion: Criterion
    everywhere: bool = False
    q: float = 1.0

    @property
    def empty(self) -> float | int | bool:
        """What stands where a class has no example."""
        return math.nan

    def needs(self) -> tuple[Key, ...]:
        """Accumulators to fold."""
        raise TypeError(f"{type(self).__name__} says no needs")

    def finish(self, parts: Parts, count: int) -> np.ndarray:
        """Give the result for one class of `count` examples, of the shape of one example."""
        raise TypeError(f"{type(self).__name__} says no finish")

    def level(self, parts: Parts, count: int) -> np.ndarray | None:
        """Give what has to reach a threshold for the result to be true there, or None if that is not known."""
        return None

    def note(self, count: int) -> str:
        """Tell what is not exact for a class of `count` examples; nothing if all is."""
        return ""


class Plain(Reduction):
    """A number that needs no threshold: min, max, mean, std."""

    _KEYS: Mapping[str, Key] = {"min": LOW, "max": HIGH, "mean": (Moments, False), "std": (Moments, True)}

    def needs(self) -> tuple[Key, ...]:
        """One accumulator."""
        return (self._KEYS[self.name],)

    def finish(self, parts: Parts, count: int) -> np.ndarray:
        """Give what the accumulator holds."""
        # The mean may stand beside a std, whose accumulator has it too.
        part = parts.get(self._KEYS[self.name]) or parts[(Moments, True)]
        value = {"mean": "mean", "std": "spread"}.get(self.name, "value")
        return getattr(part, value)


class Every(Reduction):
    """AND and OR: relevant in every, in some example; decided by the least and the largest relevance."""

    @property
    def empty(self) -> bool:
        """No example, nothing relevant."""
        return False

    def needs(self) -> tuple[Key, ...]:
        """The extreme that decides."""
        # A cost is relevant when it is small, so there the roles are exchanged.
        return ((Extreme, (self.name == "or") != self.criterion.cost),)

    def finish(self, parts: Parts, count: int) -> np.ndarray:
        """Compare the extreme."""
        return self.criterion(parts[self.needs()[0]].value)

    def level(self, parts: Parts, count: int) -> np.ndarray | None:
        """The extreme itself, unless relevance is a truth value."""
        value = parts[self.needs()[0]].value
        return None if value.dtype == bool else value


class Counted(Reduction):
    """Numbers of examples in which a neuron is relevant: count, and vote, which compares it with q·n."""

    @property
    def empty(self) -> int | bool:
        """No example, none relevant."""
        return 0 if self.name == "count" else False

    @property
    def _votes(self) -> bool:
        return self.name != "count"

    def needs(self) -> tuple[Key, ...]:
        """The counter; votes at every threshold need a sample as well."""
        counter = (Hits, self.criterion)
        return (counter, (Sample, SAMPLE)) if self._votes and self.everywhere else (counter,)

    def finish(self, parts: Parts, count: int) -> np.ndarray:
        """Give the count, or compare it."""
        hits = parts[(Hits, self.criterion)].value
        return hits >= needed(self.q, count) if self._votes else hits

    def level(self, parts: Parts, count: int) -> np.ndarray | None:
        """The order statistic that decides the vote."""
        if not (self._votes and self.everywhere):
            return None
        values = parts[(Sample, SAMPLE)].values.numpy()
        return None if values.dtype == bool else self.criterion.level(values, needed(self.q, len(values)))

    def note(self, count: int) -> str:
        """Tell of sampling, which only votes at other thresholds are subject to."""
        return sampled(f"{self.name} at other thresholds", count) if self._votes and self.everywhere else ""


class Quantile(Reduction):
    """A quantile of relevance over the examples."""

    def needs(self) -> tuple[Key, ...]:
        """A sample."""
        return ((Sample, SAMPLE),)

    def finish(self, parts: Parts, count: int) -> np.ndarray:
        """Interpolate between the two neighbouring order statistics."""
        return quantile(parts[(Sample, SAMPLE)].values.numpy().astype(np.float64), self.q)

    def note(self, count: int) -> str:
        """Tell of sampling."""
        return sampled(self.name, count)


def quantile(values: np.ndarray, q: float) -> np.ndarray:
    """Interpolate as `np.quantile` does over the first axis, and between ∞ and ∞, where that gives NaN, to ∞."""
    with np.errstate(invalid="ignore"):
        found = np.quantile(values, q, axis=0)
        if not np.isnan(found).any():
            return found
        low, high = (np.quantile(values, q, axis=0, method=method) for method in ("lower", "higher"))
        between = low + (high - low) * (q * (len(values) - 1) % 1)
    return np.where(np.isnan(found), np.where((low == high) | np.isnan(between), low, between), found)


def needed(q: float, count: int) -> int:
    """Give the least whole number of examples that is at least q·n (and at least 1)."""
    # 0.1·30 is 3.0000000000000004 in floating point: that is 3, not 4.
    return max(1, math.ceil(q * count - 1e-9))


def sampled(what: str, count: int) -> str:
    """Tell how far the rank of a result from a sample may be off."""
    if count <= SAMPLE:
        return ""
    off = math.sqrt(math.log(2 / 0.05) / (2 * SAMPLE))
    return f"{what}: from a uniform sample of {SAMPLE} of {count} examples; rank within ±{off:.3f}·n with 95 %"


_KINDS: Mapping[str, Callable[..., Reduction]] = {
    **dict.fromkeys(("and", "or"), Every),
    **dict.fromkeys(("min", "max", "mean", "std"), Plain),
    "count": Counted,
}
_WITH_SHARE: Mapping[str, Callable[..., Reduction]] = {"quantile": Quantile, "vote": Counted}
NAMES = (*_KINDS, "quantile(q)", "vote(q)")


def parse(names: str | Iterable[str], criterion: Criterion, everywhere: bool = False) -> tuple[Reduction, ...]:
    """Turn names into reductions.

    Parameters
    ----------
    names : str or iterable of str
        Of `NAMES`; q is a number in [0, 1], for votes in (0, 1]: ``"quantile(0.9)"``, ``"vote(0.5)"``.
    criterion : Criterion
        When a neuron counts as relevant.
    everywhere : bool
        Whether votes can be taken at every threshold afterwards.

    Raises
    ------
    UnknownNameError
        For an unknown name; the message lists all.
    InputError
        For a share q out of range, for none at all, and for one asked for twice.
    """
    if not isinstance(names, (str, Iterable)):
        raise InputError(f"reduce is {names!r}; expected some of {', '.join(NAMES)}")
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise InputError(f"reduce is empty; expected some of {', '.join(NAMES)}")
    found = tuple(_parse_one(name, criterion, everywhere) for name in names)
    for place, reduction in enumerate(found):
        if reduction.name in [other.name for other in found[:place]]:
            raise InputError(f"reduce names {reduction.name!r} twice; expected each once")
    return found


def _parse_one(name: object, criterion: Criterion, everywhere: bool) -> Reduction:
    text = str(name).replace(" ", "").lower()
    if text in _KINDS:
        return _KINDS[text](text, criterion)
    match = re.fullmatch(r"(quantile|vote)\(([^()]*)\)", text)
    if match is None:
        raise unknown_name("reduction", name, NAMES)
    kind, given = match.groups()
    try:
        q = float(given)
    except ValueError:
        q = math.nan
    if not 0 <= q <= 1 or (kind == "vote" and q == 0):
        raise InputError(f"{name!r}: q is {given or 'missing'}; expected a share of the examples, between 0 and 1")
    return _WITH_SHARE[kind](f"{kind}({q:.12g})", criterion, everywhere, q)


def accumulators(reductions: Iterable[Reduction]) -> tuple[Key, ...]:
    """Give the keys of all accumulators that reductions need, each once."""
    keys = dict.fromkeys(key for reduction in reductions for key in reduction.needs())
    if (Moments, True) in keys:
        keys.pop((Moments, False), None)
    return tuple(keys)

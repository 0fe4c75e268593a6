"""Each semiring a second time, on Python's own numbers: the oracle of everything that is computed on tensors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Real, Tropical, Viterbi


@dataclass(frozen=True)
class Scalars:
    zero: Any
    one: Any
    add: Callable
    mul: Callable
    encode: Callable

    def sum(self, values):
        return reduce(self.add, values, self.zero)

    def product(self, values):
        return reduce(self.mul, values, self.one)


def reaches(semiring, d):
    return d > semiring.theta if semiring.strict else d >= semiring.theta


def scalars(semiring):
    plus, times = (lambda a, b: a + b), (lambda a, b: a * b)
    if isinstance(semiring, Real):
        return Scalars(0.0, 1.0, plus, times, float)
    if isinstance(semiring, Boolean):
        return Scalars(False, True, bool.__or__, bool.__and__, lambda d: reaches(semiring, d))
    if isinstance(semiring, Counting):
        return Scalars(0, 1, plus, times, lambda d: int(reaches(semiring, d)))
    if isinstance(semiring, Viterbi):
        return Scalars(0.0, 1.0, max, times, abs)
    if isinstance(semiring, Bottleneck):
        return Scalars(0.0, math.inf, max, min, lambda d: max(d, 0.0))
    if isinstance(semiring, Tropical):
        return Scalars(math.inf, 0.0, min, plus, lambda d: -math.log(abs(d)) if d else math.inf)
    raise AssertionError(semiring)


def is_exact(semiring):
    """Whether every kernel has to give the same bits: nothing is rounded but d itself."""
    return isinstance(semiring, Boolean | Counting | Bottleneck)

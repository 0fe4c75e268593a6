"""The laws of a semiring: all of the house's obey them on their whole carriers, and each broken one is found."""

import itertools
import math
import re
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from lrp_explorer.errors import InputError
from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Real, Semiring, Tropical, Viterbi, check_laws

positive = st.floats(0, math.inf, allow_subnormal=False)
CARRIERS = {
    Real(): (st.floats(-100, 100), torch.float64, 1e-9),
    Boolean(): (st.booleans(), torch.bool, 0.0),
    Counting(): (st.integers(0, 1 << 16).map(float), torch.float64, 0.0),
    Viterbi(): (st.floats(0, 1), torch.float64, 1e-14),
    Bottleneck(): (positive, torch.float64, 0.0),
    Tropical(): (st.one_of(st.floats(0, 1e6), st.just(math.inf)), torch.float64, 1e-14),
}
ALL = pytest.mark.parametrize("semiring", CARRIERS, ids=lambda semiring: semiring.name)
values = st.data()


def assert_equal(left, right, tolerance):
    if not tolerance:
        assert torch.equal(left, right)
    else:
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


@ALL
@settings(max_examples=60, deadline=None)
@given(data=values)
def test_laws(semiring, data):
    carrier, dtype, tolerance = CARRIERS[semiring]
    a, b, c = (torch.tensor([value], dtype=dtype) for value in data.draw(st.tuples(carrier, carrier, carrier)))
    zero, one = semiring.full((1,), a), semiring.full((1,), a, semiring.one)
    for x, y, z in itertools.product((a, b, zero, one), (b, zero, one), (c, one)):
        add, mul = semiring.add, semiring.mul
        assert_equal(add(add(x, y), z), add(x, add(y, z)), tolerance)
        assert_equal(add(x, y), add(y, x), 0)
        assert_equal(mul(mul(x, y), z), mul(x, mul(y, z)), tolerance)
        assert_equal(mul(x, add(y, z)), add(mul(x, y), mul(x, z)), tolerance)
        assert_equal(mul(add(x, y), z), add(mul(x, z), mul(y, z)), tolerance)
        assert_equal(add(x, zero), x, 0)
        assert_equal(mul(x, one), x, 0)
        assert_equal(mul(one, x), x, 0)
        assert_equal(mul(x, zero), zero, 0)
        assert_equal(mul(zero, x), zero, 0)
    check_laws(semiring, torch.cat([zero, one, a, b, c]), tolerance)


@ALL
@settings(max_examples=30, deadline=None)
@given(data=values)
def test_sum_joins_one_by_one(semiring, data):
    carrier, dtype, tolerance = CARRIERS[semiring]
    rows = torch.tensor(data.draw(st.lists(carrier, min_size=1, max_size=7)), dtype=dtype)
    expected = rows[0]
    for row in rows[1:]:
        expected = semiring.add(expected, row)
    both = torch.stack([rows, rows], 1)
    for halves in (semiring.sum(both, 0), semiring.sum(both.mT, -1), Semiring.sum(semiring, both, 0)):
        assert_equal(halves, torch.stack([expected, expected]), tolerance)


@ALL
def test_no_edge_is_zero(semiring):
    for real in (torch.float32, torch.float64):
        none = semiring.encode(torch.zeros(2, dtype=real))
        assert none.dtype == semiring.dtype(real)
        assert torch.equal(none, semiring.full((2,), none))


def test_sum_over_nothing_is_zero():
    for semiring in (Real(), Boolean(), Counting()):
        nothing = torch.empty(0, 3, dtype=semiring.dtype(torch.float64))
        assert torch.equal(semiring.sum(nothing, 0), semiring.full((3,), nothing))
    assert Semiring.sum(Tropical(), torch.empty(0, 2), 0).tolist() == [math.inf, math.inf]


def broken(add, mul, one=1.0, name="Broken"):
    namespace = {"add": lambda self, a, b: add(a, b), "mul": lambda self, a, b: mul(a, b), "one": one}
    return dataclass(frozen=True)(type(name, (Semiring,), namespace))()


@dataclass(frozen=True)
class Maps(Semiring):
    """Maps of {0, 1, 2} that keep 0, joined pointwise by max and chained one after the other."""

    zero = (0.0, 0.0)
    one = (1.0, 2.0)
    add = Viterbi.add

    def mul(self, a, b):
        return torch.cat([torch.zeros_like(b[..., :1]), b], -1).gather(-1, a.long())


NUMBERS = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
FRACTIONS = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
MAPS = torch.cartesian_prod(*[NUMBERS[:3]] * 2)
BROKEN = {
    "(a ⊕ b) ⊕ c = a ⊕ (b ⊕ c)": (broken(lambda a, b: (a + b) / 2, torch.mul), NUMBERS),
    "a ⊕ b = b ⊕ a": (broken(lambda a, b: a, torch.mul), NUMBERS),
    "a ⊕ 𝟘 = a": (broken(torch.minimum, torch.mul), NUMBERS),
    "(a ⊗ b) ⊗ c = a ⊗ (b ⊗ c)": (broken(torch.maximum, lambda a, b: (a - b).abs()), NUMBERS),
    "a ⊗ 𝟙 = a": (broken(torch.maximum, lambda a, b: 2 * a * b), NUMBERS),
    "𝟙 ⊗ a = a": (broken(torch.maximum, lambda a, b: a), NUMBERS),
    "a ⊗ 𝟘 = 𝟘": (broken(torch.maximum, torch.add, one=0.0), NUMBERS),
    "𝟘 ⊗ a = 𝟘": (broken(torch.maximum, lambda a, b: torch.where(b == 1, a, b)), NUMBERS),
    "a ⊗ (b ⊕ c) = (a ⊗ b) ⊕ (a ⊗ c)": (broken(lambda a, b: a + b - a * b, torch.mul), FRACTIONS),
    "(a ⊕ b) ⊗ c = (a ⊗ c) ⊕ (b ⊗ c)": (Maps(), MAPS),
}


@pytest.mark.parametrize("law", BROKEN)
def test_each_broken_law_is_found_with_a_counter_example(law):
    semiring, samples = BROKEN[law]
    with pytest.raises(InputError) as caught:
        check_laws(semiring, samples)
    start = f"{type(semiring).__name__} is not a semiring: {law} fails for a = "
    assert str(caught.value).startswith(start)


def test_the_counter_example_is_one():
    with pytest.raises(InputError) as caught:
        check_laws(*BROKEN["a ⊗ (b ⊕ c) = (a ⊗ b) ⊕ (a ⊗ c)"])
    shown = re.search(r"a = (\S+), b = (\S+), c = (\S+): (\S+) is not (\S+)$", str(caught.value))
    assert shown, caught.value
    a, b, c, left, right = map(float, shown.groups())
    assert left == a * (b + c - b * c)
    assert right == a * b + a * c - a * b * a * c
    assert left != right


def test_infinity_is_not_close_to_a_number():
    product = broken(torch.maximum, lambda a, b: torch.where((a > 0) & (b > 0), torch.maximum(a, b), 0.0), math.inf)
    with refused(InputError, "a ⊗ 𝟙 = a", "a = 1.0", "inf is not 1.0"):
        check_laws(product, NUMBERS)


def test_one_element_can_be_made():
    assert Tropical().full((), NUMBERS).item() == math.inf
    assert Semiring.sum(Tropical(), torch.empty(0), 0).item() == math.inf


def test_an_operation_left_out_is_named():
    for operation, arguments in (("add", 2), ("mul", 2), ("encode", 1)):
        with pytest.raises(TypeError, match=f"Semiring says no {operation}"):
            getattr(Semiring(), operation)(*[NUMBERS] * arguments)

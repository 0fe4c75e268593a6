"""Semirings by name: the house's own, a user's own, and what is refused with which words."""

from dataclasses import dataclass, field

import pytest
import torch
from refusals import refused
from semirings.written import PAGE, page

import lrp_explorer.semirings as semirings
from lrp_explorer.errors import InputError, UnknownNameError
from lrp_explorer.semirings import Boolean, Real, Semiring, Viterbi, check_laws, registration
from lrp_explorer.semirings.registration import build, default_samples, get, names, register

HOUSE = ["real", "boolean", "counting", "viterbi", "bottleneck", "tropical"]


@dataclass(frozen=True)
class Mine(Semiring):
    """Sound: the strongest path, as far as strengths go."""

    add = Viterbi.add
    mul = Real.mul

    def encode(self, d):
        return d.clamp(min=0)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What a test registers is forgotten after it."""
    registry = registration.Registry("semiring")
    for name in names():
        registry.register(name, registration._Entry(get(name)))
    monkeypatch.setattr(registration, "_registry", registry)


def test_the_house_is_registered_under_its_own_names():
    assert names()[:6] == HOUSE
    for name in HOUSE:
        assert get(name) is getattr(semirings, name.title())
        assert build(name) == get(name)()
        assert build(name).name == name


@pytest.mark.parametrize("name", HOUSE)
def test_the_house_passes_its_own_checks(name):
    samples = default_samples(build(name))
    assert len(samples) <= 30
    assert name == "boolean" or len(samples) > 2
    registration.register(type("Again", (get(name),), {}), name="again")
    assert type(build("again")).__name__ == "Again"


def test_build_takes_names_classes_and_objects():
    boolean = Boolean(theta=0.25)
    assert build(boolean) is boolean
    assert build(Viterbi) == Viterbi()
    with refused(UnknownNameError, "semiring 'viterby'", "mean 'viterbi'", "tropical"):
        build("viterby")
    for wrong in (3, None, dict, torch.add):
        with refused(InputError, "semiring is", "viterbi", "subclass"):
            build(wrong)

    @dataclass(frozen=True)
    class Best(Mine):
        k: int

    with refused(InputError, "Best cannot be made without parameters", "'k'", "defaults"):
        build(Best)


def test_a_class_or_an_object_becomes_available():
    assert register(Mine, name="mine") is Mine
    assert get("mine") is Mine
    assert build("mine") == Mine()
    with refused(InputError, "Mine has no name", "register"):
        register(Mine)

    @register
    @dataclass(frozen=True)
    class Named(Mine):
        name = "named"
        k: int = 3

    assert names()[-2:] == ["mine", "named"]
    other = register(Named(k=5), name="five")
    assert build("five") is other


def define(scale):
    @dataclass(frozen=True)
    class Cell(Mine):
        name = "cell"

        def encode(self, d):
            return scale * d.clamp(min=0)

    return Cell


def test_a_cell_that_runs_again_takes_the_place_of_its_first_run():
    register(define(1))
    register(define(2))
    assert names().count("cell") == 1
    assert build("cell").encode(torch.ones(1)).item() == 2


def test_names_that_are_taken_are_refused():
    register(define(1))
    with refused(InputError, "'cell' is registered already", "define.<locals>.Cell", "another name"):
        register(Mine, name="cell")
    with refused(InputError, "'viterbi' is registered already"):
        register(Mine, name="viterbi")
    with refused(InputError, "'boolean' is registered already"):
        register(Boolean(theta=0.5))
    assert get("boolean") is Boolean


def test_the_page_s_algebras_hold_and_its_counter_example_is_the_real_one():
    known, messages = page()
    for name in ("Lukasiewicz", "BestPaths"):
        register(known[name], name=f"again {name}")
        samples = default_samples(build(known[name]))
        assert len(samples) > 10
        check_laws(build(known[name]), samples, 1e-12)
    (message,) = messages
    assert "Noisy is not a semiring: a ⊗ (b ⊕ c) = (a ⊗ b) ⊕ (a ⊗ c) fails for" in message
    assert message in " ".join(PAGE.read_text().split())


@dataclass(frozen=True)
class Loose(Mine):
    scales: list = field(default_factory=list)


def changed(**methods):
    return dataclass(frozen=True)(type("Changed", (Mine,), methods))


ONLY_MINE = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
BAD = {
    "no add": (changed(add=Semiring.add), None, ["Changed.add fails", "says no add"]),
    "no mul": (changed(mul=Semiring.mul), None, ["Changed.mul fails", "says no mul"]),
    "no encode": (changed(encode=Semiring.encode), None, ["Changed.encode fails", "says no encode"]),
    "an edge where there is none": (
        changed(encode=lambda self, d: d.exp()),
        None,
        [r"Changed.encode\(0\) is 1.0", "𝟘 = 0.0"],
    ),
    "another type": (
        changed(encode=lambda self, d: d.double().clamp(min=0)),
        None,
        ["Changed.encode of torch.float32 edges", "torch.float64, but .* torch.float32"],
    ),
    "another shape": (
        changed(encode=lambda self, d: torch.stack([d, d], -1)),
        None,
        ["Changed.encode", r"\(3, 4, 2\)", r"\(3, 4\)"],
    ),
    "decode of another shape": (changed(decode=lambda self, r: r.sum()), None, ["Changed.decode", r"\(3, 4\)"]),
    "decode of another kind": (changed(decode=lambda self, r: r.tolist()), None, ["Changed.decode gives list"]),
    "an operation that is no tensor": (changed(add=lambda self, a, b: 3.0), None, ["Changed.add", "float"]),
    "mul that does not broadcast": (
        changed(mul=lambda self, a, b: torch.stack([a, b]).prod(0)),
        None,
        ["Changed.mul fails", r"\(1, .*\) and \(.*, 1\)"],
    ),
    "sum that is not ⊕": (
        changed(sum=lambda self, values, axis: values.sum(axis)),
        None,
        ["Changed.sum gives", "one by one"],
    ),
    "a broken law": (changed(mul=lambda self, a, b: a * b**2), None, [r"\(a ⊗ b\) ⊗ c = a ⊗ \(b ⊗ c\) fails for a ="]),
    "no samples": (Mine, ONLY_MINE[:0], ["no samples"]),
    "samples of another type": (Mine, ONLY_MINE.float(), ["Mine: samples", "float32", "float64"]),
    "samples of another shape": (Mine, ONLY_MINE.reshape(3, 1), ["Mine: samples", r"\(3, 1\)"]),
    "a law broken on the user's samples": (Mine, torch.tensor([0.0, 1.0, -1.0, 2.0]).double(), ["a ⊕ 𝟘 = a", "-1.0"]),
    "no hash": (Loose, None, ["Loose has no hash", "frozen=True"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case):
    semiring, samples, words = BAD[case]
    with refused(InputError, *words):
        register(semiring, samples, name="bad")
    assert "bad" not in names()

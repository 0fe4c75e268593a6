"""Semirings by name: the house's own, and those that a user registers, whose laws are checked first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from lrp_explorer.errors import InputError
from lrp_explorer.registry import Registry
from lrp_explorer.semirings import library
from lrp_explorer.semirings.algebra import Semiring, check_laws

Given = TypeVar("Given", Semiring, type[Semiring])

# Edges as layers have them: none, both signs, small ones, shares, and more than everything.
COEFFICIENTS = (0.0, -1.7, -0.3, 1e-10, 0.02, 0.25, 0.4, 0.5, 0.75, 0.9, 1.0, 2.5)


@dataclass
class _Entry:
    """What a name stands for; a class that is defined anew in a notebook takes the place of the old one."""

    semiring: Semiring | type[Semiring]


HOUSE = (library.Real, library.Boolean, library.Counting, library.Viterbi, library.Bottleneck, library.Tropical)
_registry = Registry[_Entry]("semiring")
for _kind in HOUSE:
    _registry.register(_kind.name, _Entry(_kind))


def names() -> list[str]:
    """Every name, the house's own first."""
    return _registry.names()


def get(name: str) -> Semiring | type[Semiring]:
    """Give what was registered under a name: a class, or one object; `UnknownNameError` tells the nearest names."""
    return _registry.get(name).semiring


def build(semiring: str | Semiring | type[Semiring]) -> Semiring:
    """Give the semiring that is meant by a name, a class or an object.

    Raises
    ------
    UnknownNameError
        When no semiring has the name.
    InputError
        For anything else, and for a class that cannot be made without parameters.
    """
    found = get(semiring) if isinstance(semiring, str) else semiring
    if isinstance(found, Semiring):
        return found
    if not (isinstance(found, type) and issubclass(found, Semiring)):
        raise InputError(
            f"semiring is {semiring!r}, but one of {names()} or an object such as Viterbi() is expected; "
            "an algebra of your own is a subclass of lrp_explorer.semirings.Semiring"
        )
    if found.encode is Semiring.encode and found.add is Semiring.add:
        raise InputError(f"semiring is {semiring!r}, which is abstract: one with add, mul and encode is expected")
    try:
        return found()
    except TypeError as error:
        raise InputError(
            f"{found.__name__} cannot be made without parameters ({error}); give them defaults, or register an object"
        ) from error


def register(semiring: Given, samples: Tensor | None = None, name: str | None = None) -> Given:
    """Check an algebra of your own on samples, and make it available by name; works as a class decorator too.

    Parameters
    ----------
    semiring : Semiring or subclass of it
        A class that can be made without parameters, or one object.
    samples : Tensor, optional
        Elements ``(n, *element)`` on which the laws are tried, all triples; a dozen is plenty. By default: 𝟘, 𝟙, the
        edges that a spread of real coefficients becomes, and some of their sums and products.
    name : str, optional
        By default the class's own `name`.

    Returns
    -------
    Semiring or subclass of it
        What was given.

    Raises
    ------
    InputError
        When a law fails, with the counter-example; when an operation is missing, or gives another shape or type than
        the kernels need; or when another semiring has the name.
    """
    if name is not None and not isinstance(name, str):
        raise InputError(
            f"name is {name!r} ({type(name).__name__}), but a str is expected, or None for the class's own"
        )
    built = build(semiring)
    label = name or built.name
    if not label:
        raise InputError(f'{type(built).__name__} has no name; say name = "…" in the class, or register(…, name="…")')
    if label in _registry and (get(label) in HOUSE or _origin(get(label)) != _origin(semiring)):
        raise InputError(f"semiring {label!r} is registered already, by {_origin(get(label))}; choose another name")
    check_conduct(built)
    chosen = default_samples(built) if samples is None else samples
    if not isinstance(chosen, Tensor) or chosen.dim() == 0 or not len(chosen):
        raise InputError(
            f"{type(built).__name__}: no samples to try the laws on; samples is {samples!r} "
            f"({type(samples).__name__}), but a tensor (n, *element) of at least one element is expected"
        )
    _check_operations(built, chosen)
    check_laws(built, chosen)
    if label in _registry:
        _registry.get(label).semiring = semiring
    else:
        _registry.register(label, _Entry(semiring))
    return semiring


def default_samples(semiring: Semiring) -> Tensor:
    """𝟘, 𝟙, the edges that `COEFFICIENTS` become, and sums and products of neighbours among them ``(n, *element)``."""
    edges = _called(semiring, "encode", torch.tensor(COEFFICIENTS, dtype=torch.float64))
    ends = [semiring.full((1,), edges, element) for element in (semiring.zero, semiring.one)]
    shares, others = edges[4:-1], edges[5:]
    joined = [_called(semiring, operation, shares, others) for operation in ("add", "mul")]
    for operation, result in zip(("add", "mul"), joined, strict=True):
        _expect(f"{type(semiring).__name__}.{operation}", result, tuple(shares.shape), edges.dtype)
    return torch.cat([*ends, edges, *joined]).unique(dim=0)


def check_conduct(semiring: Semiring) -> None:
    """Check that `encode` and `decode` give what kernels and figures need: shapes, types, and 𝟘 for no edge."""
    who = type(semiring).__name__
    try:
        hash(semiring)
    except TypeError as error:
        raise InputError(f"{who} has no hash ({error}); make it a @dataclass(frozen=True)") from error
    for real in (torch.float32, torch.float64):
        d = torch.tensor(COEFFICIENTS, dtype=real).reshape(3, 4)
        edges = _called(semiring, "encode", d)
        _expect(f"{who}.encode of {real} edges", edges, (*d.shape, *semiring.element), semiring.dtype(real))
        none = _called(semiring, "encode", d.new_zeros(1))
        zero = semiring.full((1,), none)
        if not torch.equal(none, zero):
            raise InputError(f"{who}.encode(0) is {none[0].tolist()!r}: no edge has to become 𝟘 = {zero[0].tolist()!r}")
        shown = _called(semiring, "decode", edges)
        if not isinstance(shown, Tensor) or shown.shape[:2] != d.shape:
            form = tuple(shown.shape) if isinstance(shown, Tensor) else type(shown).__name__
            raise InputError(
                f"{who}.decode gives {form}, but a tensor whose first axes are {tuple(d.shape)} is expected"
            )


def _check_operations(semiring: Semiring, samples: Tensor) -> None:
    """Check shapes and types of ⊕ and ⊗, that ⊗ broadcasts, and that `sum` is ⊕ of all."""
    who, n = type(semiring).__name__, len(samples)
    dtype = semiring.dtype(torch.float64)
    _expect(f"{who}: samples", samples, (n, *semiring.element), dtype)
    for operation in ("add", "mul"):
        result = _called(semiring, operation, samples, samples.flip(0))
        _expect(f"{who}.{operation}", result, tuple(samples.shape), dtype)
    pairs = _called(semiring, "mul", samples.unsqueeze(0), samples.unsqueeze(1))
    _expect(f"{who}.mul of axes 1 × {n} and {n} × 1, which it has to broadcast,", pairs, (n, *samples.shape), dtype)
    total = samples[0]
    for sample in samples[1:]:
        total = semiring.add(total, sample)
    found = _called(semiring, "sum", samples, 0)
    _expect(f"{who}.sum", found, semiring.element, dtype)
    if not torch.allclose(found.double(), total.double(), rtol=1e-9, atol=1e-9, equal_nan=True):
        raise InputError(f"{who}.sum gives {found.tolist()!r} for all samples, but ⊕ one by one {total.tolist()!r}")


def _called(semiring: Semiring, operation: str, *arguments: Any) -> Any:
    method: Callable[..., Any] = getattr(semiring, operation)
    try:
        return method(*arguments)
    except Exception as error:
        shapes = " and ".join(str(tuple(a.shape)) for a in arguments if isinstance(a, Tensor))
        raise InputError(
            f"{type(semiring).__name__}.{operation} fails on {shapes}: {error}; elements are expected"
        ) from error


def _expect(what: str, value: object, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    wanted = f"a tensor of shape {tuple(shape)} and {dtype}"
    if not isinstance(value, Tensor):
        raise InputError(f"{what} is a {type(value).__name__}, but {wanted} is expected")
    if tuple(value.shape) != tuple(shape) or value.dtype != dtype:
        raise InputError(f"{what} has shape {tuple(value.shape)} and {value.dtype}, but {wanted} is expected")


def _origin(semiring: Semiring | type[Semiring]) -> str:
    """Where a class was written; the same for a cell that ran twice."""
    kind = semiring if isinstance(semiring, type) else type(semiring)
    return f"{kind.__module__}.{kind.__qualname__}"

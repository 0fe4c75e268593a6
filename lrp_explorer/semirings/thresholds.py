"""Thresholds of edges: one number, one for each layer, or a profile that finds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.rules.base import check_number


@dataclass(frozen=True)
class Profile:
    """Abstract: finds a threshold for every layer with edges."""


@dataclass(frozen=True)
class PerLayer(Profile):
    """One threshold for each named layer; the others take `otherwise`."""

    values: tuple[tuple[str, float], ...]
    otherwise: float = 1e-9


@dataclass(frozen=True)
class Quantile(Profile):
    """A quantile of each layer's own edges: of those with d_jk > 0, in each example, estimated from `sample` of them.

    Parameters
    ----------
    q : float
        Share of the layer's edges below the threshold, in [0, 1].
    sample : int
        Edges drawn (with a fixed seed) for the estimate.
    """

    q: float = 0.9
    sample: int = 1 << 14

    def __post_init__(self) -> None:
        check_number(self, "q", 0.0, 1.0)
        check_number(self, "sample", 1)


@dataclass(frozen=True)
class Size(Profile):
    """A formula of the layers' sizes that fits thresholds chosen by hand for VGG-16.

    θ = 0.005 (k² + 3 ln s) + 0.0066 + 0.0002 n, where n is the position among the layers with weights from 0, k the
    kernel size of the next of them (its own for the last; 1 for dense layers), and s the width of the layer's input.
    """


Theta: TypeAlias = "float | Mapping[str, float] | Profile | str"

# Chosen by hand for torchvision's VGG-16 by the authors of semiring LRP, with absolute edges and d > θ.
VGG16 = PerLayer(
    (
        *((f"features.{i}", 0.05) for i in (0, 2, 5, 7, 10, 12)),
        *((f"features.{i}", 0.06) for i in (14, 17, 19)),
        ("features.21", 0.1),
        ("features.24", 0.09),
        ("features.26", 0.025),
        ("features.28", 0.3),
        ("classifier.0", 0.043),
        ("classifier.3", 0.0145),
        ("classifier.6", 0.0145),
    )
)
NAMED: dict[str, Profile] = {"auto": Quantile(), "size": Size(), "vgg16": VGG16}


def as_theta(owner: str, theta: object, *, zero: bool) -> float | Profile:
    """Check a threshold and bring it into a form that hashes; `zero` tells whether 0 is allowed."""
    if isinstance(theta, Profile):
        return theta
    if isinstance(theta, str):
        if theta not in NAMED:
            raise unknown_name("threshold profile", theta, NAMED, "A number or {layer: number} is accepted too.")
        return NAMED[theta]
    if isinstance(theta, Mapping):
        for layer, value in theta.items():
            _check(owner, value, f"theta of layer {layer!r}", zero=False)
        return PerLayer(tuple((str(layer), float(value)) for layer, value in theta.items()))
    _check(owner, theta, "theta", zero=zero)
    return float(theta)  # type: ignore[arg-type]


def _check(owner: str, value: object, what: str, *, zero: bool) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0:  # type: ignore[operator]
        raise InputError(f"{owner}: {what} is {value!r}, but a positive number is expected")
    if value == 0 and not zero:
        raise InputError(
            f"{owner}: {what} is 0, and every pair would be an edge, zeros included; take strict=True for the sign "
            "alone (d > 0), or a small number such as 1e-9"
        )

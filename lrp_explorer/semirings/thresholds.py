"""Thresholds of edges: one number, one for each layer, or a profile that finds them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.rules.base import check_count, check_number


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
        check_count(self, "sample")


@dataclass(frozen=True)
class Size(Profile):
    """A formula of the layers' sizes that fits thresholds chosen by hand for the last layers of VGG-16.

    θ = 0.005 (k² + 3 ln s) + 0.0066 + 0.0002 n, where n is the position among the layers with weights from 0, k the
    kernel size of the next of them (its own for the last; of edges that differ the geometric mean), and s the width of
    the layer's input. A dense layer that reads a map is the convolution that sees all of it; any other has k = s = 1,
    and in a dense layer over the places of a map or sequence s is their number along the last axis.
    """


@dataclass(frozen=True)
class Apart(Profile):
    """A threshold for activations, one for weights, and one for the relevance put in; for ``edge="separate"`` only.

    R_j = ⊕_k Θ_a(a_j) ⊗ Θ_w(w_jk) ⊗ R_k, from Θ_r(f_y) at the explained class y with logit f_y (slides on semirings for
    LRP, eq. 3 and 4). Layers without weights compare their activations, or the terms of a sum.

    Parameters
    ----------
    activation, weight : float, {layer: float}, Profile or str
        θ_a and θ_w, each as a threshold by itself; a quantile is one of the layer's own activations (in each example)
        or weights that are above 0.
    relevance : float or None
        θ_r; None: paths start with 𝟙 whatever the logit.
    """

    activation: float | Profile = 1e-9
    weight: float | Profile = 1e-9
    relevance: float | None = None


ROLES = ("activation", "weight", "relevance")
One: TypeAlias = "float | Mapping[str, float] | Profile | str"
Theta: TypeAlias = "One | Mapping[str, One | None] | tuple[One, One, float | None]"

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


def as_theta(owner: str, theta: object, *, zero: bool, separate: bool = False) -> float | Profile:
    """Check a threshold and bring it into a form that hashes.

    Parameters
    ----------
    owner : str
        Who asks, for messages.
    theta
        What was given.
    zero : bool
        Whether 0 is allowed.
    separate : bool
        Whether edges are activations and weights by themselves, each of which can have a threshold of its own.
    """
    of_roles = isinstance(theta, Mapping) and len(theta) > 0 and set(theta) <= set(ROLES)
    if isinstance(theta, (Apart, tuple, list)) or (separate and of_roles):
        return _apart(owner, theta, zero=zero, separate=separate)
    return _one(owner, theta, "theta", zero=zero)


def _apart(owner: str, theta: object, *, zero: bool, separate: bool) -> Apart:
    if not separate:
        raise InputError(
            f"{owner}: theta is {theta!r}, but thresholds for {', '.join(ROLES)} are for edge='separate'; with "
            "edge='contribution' an edge is one number, and one threshold is expected"
        )
    if isinstance(theta, Apart):
        given: dict[str, object] = {role: getattr(theta, role) for role in ROLES}
    elif isinstance(theta, Mapping):
        given = {str(role): value for role, value in theta.items()}
    else:
        assert isinstance(theta, (tuple, list))
        if len(theta) != len(ROLES):
            raise InputError(f"{owner}: theta is {theta!r}, but three thresholds are expected: {', '.join(ROLES)}")
        given = dict(zip(ROLES, theta, strict=True))
    relevance = given.pop("relevance", None)
    if relevance is not None:
        if isinstance(relevance, (Mapping, Profile, str)):
            raise InputError(
                f"{owner}: theta of relevance is {relevance!r}, but relevance is put in at one output alone: a number "
                "that the explained logit has to reach is expected, or None"
            )
        _check(owner, relevance, "theta of relevance", zero=zero)
        relevance = float(relevance)  # type: ignore[arg-type]
    found = {role: _one(owner, value, f"theta of {role}", zero=zero) for role, value in given.items()}
    return Apart(**found, relevance=relevance)


def _one(owner: str, theta: object, what: str, *, zero: bool) -> float | Profile:
    if isinstance(theta, Profile) and not isinstance(theta, Apart):
        return theta
    if isinstance(theta, str):
        if theta not in NAMED:
            raise unknown_name("threshold profile", theta, NAMED, "A number or {layer: number} is accepted too.")
        return NAMED[theta]
    if isinstance(theta, Mapping):
        for layer, value in theta.items():
            _check(owner, value, f"{what} of layer {layer!r}", zero=False)
        return PerLayer(tuple((str(layer), float(value)) for layer, value in theta.items()))
    _check(owner, theta, what, zero=zero)
    return float(theta)  # type: ignore[arg-type]


def _check(owner: str, value: object, what: str, *, zero: bool) -> None:
    value = value.item() if isinstance(value, np.generic) else value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= sys.float_info.max:  # type: ignore[operator]
        raise InputError(f"{owner}: {what} is {value!r}, but a positive number is expected")
    if value == 0 and not zero:
        raise InputError(
            f"{owner}: {what} is 0, and every pair would be an edge, zeros included; take strict=True for the sign "
            "alone (d > 0), or a small number such as 1e-9"
        )

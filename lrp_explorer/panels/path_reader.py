"""From relevance over paths to numbers: channels joined where they were computed, then brought over."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrp_explorer.composites import Composite
from lrp_explorer.engine import Session
from lrp_explorer.figures import layers, thresholds
from lrp_explorer.panels import algebra, folding
from lrp_explorer.panels.paths import Paths
from lrp_explorer.path_relevance import PathRelevance
from lrp_explorer.results import PathStep
from lrp_explorer.semirings import Semiring


def propagate(
    session: Session,
    target: int | None,
    composite: Composite,
    name: str,
    semiring: Semiring,
    stale: Callable[[], bool],
) -> Paths:
    """Compute relevance in a semiring and bring it to numbers; warnings become notes.

    Parameters
    ----------
    session : Session
        Of one example.
    target, composite
        See `Session.relevance`.
    name : str
        Name of the semiring.
    semiring : Semiring
        What is computed for it, see `algebra.build`.
    stale : callable
        Asked between layers.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = session.relevance(target, composite, semiring, should_stop=stale)
    assert isinstance(found, PathRelevance)
    notes = tuple(dict.fromkeys(str(warning.message) for warning in caught))
    # The last layer tells how many axes an element has.
    several = found.maps[found.layers[-1]].dim() - found.logits.dim()
    elements = {layer: _first(value, several) for layer, value in found.maps.items() if value.numel()}
    whole = [tuple(value.shape) for value in elements.values()]
    plain = {layer: value.reshape(folding.folded(tuple(value.shape))) for layer, value in elements.items()}
    if several:
        notes += (f"elements of {name} are several numbers each; the first one is shown",)
    way = algebra.reading(name)
    names = tuple(plain)
    return Paths(
        names=names,
        shapes=tuple(folding.single(shape) for shape in whole),
        drawn=tuple(tuple(value.shape) for value in plain.values()),
        joined={join: tuple(_joined(value, join, way) for value in plain.values()) for join in way.joins},
        influence=_influence(found, names) if algebra.compares(name) else None,
        levels=None if algebra.compares(name) else _levels(plain.values(), way),
        strongest=_strongest(plain[names[0]]),
        notes=notes,
    )


def best_path(
    session: Session,
    target: int | None,
    composite: Composite,
    semiring: Semiring,
    start: tuple[int, ...],
    paths: Paths,
) -> tuple[PathStep, ...]:
    """Follow the best path from one place of the input; none where no path leads from there.

    Parameters
    ----------
    session, target, composite, semiring
        See `Session.best_path`.
    start : tuple of int
        Row and column, of which the strongest channel is taken, or the neuron.
    paths : Paths
        Strengths in the same semiring.
    """
    shape = paths.drawn[0]
    axis = layers.summed_axis(shape)
    strengths = paths.joined["max"][0]
    flat = strengths if axis is None else strengths.squeeze(axis)
    inside = len(start) == flat.ndim and all(0 <= i < n for i, n in zip(start, flat.shape, strict=True))
    if not inside or not flat[start] > 0:
        return ()
    index = start if axis is None else (*start[:axis], int(paths.strongest[start]), *start[axis:])
    index = tuple(int(i) for i in np.unravel_index(np.ravel_multi_index(index, shape), paths.shapes[0]))
    return tuple(session.best_path(index, target=target, composite=composite, semiring=semiring))


def _first(value: Tensor, several: int) -> Tensor:
    """One number for each neuron: the first of those that a semiring's elements have."""
    one = value.detach()
    for _ in range(several):
        one = one[..., 0]
    return one


def _strongest(value: Tensor) -> np.ndarray:
    axis = layers.summed_axis(tuple(value.shape))
    return np.empty(0, dtype=np.int64) if axis is None else value.double().argmax(axis).cpu().numpy()


def _joined(value: Tensor, join: str, way: algebra.Reading) -> np.ndarray:
    axis = layers.summed_axis(tuple(value.shape))
    if axis is not None:
        if join == "sum":
            value = value.sum(axis, keepdim=True)
        else:
            value = value.amax(axis, keepdim=True) if join == "max" else value.amin(axis, keepdim=True)
    return _logarithm(value, way).cpu().numpy()


def _logarithm(value: Tensor, way: algebra.Reading) -> Tensor:
    """Take log₁₀ of counts; no path becomes NaN, as it does for costs."""
    if way is not algebra.READINGS["counting"]:
        return torch.where(torch.isinf(value), torch.nan, value) if way.scale.blank else value
    value = value.double().log10()
    return torch.where(torch.isinf(value), torch.nan, value)


def _levels(values: Iterable[Tensor], way: algebra.Reading) -> np.ndarray:
    reduce: dict[str, Callable[[Tensor], Any]] = {"max": torch.amax, "min": torch.amin, "sum": torch.sum}
    return np.array([float(_logarithm(reduce[way.reduce](value.double()), way)) for value in values])


def _influence(found: PathRelevance, names: tuple[str, ...]) -> thresholds.InfluenceInfo:
    shares = found.influence(algebra.THETAS.tolist())
    return thresholds.info(names, algebra.THETAS, np.stack([shares[name].cpu().numpy() for name in names]))

"""Relevance over paths, as panels show it: kept once, then read at any threshold with channels joined in any way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lrp_explorer.figures import best_path, layers, scales, thresholds
from lrp_explorer.panels import algebra
from lrp_explorer.results import PathStep

SEEN = 0.999
"""As for real relevance: share of a layer's values within its colour range."""


@dataclass(frozen=True)
class Paths:
    """Elements of every layer of one example, channels joined; nothing of torch.

    Attributes
    ----------
    names : tuple of str
        Layers, input first.
    shapes : tuple of tuple of int
        Their shapes, without the batch, before joining.
    drawn : tuple of tuple of int
        The same as they are drawn, see `lrp_explorer.panels.folding.folded`.
    joined : mapping
        Reduction of the channels → array of each layer.
    influence : InfluenceInfo or None
        Share of relevant neurons at every threshold, where there are thresholds to be compared with.
    levels : ndarray or None
        One number for each layer otherwise; see `lrp_explorer.panels.algebra.Reading`.
    strongest : ndarray
        For every place of the input, the channel with the largest element; empty where it has no channels.
    notes : tuple of str
        What the user should know of the elements.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    drawn: tuple[tuple[int, ...], ...]
    joined: Mapping[str, tuple[np.ndarray, ...]]
    influence: thresholds.InfluenceInfo | None
    levels: np.ndarray | None
    strongest: np.ndarray
    notes: tuple[str, ...] = ()

    def read(self, semiring: str, theta: float, join: str) -> tuple[layers.LayerInfo, ...]:
        """Give every layer as it is drawn.

        Parameters
        ----------
        semiring : str
            Name of the semiring; Boolean and Bottleneck read the same elements.
        theta : float
            Threshold that Boolean and Bottleneck are compared with: this is all that moving it takes.
        join : str
            Reduction of the channels.
        """
        arrays = self.joined[join if join in self.joined else next(iter(self.joined))]
        shares = None if self.influence is None else self.influence.at(theta)
        found = []
        each = zip(self.names, self.shapes, self.drawn, arrays, strict=True)
        for place, (name, own, shape, elements) in enumerate(each):
            values, scale = _seen(semiring, elements, theta)
            said = _said(values, scale) if shares is None else f"{shares[place]:.1%} relevant"
            layer = layers.info(name, values, quantile=SEEN, shape=shape, scale=scale, said=said)
            found.append(replace(layer, shape=own))
        return tuple(found)

    def level_info(self, semiring: str, steps: tuple[PathStep, ...]) -> best_path.LevelsInfo:
        """Give one number for each layer, and the path that was chosen."""
        assert self.levels is not None
        return best_path.info(self.names, self.levels, algebra.reading(semiring).level, steps)


def _seen(semiring: str, elements: np.ndarray, theta: float) -> tuple[np.ndarray, scales.Scale]:
    scale = algebra.reading(semiring).scale
    if semiring == "boolean":
        return (elements >= theta).astype(np.float64), scale
    values = np.asarray(elements, dtype=np.float64)
    if semiring == "bottleneck":
        return np.where(values >= theta, _bounded(values), np.nan), scale
    if semiring not in algebra.READINGS and bool((values[np.isfinite(values)] < 0).any()):
        scale = scales.SIGNED
    return (np.where(np.isfinite(values), values, np.nan) if scale.blank else _bounded(values)), scale


def _bounded(values: np.ndarray) -> np.ndarray:
    """Draw what is infinite, as 𝟙 of Bottleneck is, as strong as the strongest of the others; 1 where all are."""
    finite = values[np.isfinite(values)]
    top = float(finite.max(initial=0.0)) or 1.0
    return np.nan_to_num(values, nan=math.nan, posinf=top, neginf=-top)


def _said(values: np.ndarray, scale: scales.Scale) -> str:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "no path"
    if scale.falling:
        return f"cheapest {finite.min():.3g}"
    if scale is scales.COUNT:
        return f"up to 10^{finite.max():.2f} paths"
    return f"{scale.quantity} up to {finite.max():.3g}"

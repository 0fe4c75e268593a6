"""What an explanation is, as panels show it: numbers, names and notes; nothing of torch, nothing of widgets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lrp_explorer.figures import conservation, layers, probabilities
from lrp_explorer.panels.paths import Paths
from lrp_explorer.panels.state import Request
from lrp_explorer.results import CoverageRow, PathStep


@dataclass(frozen=True)
class Example:
    """One example as it is shown.

    Attributes
    ----------
    picture : ndarray of uint8 or None
        `(height, width)` or `(height, width, 3)`; None where the input is not a picture.
    label : str
        Its true class as the data set calls it; empty where it is not known.
    caption : str
        Its name for a reader, a file for instance; empty where it has none.
    count : int
        How many examples the data set has.
    classes : tuple of str
        Names of the model's classes, empty where unknown.
    """

    picture: np.ndarray | None
    label: str
    caption: str
    count: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """All numbers of one view.

    Attributes
    ----------
    request : Request
        What was asked for.
    example : Example
        What is explained.
    logits : ndarray
        `(classes,)`.
    target : int
        The class that is explained.
    layers : tuple of LayerInfo
        Input first.
    sums : SumsInfo or None
        Sum of relevance per layer; None for semirings, where it says nothing.
    coverage : tuple of CoverageRow
        Which rule serves which layer.
    notes : tuple of str
        What the user should know: assumptions made, layers that fell back.
    device : str
        Where it was computed.
    seconds : float
        Time of the backward walk and of bringing its numbers to the processor.
    paths : Paths or None
        Elements of every layer, for semirings other than the real one.
    steps : tuple of PathStep
        The best path from the neuron asked for, input side first.
    """

    request: Request
    example: Example
    logits: np.ndarray
    target: int
    layers: tuple[layers.LayerInfo, ...]
    sums: conservation.SumsInfo | None
    coverage: tuple[CoverageRow, ...]
    notes: tuple[str, ...]
    device: str
    seconds: float
    paths: Paths | None = None
    steps: tuple[PathStep, ...] = ()

    def read(self, semiring: str, theta: float, join: str) -> Explanation:
        """Read the layers at another threshold or with channels joined in another way; see `Paths.read`."""
        if self.paths is None:
            return self
        return replace(self, layers=self.paths.read(semiring, theta, join))

    def layer(self, name: str) -> layers.LayerInfo:
        """Find a layer; the one to begin with where there is none of this name."""
        found = {layer.name: layer for layer in self.layers}
        return found.get(name) or self.layers[min(1, len(self.layers) - 1)]


def top(explanation: Explanation, k: int = 5) -> probabilities.TopInfo:
    """Give the leading classes of an explanation, the explained one marked."""
    return probabilities.info(explanation.logits, explanation.example.classes, k, explanation.target)

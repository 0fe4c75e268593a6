"""What the floors hand to each other: frozen records of what was computed, and of how."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lrp_explorer.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Row = TypeVar("Row")


@dataclass(frozen=True)
class CoverageRow:
    """What will serve one layer: its operation, its rule, and a note where something is out of the ordinary."""

    layer: str
    op: str
    rule: str
    note: str = ""


@dataclass(frozen=True)
class LedgerRow:
    """Where one layer's relevance went, summed over the batch.

    Attributes
    ----------
    layer, rule : str
        The layer and the rule that served it.
    relevance_in : float
        Relevance that arrived at the layer's output.
    relevance_out : float
        Relevance that its inputs received.
    to_bias, to_epsilon, other : float
        Absorbed by the bias (or another constant), by the stabiliser, and lost otherwise. Together they are
        `relevance_in` − `relevance_out`.
    kind : str
        Kind of the layer (``"max_pool"``, ``"gate"``, …), see `lrp_explorer.graph.ops.KINDS`.
    magnitude : float
        Σ|R| over its inputs: what cancels in `relevance_out` counts here.
    note : str
        Marks the first layer that hands down ten times the Σ|R| that was put in at the output.
    """

    layer: str
    rule: str
    relevance_in: float
    relevance_out: float
    to_bias: float
    to_epsilon: float
    other: float
    kind: str = ""
    magnitude: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class PathStep:
    """One neuron on the best path from the input to the target's output.

    Attributes
    ----------
    layer : str
        The layer whose output the neuron is.
    index : tuple of int
        Its place there, without the batch.
    strength : float
        Of the best path from here to the target.
    edge : float
        Of the edge that leads on from here; 1 at the output.
    """

    layer: str
    index: tuple[int, ...]
    strength: float
    edge: float


class Table(Sequence[Row], Generic[Row]):
    """Rows that read well when printed, and become a pandas data frame by `to_frame`."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = tuple(rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def to_frame(self) -> Any:
        """Return the rows as a ``pandas.DataFrame``; pandas has to be installed."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("a data frame needs pandas: pip install pandas") from error
        return pd.DataFrame([{f.name: getattr(row, f.name) for f in fields(row)} for row in self._rows])  # type: ignore

    def __repr__(self) -> str:
        if not self._rows:
            return "(no rows)"
        names = [f.name for f in fields(self._rows[0])]  # type: ignore[arg-type]
        cells = [[_cell(getattr(row, name)) for name in names] for row in self._rows]
        widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [names, *cells]
        ]
        return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def probabilities(logits: Tensor) -> Tensor:
    """Turn logits ``(batch, classes)`` into probabilities: their softmax; of a single logit, the sigmoid."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def _no_notes(relevance: Relevance) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Relevance:
    """Relevance of every layer, for a batch of explanations.

    ``rel["features.28"]`` is the relevance of that layer's output neurons, of the shape and type of its output. Answers
    of one session share what they have in common: write to a copy (``.clone()``).

    Attributes
    ----------
    maps : mapping
        Layer → relevance ``(batch, ...)``; input side first, ``"input"`` included.
    logits : Tensor
        The model's output ``(batch, classes)``.
    target : Tensor
        Explained class of every example ``(batch,)``.
    start : Tensor
        Relevance put in at the output ``(batch, classes)``.
    composite, semiring, seed : str
        How it was computed.
    """

    maps: Mapping[str, Tensor]
    logits: Tensor
    target: Tensor
    start: Tensor
    composite: str
    semiring: str
    seed: str
    _resolve: Callable[[str], str] = field(repr=False, compare=False)
    _ledger: Callable[[], Table[LedgerRow]] = field(repr=False, compare=False)
    _notes: Callable[[Any], tuple[str, ...]] = field(default=_no_notes, repr=False, compare=False, kw_only=True)

    @property
    def input(self) -> Tensor:
        """Relevance of the input, of its shape ``(batch, ...)``."""
        return self.maps["input"]

    @property
    def layers(self) -> list[str]:
        """Names of all layers, input side first."""
        return list(self.maps)

    def __getitem__(self, layer: str) -> Tensor:
        return self.maps[self._resolve(layer)]

    def sums(self) -> dict[str, Tensor]:
        """Total relevance of every layer, per example ``(batch,)``, summed in double precision."""
        return {name: value.flatten(1).double().sum(1) for name, value in self.maps.items()}

    @cached_property
    def ledger(self) -> Table[LedgerRow]:
        """Where relevance went, layer by layer, output side first; computed when first asked for."""
        return self._ledger()

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What should be known of these numbers, in words: which layer absorbed nearly all relevance, where one did."""
        return self._notes(self)

    @property
    def probabilities(self) -> Tensor:
        """Probability of each class ``(batch, classes)``, see `probabilities`."""
        return probabilities(self.logits)

    def __repr__(self) -> str:
        shape = tuple(self.input.shape)
        return f"Relevance({len(self.maps)} layers, input {shape}, {self.composite}, seed {self.seed!r})"


class _Compared(Mapping[str, "Tensor"]):
    """Maps that are compared with a threshold when they are looked at."""

    def __init__(self, maps: Mapping[str, Tensor], theta: float) -> None:
        self._maps, self._theta = maps, theta

    def __getitem__(self, name: str) -> Tensor:
        return self._maps[name] >= self._theta

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)


@dataclass(frozen=True, repr=False)
class PathRelevance(Relevance):
    """Relevance in a semiring: elements of every layer, which are not conserved and add up to nothing.

    Boolean relevance is of type bool, Counting in double precision, the others in the network's own.
    """

    every_threshold: bool = field(default=False, kw_only=True)

    def at(self, theta: float) -> PathRelevance:
        """Boolean relevance at threshold θ (or at θ·τ for a profile τ), by comparison, without propagation.

        Parameters
        ----------
        theta : float
            θ > 0.

        Raises
        ------
        InputError
            When this is not Bottleneck relevance, or θ is not positive, or 0 in the precision of the relevance.
        """
        self._need_every_threshold()
        theta = _threshold(theta, "theta", self.maps)
        return replace(
            self, maps=_Compared(self.maps, theta), semiring=f"{self.semiring} at {theta!r}", every_threshold=False
        )

    def influence(self, thetas: Sequence[float]) -> dict[str, Tensor]:
        """Share of each layer's neurons that are relevant at each threshold ``(len(thetas),)``, over the whole batch.

        The distribution function of the one map: no propagation.

        Raises
        ------
        InputError
            When this is not Bottleneck relevance, there is no threshold, or one is not positive, or 0 in the precision
            of the relevance.
        """
        self._need_every_threshold()
        if isinstance(thetas, (str, bytes)) or not hasattr(thetas, "__iter__"):
            raise InputError(f"thetas is {thetas!r}, but a sequence of positive numbers is expected")
        listed = [_threshold(theta, f"thetas[{i}]", self.maps) for i, theta in enumerate(thetas)]
        if not listed:
            raise InputError("thetas is empty, but at least one positive number is expected")
        return {name: _shares(value, listed) for name, value in self.maps.items()}

    def log10(self, layer: str) -> Tensor:
        """Decadic logarithm of a layer's elements, in double precision; −∞ for none.

        Raises
        ------
        InputError
            When the elements are truth values.
        """
        if not self[layer].is_floating_point():
            raise InputError(f"{self.semiring} relevance has no logarithm: numbers are expected, not truth values")
        return self[layer].double().log10()

    def __repr__(self) -> str:
        # Thresholds by layer would fill lines; `semiring` has them all.
        settings, _, at = self.semiring.partition(" at ")
        shown = settings.partition("(")[0] + (f" at {at}" if at else "")
        return f"PathRelevance({len(self.maps)} layers, input {tuple(self.input.shape)}, {shown}, {self.composite})"

    def _need_every_threshold(self) -> None:
        if not self.every_threshold:
            raise InputError(
                f"{self.semiring} relevance has no further threshold; compute semiring='bottleneck', which has them all"
            )


def _threshold(theta: object, what: str, maps: Mapping[str, Tensor]) -> float:
    """Check one θ > 0 that values of these types can be compared with."""
    import torch

    # A number of NumPy's or a tensor of one.
    number = getattr(theta, "item")() if getattr(theta, "ndim", None) == 0 else theta  # noqa: B009
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= sys.float_info.max:
        raise InputError(f"{what} is {theta!r}, but a positive number is expected")
    for dtype in {value.dtype for value in maps.values()}:
        if float(torch.tensor(float(number), dtype=dtype)) == 0.0:
            raise InputError(
                f"{what} is {number!r}, which {str(dtype).removeprefix('torch.')} rounds to 0, and every neuron would "
                "be relevant; take a larger threshold, or the model in float64"
            )
    return float(number)


def _shares(value: Tensor, thetas: Sequence[float]) -> Tensor:
    import torch

    # Most are 0, and reach no threshold.
    ordered = value[value > 0].sort().values
    missed = torch.searchsorted(ordered, ordered.new_tensor(list(thetas)))
    return (len(ordered) - missed).double() / max(1, value.numel())

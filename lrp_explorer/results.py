"""What the floors hand to each other: frozen records of what was computed, and of how."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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

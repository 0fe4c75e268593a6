"""The monoids that the reductions of `lrp_explorer.analyses.reductions` are finished from, and the memory of each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lrp_explorer.analyses.base import Accumulator, double
from lrp_explorer.analyses.relevant import Criterion


class Extreme(Accumulator):
    """The least or the largest value of every neuron, to the bit; memory: one value of the map's own type."""

    def __init__(self, largest: bool) -> None:
        self.largest = largest
        self.value: np.ndarray | None = None

    @property
    def _pick(self) -> np.ufunc:
        return np.maximum if self.largest else np.minimum

    def add(self, values: Tensor, ids: Tensor) -> None:
        """Fold examples in."""
        if values.device.type == "cpu":
            self._fold(self._pick.reduce(values.numpy(), 0))
        elif values.dtype == torch.bool:
            self._fold((values.any(0) if self.largest else values.all(0)).cpu().numpy())
        else:
            self._fold((values.amax(0) if self.largest else values.amin(0)).cpu().numpy())

    def merge(self, other: Extreme) -> None:
        """Fold in another's extreme."""
        if other.value is not None:
            self._fold(other.value)

    def _fold(self, value: np.ndarray) -> None:
        self.value = value if self.value is None else self._pick(self.value, value)


class Moments(Accumulator):
    """Sum, and sum of squared deviations, in double precision; memory: 8 bytes a neuron, with deviations 16.

    Deviations are merged as in Chan, Golub and LeVeque (1979), eq. 2.1: no difference of two large sums.
    """

    def __init__(self, deviations: bool) -> None:
        self.deviations = deviations
        self.count = 0
        self.total: np.ndarray | None = None
        self.squares: np.ndarray | None = None

    def add(self, values: Tensor, ids: Tensor) -> None:
        """Fold examples in."""
        if not self.deviations:
            total = values.sum(0, dtype=torch.float64) if values.device.type != "mps" else double(values).sum(0)
            self._fold(len(values), total.cpu().numpy(), None)
        elif values.device.type == "cpu":
            self._fold(len(values), *_moments(values))
        else:
            wide = double(values)
            total = wide.sum(0)
            squares = (wide - total / len(wide)).square_().sum(0)
            self._fold(len(wide), total.cpu().numpy(), squares.cpu().numpy())

    def merge(self, other: Moments) -> None:
        """Fold in another's moments."""
        if other.total is not None:
            self._fold(other.count, other.total, other.squares)

    def _fold(self, count: int, total: np.ndarray, squares: np.ndarray | None) -> None:
        if self.total is None:
            self.count, self.total, self.squares = count, total, squares
            return
        # What has overflowed is refused when the masks are finished.
        with np.errstate(over="ignore", invalid="ignore"):
            if squares is not None and self.squares is not None:
                between = np.square(total / count - self.total / self.count)
                between *= count * self.count / (count + self.count)
                self.squares = self.squares + squares + between
            self.total = self.total + total
        self.count += count

    @property
    def mean(self) -> np.ndarray:
        """The mean of what was folded in."""
        assert self.total is not None
        return self.total / self.count

    @property
    def spread(self) -> np.ndarray:
        """The standard deviation of what was folded in (divided by n)."""
        assert self.squares is not None
        return np.sqrt(self.squares / self.count)


def _moments(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Sum, and squared deviations, of examples ``(examples, ...)`` on the CPU."""
    # Compiled when it is needed first.
    from lrp_explorer.analyses.loops import moments

    single = values if values.dtype in (torch.float32, torch.float64) else values.to(torch.float64)
    rows = single.reshape(len(values), -1).contiguous().numpy()
    total, squares = np.empty(rows.shape[1]), np.empty(rows.shape[1])
    moments(rows, total, squares)
    return total.reshape(values.shape[1:]), squares.reshape(values.shape[1:])


class Hits(Accumulator):
    """In how many examples every neuron is relevant; memory: 8 bytes a neuron."""

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion
        self.value: np.ndarray | None = None

    def add(self, values: Tensor, ids: Tensor) -> None:
        """Fold examples in."""
        if values.device.type != "cpu":
            self._fold(self.criterion(values).sum(0).cpu().numpy())
            return
        # NumPy compares, and adds up bytes, several times as fast as PyTorch on the CPU does.
        relevant = self.criterion(values.numpy()).view(np.uint8)
        for begin in range(0, len(relevant), 255):
            self._fold(np.add.reduce(relevant[begin : begin + 255], 0, dtype=np.uint8).astype(np.int64))

    def merge(self, other: Hits) -> None:
        """Fold in another's numbers."""
        if other.value is not None:
            self._fold(other.value)

    def _fold(self, value: np.ndarray) -> None:
        self.value = value if self.value is None else self.value + value


class Sample(Accumulator):
    """All examples up to `size`, beyond that a uniform sample of `size`; memory: at most 3·size maps and a batch.

    Every example has a fixed pseudo-random rank, a hash of its index; the `size` lowest ranks are kept. So the sample
    depends on nothing but the set of examples: not on their order, on batches, or on how the work is split.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self._ranks = np.empty(0, np.uint64)
        self._rows: list[Tensor] = []

    def add(self, values: Tensor, ids: Tensor) -> None:
        """Fold examples in."""
        self.count += len(ids)
        ranks = _ranks(ids.numpy())
        if len(self._ranks) >= self.size:
            low = np.flatnonzero(ranks < np.partition(self._ranks, self.size - 1)[self.size - 1])
            if not len(low):
                return
            ranks, values = ranks[low], values.index_select(0, torch.from_numpy(low).to(values.device))
        self._keep(ranks, [values.to("cpu", copy=True)])

    def merge(self, other: Sample) -> None:
        """Fold in another's sample."""
        self.count += other.count
        self._keep(other._ranks, other._rows)

    def _keep(self, ranks: np.ndarray, rows: list[Tensor]) -> None:
        self._ranks = np.concatenate([self._ranks, ranks])
        self._rows = [*self._rows, *rows]
        if len(self._ranks) > 2 * self.size:
            self._prune()

    def _prune(self) -> None:
        kept = self._ranks <= np.partition(self._ranks, self.size - 1)[self.size - 1]
        # Block by block: what is left of one is let go before the next one is copied.
        for place, part in enumerate(np.split(kept, np.cumsum([len(rows) for rows in self._rows])[:-1])):
            self._rows[place] = self._rows[place][torch.from_numpy(part)]
        self._rows = [rows for rows in self._rows if len(rows)]
        self._ranks = self._ranks[kept]

    @property
    def values(self) -> Tensor:
        """The sample ``(at most size, ...)``, in the order of the ranks."""
        rows = torch.cat(self._rows)
        return rows.index_select(0, torch.from_numpy(np.argsort(self._ranks)[: self.size]))


def _ranks(ids: np.ndarray) -> np.ndarray:
    """Hash indices, one to one (Steele, Lea and Flood 2014: the mixing function of SplitMix64)."""
    z = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

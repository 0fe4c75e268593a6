"""A DataLoader's examples by index, in an order that is the same every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    default_collate,
    default_convert,
)

from lrp_explorer.errors import DataError


class Loader:
    """The examples that a `DataLoader` gives in one pass, in the order of its data set.

    Examples are asked for by index and more than once, and what is said of example 7 has to be true of it every time:
    shuffling, the size of batches and the dropping of the last are the loader's way of walking, and play no part. A
    subset that its sampler walks is kept. A `collate_fn` of the user's own is applied to each example alone.

    Parameters
    ----------
    loader : DataLoader
        Of a map-style data set.

    Raises
    ------
    DataError
        If its data set is iterable, or its sampler draws examples in a way of its own.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        data: Any = loader.dataset
        if isinstance(data, IterableDataset):
            raise DataError(
                f"the data is a DataLoader of {type(data).__name__}, an iterable data set; expected one with a length "
                "and items. Collect it into a list first"
            )
        self.dataset = data
        self._indices = _walked(loader)
        own = loader.collate_fn not in (default_collate, default_convert)
        self._collate: Callable[[list[Any]], Any] | None = loader.collate_fn if own else None

    @classmethod
    def of(cls, data: Any) -> Any:
        """Give a loader's examples; anything else as it is."""
        if not isinstance(data, DataLoader):
            return data
        made = cls(data)
        return made if made._indices is not None or made._collate is not None else made.dataset

    def __len__(self) -> int:
        return len(self.dataset if self._indices is None else self._indices)

    def __getitem__(self, index: int) -> Any:
        item = self.dataset[index if self._indices is None else self._indices[index]]
        if self._collate is None:
            return item
        found = self._collate([item])
        if isinstance(found, (tuple, list)):
            return tuple(part[0] if hasattr(part, "__getitem__") and len(part) == 1 else part for part in found)
        return found[0]


def _walked(loader: DataLoader[Any]) -> list[int] | None:
    """Give the indices of a subset that the sampler walks, in order; None for all of them."""
    batches: Any = loader.batch_sampler
    own_batches = batches is not None and type(batches) is not BatchSampler
    # A loader that was given its batches knows a sampler of its own, by which nothing is drawn.
    sampler: Any = loader.sampler if batches is None or own_batches else batches.sampler
    if isinstance(sampler, SubsetRandomSampler) and not own_batches:
        return sorted(int(index) for index in sampler.indices)
    whole = isinstance(sampler, (SequentialSampler, RandomSampler)) and not getattr(sampler, "replacement", False)
    # One may have been made for another data set.
    whole = whole and getattr(sampler, "_num_samples", None) is None and len(sampler) == len(loader.dataset)  # type: ignore
    if own_batches or not whole:
        kind = type(batches if own_batches else sampler).__name__
        raise DataError(
            f"the data is a DataLoader that draws its examples by {kind}; expected one that walks through all of its "
            "data set, or through a subset. Give loader.dataset, or torch.utils.data.Subset(loader.dataset, indices)"
        )
    return None

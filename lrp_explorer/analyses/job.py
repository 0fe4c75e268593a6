"""What is computed for a shard: predictions, or relevance folded; the same in this process and in a worker."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lrp_explorer.analyses.base import Layout, State
from lrp_explorer.analyses.control import Control
from lrp_explorer.analyses.selection import Batch, Shard
from lrp_explorer.analyses.sources import DataSource, ModelSource, batch_of, quick
from lrp_explorer.composites import Composite
from lrp_explorer.engine import Session
from lrp_explorer.engine.checks import all_finite, check_input, check_model, traced
from lrp_explorer.engine.memory import exhausted, report
from lrp_explorer.errors import DataError, InputError, NumericsError
from lrp_explorer.semirings import Real, Semiring

PROCESS = uuid.uuid4().hex
"""Tells this process from a worker's."""

T = TypeVar("T")
Stream = Generator[tuple[Batch, Tensor], None, None]
"""Batches in their order, and their examples."""

_loading = threading.Lock()


@dataclass(frozen=True)
class Loaded:
    """A model and a data set in memory, and the model recorded on each device."""

    model: nn.Module
    data: Any
    first: dict[str, Session] = field(default_factory=dict)

    def read(self, batch: Batch) -> Tensor:
        """Give the examples of a batch ``(batch, ...)``, in the dtype of the model's weights."""
        dtype = next((p.dtype for p in self.model.parameters() if p.dtype.is_floating_point), None)
        try:
            return batch_of(self.data, batch.ids, dtype)
        except Exception as error:
            if not exhausted(error):
                raise
            raise report(len(batch.ids), "the CPU") from error


@dataclass(frozen=True)
class Job:
    """Everything that decides what is computed for a shard; it can be sent to another process.

    Attributes
    ----------
    model, data
        Where they come from.
    layout : Layout
        What is folded.
    composite, semiring, seed, device
        As for `lrp_explorer.Session`.
    skip_nonfinite : bool
        Leave out examples that are not finite, or whose relevance is not, instead of raising an error.
    """

    model: ModelSource
    data: DataSource
    layout: Layout
    composite: str | Composite = "epsilon-plus-flat"
    semiring: Semiring = field(default_factory=Real)
    seed: str = "logit"
    device: str = "auto"
    skip_nonfinite: bool = False
    origin: str = PROCESS
    _kept: dict[str, Loaded] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_kept": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def loaded(self) -> Loaded:
        """Give model and data, loaded once in every process."""
        with _loading:
            if "loaded" not in self._kept:
                model = self.model.load()
                self._kept["loaded"] = Loaded(model, self.data.load(model))
            return self._kept["loaded"]

    @property
    def infinite(self) -> bool:
        """Whether infinite relevance is an answer: where 𝟘 or 𝟙 is infinite."""
        elements = (self.semiring.zero, self.semiring.one)
        return any(bool(torch.as_tensor(element).isinf().any()) for element in elements)

    def check(self) -> None:
        """See that the data set fits the model, and that there are such layers, before anything is computed.

        Raises
        ------
        DataError
            If the data set is empty.
        InputError
            If the model does not take the data set's examples.
        UnknownNameError
            If there is no such layer.
        """
        loaded = self.loaded()
        if not len(loaded.data):
            raise DataError(f"the data set {self.data.name!r} is empty; expected at least one example")
        x = loaded.read(Batch((0,), (0,)))
        try:
            graph = traced(loaded.model, check_input(check_model(loaded.model), torch.zeros_like(x)))
        except InputError as error:
            raise InputError(
                f"the data set {self.data.name!r} does not fit {self.model.name}: {str(error).rstrip('.')}. "
                "Choose another data set, or preprocess it for this model"
            ) from error
        for layer in self.layout.layers:
            graph.resolve(layer)

    def predict(self, shard: Shard, control: Control, stream: Stream) -> tuple[list[tuple[int, int]], list[int]]:
        """Tell the index and the predicted class of every example of a shard, and which examples were left out."""
        found: list[tuple[int, int]] = []
        state = State(self.layout)
        for batch, x in islice(stream, len(shard.batches)):
            control.check()
            for piece, logits in self._computed(state, batch, x, lambda _, x: self._session(x).logits):
                found += zip(piece.ids, logits.argmax(1).tolist(), strict=True)
            control.tell()
        return found, state.skipped

    def fold(self, shard: Shard, control: Control, stream: Stream) -> State:
        """Explain every example of a shard and fold the relevance; its batches are the next ones of the stream."""
        state = State(self.layout)
        control.began(state)

        def explain(batch: Batch, x: Tensor) -> dict[str, Tensor]:
            return self._maps(batch, x, control)

        for batch, x in islice(stream, len(shard.batches)):
            control.check()
            for piece, maps in self._computed(state, batch, x, explain):
                with control.lock:
                    state.add(maps, torch.tensor(piece.classes), torch.tensor(piece.ids))
            control.tell()
        return state

    def stream(self, shards: Sequence[Shard]) -> Stream:
        """Read the batches of shards, each while the one before it is explained; what is quick to read, at once."""
        read = self.loaded().read
        batches = [batch for shard in shards for batch in shard.batches]
        if quick(self.loaded().data):
            # A thread of its own would only get in the way of PyTorch's.
            yield from ((batch, read(batch)) for batch in batches)
            return
        with ThreadPoolExecutor(1, "reader") as reader:
            coming = reader.submit(read, batches[0])
            for batch, after in zip(batches, (*batches[1:], None), strict=True):
                x = coming.result()
                if after is not None:
                    coming = reader.submit(read, after)
                yield batch, x

    def _session(self, x: Tensor) -> Session:
        """Record a batch, by the model as the first batch found it."""
        loaded = self.loaded()
        if self.device not in loaded.first:
            loaded.first[self.device] = Session(loaded.model, x[:1], self.device, memory=0)
        first = loaded.first[self.device]
        if first.changed:
            raise InputError(
                f"the weights of {self.model.name} have changed since its first examples were folded, and masks of two "
                "models would be mixed; aggregate again"
            )
        return first.another(x, memory=0)

    def _maps(self, batch: Batch, x: Tensor, control: Control) -> dict[str, Tensor]:
        session = self._session(x)
        classes = session.logits.shape[1]
        for index, chosen in zip(batch.ids, batch.classes, strict=True):
            if not 0 <= chosen < classes:
                raise InputError(
                    f"example {index} of {self.data.name!r} has the label {chosen}, but {self.model.name} tells only "
                    f"{classes} classes apart: expected 0 to {classes - 1}; choose a data set that fits the model"
                )
        relevance = session.relevance(
            torch.tensor(batch.classes, device=session.device), self.composite, self.semiring, self.seed,
            should_stop=control.stopped,
        )  # fmt: skip
        maps = {layer: relevance[layer] for layer in self.layout.layers}
        for layer, values in maps.items():
            if not self._sound(values):
                raise NumericsError(f"the relevance of layer {layer!r} is NaN or infinite")
        return maps

    def _sound(self, values: Tensor) -> bool:
        if not values.dtype.is_floating_point:
            return True
        return not bool(values.isnan().any()) if self.infinite else all_finite(values)

    def _computed(
        self, state: State, batch: Batch, x: Tensor, compute: Callable[[Batch, Tensor], T]
    ) -> Iterator[tuple[Batch, T]]:
        """Compute a batch; by halves where it does not fit into memory, or to find the example that is not finite."""
        try:
            result = compute(batch, x)
        except (InputError, NumericsError) as error:
            if not all_finite(x):
                batch, x = self._finite(state, batch, x)
                if len(x):
                    yield from self._computed(state, batch, x, compute)
                return
            if isinstance(error, InputError):
                raise
            if len(x) == 1:
                self._leave_out(state, batch.ids[0], f"{error}: something computed from it is", NumericsError)
                return
        except Exception as error:
            if not exhausted(error):
                raise
            if len(x) == 1:
                raise report(1, self.device) from error
            state.notes[f"a batch of {len(x)} did not fit into memory and was halved"] = None
        else:
            yield batch, result
            return
        half = len(x) // 2
        for places in (range(half), range(half, len(x))):
            yield from self._computed(state, _taken(batch, places), x[places.start : places.stop], compute)

    def _finite(self, state: State, batch: Batch, x: Tensor) -> tuple[Batch, Tensor]:
        finite = torch.isfinite(x).flatten(1).all(1)
        for place in (~finite).nonzero().flatten().tolist():
            bad = int((~torch.isfinite(x[place])).sum())
            self._leave_out(state, batch.ids[place], f"{bad} of its {x[place].numel()} values are", DataError)
        return _taken(batch, finite.nonzero().flatten().tolist()), x[finite]

    def _leave_out(self, state: State, index: int, what: str, error: type[Exception]) -> None:
        if not self.skip_nonfinite:
            raise error(
                f"example {index} of {self.data.name!r}: {what} NaN or infinite; mend the data, or leave such examples "
                "out by skip_nonfinite=True, which counts them in masks.skipped"
            )
        state.skipped.append(index)


def _taken(batch: Batch, places: Sequence[int]) -> Batch:
    return Batch(tuple(batch.ids[i] for i in places), tuple(batch.classes[i] for i in places))

"""A model as it was read once: its graph, and its weights on one device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lrp_explorer.engine.cache import Cache
from lrp_explorer.engine.checks import traced
from lrp_explorer.engine.devices import full_precision, pick_device
from lrp_explorer.engine.memory import exhausted, report
from lrp_explorer.engine.prepared import Prepared, prepare
from lrp_explorer.engine.record import Record, record
from lrp_explorer.errors import InputError
from lrp_explorer.graph import INPUT


class Reading:
    """Records examples of one shape, which were seen by `lrp_explorer.engine.checks.check_input`.

    Parameters and errors as for `lrp_explorer.Session`.
    """

    def __init__(self, model: nn.Module, x: Tensor, device: str | torch.device) -> None:
        self.model = model
        self.device = pick_device(device, x)
        self.graph = traced(model, x)
        self.bounds = getattr(model, "input_bounds", None)
        self._shape = x.shape[1:]
        with full_precision(), _reporting(x, self.device):
            self.prepared = prepare(model, self.graph, self.device)
        self._versions = self.versions()

    @property
    def weights(self) -> dict[str, Tensor]:
        """Value name → tensor, on the device."""
        return self.prepared.weights

    def versions(self) -> list[int]:
        """Number the changes of every weight so far; those through ``tensor.data`` are not counted."""
        return [tensor._version for tensor in self.weights.values()]

    @property
    def changed(self) -> bool:
        """Whether weights were written to since the model was read."""
        return self.versions() != self._versions

    def serves(self, x: Tensor) -> bool:
        """Whether examples are of the shape that was read, and the weights are still what they were."""
        return x.shape[1:] == self._shape and self.graph.batch in (None, len(x)) and not self.changed

    def record(self, x: Tensor) -> Record:
        """Run the model once."""
        with full_precision(), _reporting(x, self.device):
            # A model may be traced with views that only this order of the memory allows.
            return record(self.graph, self.prepared, x.to(self.device).contiguous())

    def check_unchanged(self, recorded: Record) -> None:
        """Refuse a recorded forward that the model, as it is now, would not repeat.

        Raises
        ------
        InputError
            When its weights have changed.
        """
        with full_precision():
            now = record(self.graph, Prepared(self.weights, Cache(0)), recorded.values[INPUT])
        if not torch.equal(now.values[self.graph.output], recorded.values[self.graph.output]):
            raise InputError(
                "the model's weights have changed since this session recorded its forward pass; "
                "make a new Session(model, x) to explain the model as it is now"
            )


@contextmanager
def _reporting(x: Tensor, device: torch.device) -> Iterator[None]:
    """Say in plain words that memory ran out."""
    try:
        yield
    except Exception as error:
        if exhausted(error):
            raise report(len(x), device) from error
        raise

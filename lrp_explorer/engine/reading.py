"""A model as it was read once: its graph, and its weights on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lrp_explorer.engine.cache import Cache
from lrp_explorer.engine.checks import taking, traced
from lrp_explorer.engine.devices import full_precision, own_arithmetic, pick_device
from lrp_explorer.engine.memory import exhausted, report
from lrp_explorer.engine.prepared import Prepared, prepare
from lrp_explorer.engine.record import Record, record
from lrp_explorer.engine.watch import Watch
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
        self._shape, self._dtype = x.shape[1:], x.dtype
        with full_precision(), _reporting(x, self.device):
            self.prepared = prepare(model, self.graph, self.device)
        self._watch = Watch(self.weights.values())
        self.state = self._watch.state()

    @property
    def weights(self) -> dict[str, Tensor]:
        """Value name → tensor, on the device."""
        return self.prepared.weights

    @property
    def changed(self) -> bool:
        """Whether weights were written to since the model was read; see `Watch` for what is noticed."""
        return self._watch.state() != self.state

    def serves(self, x: Tensor) -> bool:
        """Whether examples are of the shape that was read, and the weights are still what they were."""
        same = x.shape[1:] == self._shape and x.dtype == self._dtype
        return same and self.graph.batch in (None, len(x)) and not self.changed

    def record(self, x: Tensor) -> Record:
        """Run the model once, on a copy of `x`: what its owner writes there later is not what was explained."""
        with full_precision(), _reporting(x, self.device), taking(self.model, x):
            # A model may be traced with views that only this order of the memory allows.
            own = x.to(self.device).contiguous()
            own = own.clone() if own.data_ptr() == x.data_ptr() else own
            return record(self.graph, self.prepared, own)

    def guard(self, recorded: Record) -> Callable[[], None]:
        """Return what refuses a recorded forward that the model, as it is when that is called, would not repeat.

        Tools that change weights and put them back (captum's LRP does) are no reason to refuse.

        Raises
        ------
        InputError
            From the returned callable: when the weights have changed.
        """
        seen = self.state

        def check() -> None:
            nonlocal seen
            state = self._watch.state()
            if state != seen:
                self._check_repeats(recorded)
                seen = state

        return check

    def _check_repeats(self, recorded: Record) -> None:
        with own_arithmetic():
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

"""A model as it was read once: its graph, and its weights on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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
        # The model's own, not copies on another device.
        self._own = self._present()
        self._watch = Watch([*self._own.values(), *self.graph.constants.values()])
        self.state = self._watch.state()

    @property
    def weights(self) -> dict[str, Tensor]:
        """Value name → tensor, on the device."""
        return self.prepared.weights

    @property
    def changed(self) -> bool:
        """Whether weights were written to since the model was read; see `Watch` for what is noticed."""
        return self._replaced or self._watch.state() != self.state

    @property
    def _replaced(self) -> bool:
        """Whether other tensors stand where the weights stood."""
        present = self._present()
        return any(present.get(name) is not tensor for name, tensor in self._own.items())

    def _present(self) -> dict[str, Any]:
        """Find the weights where they stand now."""
        found: dict[str, Any] = {}
        for name, path in self.graph.weights.items():
            *parents, last = path.split(".")
            module: nn.Module | None = self.model
            for parent in parents:
                module = None if module is None else module._modules.get(parent)
            if module is not None:
                found[name] = module._parameters.get(last, module._buffers.get(last))
        return found

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

        Tools that change weights and put them back (captum's LRP does) are no reason to refuse; nor are other tensors
        of the same values.

        Raises
        ------
        InputError
            From the returned callable: when the weights have changed.
        """
        seen = self.state

        def check() -> None:
            nonlocal seen
            state = self._watch.state()
            if state != seen or self._replaced:
                self._check_repeats(recorded)
                seen = state

        return check

    def _check_repeats(self, recorded: Record) -> None:
        present = {name: tensor.detach() for name, tensor in self._present().items() if tensor is not None}
        was = {name: tensor for name, tensor in self.weights.items() if name not in self.graph.constants}
        like = {name: (tensor.shape, tensor.dtype) for name, tensor in present.items()}
        repeats = like == {name: (tensor.shape, tensor.dtype) for name, tensor in was.items()}
        if repeats:
            weights = {**self.graph.constants, **present}
            weights = {name: tensor.detach().to(self.device) for name, tensor in weights.items()}
            with own_arithmetic():
                now = record(self.graph, Prepared(weights, Cache(0)), recorded.values[INPUT])
            repeats = torch.equal(now.values[self.graph.output], recorded.values[self.graph.output])
        if not repeats:
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

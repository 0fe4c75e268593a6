"""One recorded forward of a batch, and what guards it: its memory, its weights, its lock."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from lrp_explorer.composites import Composite, build
from lrp_explorer.engine.cache import Cache, default_budget
from lrp_explorer.engine.checks import check_input, check_logits, check_model
from lrp_explorer.engine.devices import own_arithmetic
from lrp_explorer.engine.memory import exhausted, report
from lrp_explorer.engine.reading import Reading
from lrp_explorer.engine.record import Record
from lrp_explorer.engine.walk import Walk
from lrp_explorer.errors import InputError


class Recording:
    """Abstract: what a `lrp_explorer.Session` stands on; parameters, attributes and errors are described there."""

    @own_arithmetic()
    def __init__(
        self, model: nn.Module, x: Tensor, device: str | torch.device = "auto", memory: int | None = None
    ) -> None:
        x = check_input(check_model(model), x)
        self._begin(Reading(model, x, device), x, memory)

    def _begin(self, reading: Reading, x: Tensor, memory: int | None) -> None:
        if memory is not None and (isinstance(memory, bool) or not isinstance(memory, (int, np.integer)) or memory < 0):
            raise InputError(f"memory is {memory!r}, but None or a whole number of bytes, at least 0, is expected")
        self._reading, self.device, self.graph = reading, reading.device, reading.graph
        self.record: Record = reading.record(x)
        self._check_unchanged = reading.guard(self.record)
        self._logits = check_logits(self.record.values[self.graph.output])
        self._walk = Walk(self.record, default_budget(self.device) if memory is None else memory)
        self._lock = threading.Lock()

    @own_arithmetic()
    def another(self, x: Tensor, memory: int | None = None) -> Self:
        """Record other examples by the model as this session read it: what is known of the model is not read again.

        Parameters
        ----------
        x : Tensor
            Preprocessed input ``(batch, ...)``.
        memory : int, optional
            As for `lrp_explorer.Session`.
        """
        x = check_input(self._reading.model, x)
        if not self._reading.serves(x):
            return type(self)(self._reading.model, x, self.device, memory)
        made = copy.copy(self)
        made._begin(self._reading, x, memory)
        return made

    def __repr__(self) -> str:
        dtype = str(self._logits.dtype).removeprefix("torch.")
        exactly = f"{dtype} without TF32" if dtype == "float32" else dtype
        return f"Session({type(self._reading.model).__name__}, batch {len(self._logits)}, {self.device}, {exactly})"

    @property
    def logits(self) -> Tensor:
        """The model's output ``(batch, classes)``; a copy, which can be written to without harm."""
        return self._logits.clone()

    @property
    def changed(self) -> bool:
        """Whether the model's weights were written to since this session read them.

        Of writes through ``tensor.data`` to a few values of a large weight it may not know.
        """
        return self._reading.changed

    @property
    def cache(self) -> Cache:
        """What is kept beside the recording."""
        return self._walk.cache

    @property
    def layers(self) -> list[str]:
        """Names of all layers, input side first, ``"input"`` included."""
        return list(self.graph.layers)

    def _retrying(self, walk: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Walk; where memory runs out, once more after everything that is kept was let go."""
        with self._lock, torch.no_grad():
            for last in (False, True):
                try:
                    return walk()
                except Exception as error:
                    if not exhausted(error):
                        raise
                    if last:
                        raise report(len(self._logits), self.device) from error
                self._walk.forget()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
        raise AssertionError("unreachable")

    def _built(self, composite: str | Composite) -> Composite:
        return build(composite, self._reading.bounds)

"""One batch of one model, ready to be differentiated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer.baselines.replay import Replay
from lrp_explorer.engine.checks import check_input, check_logits, check_model, check_target, taking, traced
from lrp_explorer.engine.devices import full_precision, pick_device
from lrp_explorer.engine.prepared import Prepared, prepare
from lrp_explorer.engine.record import record
from lrp_explorer.errors import ModelError
from lrp_explorer.graph import Graph


class Case:
    """What a method is asked to explain.

    Parameters
    ----------
    model : nn.Module
        A classifier; it is never changed.
    x : Tensor
        Preprocessed input ``(batch, ...)``.
    target : int, (batch,) ints, or None
        Class to explain; None is each example's predicted one.
    device : str
        See `lrp_explorer.Session`.

    Raises
    ------
    InputError, ModelError, NumericsError
        As `lrp_explorer.Session` does.
    """

    def __init__(self, model: nn.Module, x: Tensor, target: Any = None, device: str | torch.device = "auto") -> None:
        self.model = check_model(model)
        x = check_input(model, x)
        self.device = pick_device(device, x)
        self.x = x.to(self.device)
        self.wanted = target

    @cached_property
    def graph(self) -> Graph:
        """The traced model."""
        return traced(self.model, self.x)

    @cached_property
    def _prepared(self) -> Prepared:
        return prepare(self.model, self.graph, self.device)

    def network(self, watch: str = "") -> Replay:
        """Return the model in a form that can be differentiated, with one layer to be watched."""
        return Replay(self.graph, self._prepared.weights, watch)

    @cached_property
    def replay(self) -> Replay:
        """The model in a form that can be differentiated."""
        return self.network()

    @cached_property
    def logits(self) -> Tensor:
        """The model's output ``(batch, classes)``."""
        with torch.no_grad(), full_precision(), taking(self.model, self.x):
            logits = check_logits(self.replay(self.x)).clone()
            if not bool(torch.isfinite(logits).all()):
                # The recorder names the first layer at fault.
                record(self.graph, self._prepared, self.x)
        return logits

    @cached_property
    def target(self) -> Tensor:
        """Explained class of every example ``(batch,)``."""
        return check_target(self.wanted, self.logits)

    @property
    def score(self) -> Tensor:
        """Logit of the explained class ``(batch,)``."""
        return self.chosen(self.logits)

    def chosen(self, logits: Tensor) -> Tensor:
        """Pick each example's explained class out of ``(batch, classes)``."""
        return logits.gather(1, self.target[:, None])[:, 0]

    @contextmanager
    def differentiating(self, what: str = "x") -> Iterator[Tensor]:
        """Give the input as a leaf that takes gradients; turn torch's refusals into the house's.

        Gradients are switched on whatever the caller's setting, and TF32 off.
        """
        with torch.enable_grad(), full_precision():
            try:
                yield self.x.clone().requires_grad_()
            except RuntimeError as error:
                if "not have been used in the graph" in str(error) or "does not require grad" in str(error):
                    raise ModelError(
                        f"{type(self.model).__name__}: the explained logit has no gradient with respect to {what}; "
                        "the model has to compute it from there by differentiable operations"
                    ) from error
                raise


def captum_attr() -> Any:
    """Import captum when it is first needed; it is large and not everybody has it."""
    try:
        import captum.attr as attr
    except ImportError as error:
        raise ImportError("this baseline is computed by captum: pip install captum") from error
    return attr

"""From the state of the Masks panel to runs, mean images and masked examples; called on worker threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrp_explorer import semirings
from lrp_explorer.analyses.aggregate import prepare
from lrp_explorer.analyses.masking import Masked, masked_prediction
from lrp_explorer.analyses.mean_image import MeanImages, mean_images
from lrp_explorer.analyses.run import Run
from lrp_explorer.engine import Session
from lrp_explorer.errors import Cancelled, InputError
from lrp_explorer.figures import probabilities
from lrp_explorer.panels import own, parameters
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.explanation import Example
from lrp_explorer.panels.mask_state import MaskRequest
from lrp_explorer.zoo import UNLABELLED

Topic = tuple[str, str, int]


@dataclass(frozen=True)
class Look:
    """What can be chosen for a model and a data set, and the example that masks are put on.

    Attributes
    ----------
    topic : (str, str, int)
        Model, data set, example.
    example : Example
        The example.
    layers : tuple of str
        Names of the layers, input first.
    names : tuple of str
        Names of the data set's classes.
    """

    topic: Topic
    example: Example
    layers: tuple[str, ...]
    names: tuple[str, ...]


class Masker:
    """Opens models and data, and asks the analyses; parameters as for `Explainer`."""

    def __init__(self, catalogue: Catalogue, device: str = "auto") -> None:
        self._catalogue, self._device = catalogue, device
        # Writing a model down as a graph is disturbed by what other threads do meanwhile; it is done once.
        self._lock = threading.Lock()

    def look(self, topic: Topic, stale: Callable[[], bool]) -> Look:
        """Open an example."""
        model, data, index = topic
        module, examples = self._open(model, data)
        if stale():
            raise Cancelled("a newer request has come")
        if not 0 <= index < len(examples):
            raise InputError(f"example {index} was asked for; {examples.name} has 0 to {len(examples) - 1}")
        tensor, label = examples[index]
        session = self._session(module, tensor)
        names = tuple(str(name) for name in examples.classes)
        card = self._catalogue.card(model)
        known = [tuple(map(str, getattr(owner, "classes", None) or ())) for owner in (card, module, examples)]
        caption = getattr(examples, "caption", None)
        known_label = UNLABELLED if label is None else int(label)
        example = Example(
            picture=examples.image(index) if tensor.ndim in (2, 3) else None,
            label=probabilities.class_name(names, known_label) if known_label >= 0 else "",
            caption=caption(index) if caption else "",
            count=len(examples),
            classes=next((names for names in known if len(names) == session.logits.shape[1]), ()),
        )
        return Look(topic, example, tuple(session.layers), names)

    def begin(self, request: MaskRequest) -> Run:
        """Prepare a run; nothing is computed yet."""
        module, data = self._open(request.model, request.data)
        if len(data):
            # So that the run, on a thread of its own, finds the graph.
            self._session(module, data[0][0])
        bounds = getattr(module, "input_bounds", None)
        semiring: Any = request.semiring
        if request.edge is not None:
            made: Any = semirings.get(request.semiring)
            semiring = made(theta=request.edge)
        return prepare(
            module,
            data,
            classes=list(request.classes) or None,
            limit=request.limit,
            layer=request.layer,
            reduce=request.reductions,
            composite=parameters.build(request.composite, request.rule, dict(request.numbers), bounds),
            semiring=semiring,
            device=self._device,
        )

    def average(self, request: MaskRequest, stale: Callable[[], bool]) -> MeanImages:
        """Average the examples of a request."""

        def check() -> None:
            if stale():
                raise Cancelled("a newer request has come")

        data = self._open(request.model, request.data)[1]
        with self._lock:
            return mean_images(data, list(request.classes) or None, request.limit, check)

    def put_on(self, topic: Topic, mask: np.ndarray, action: str, fill: Any) -> tuple[Masked, np.ndarray]:
        """Put a mask on an example; gives what the model says, and the masked picture."""
        model, data, index = topic
        module, examples = self._open(model, data)
        with self._lock:
            masked = masked_prediction(module, examples[index][0], mask, action, fill, self._device)
        card = self._catalogue.card(model)
        if card is not None:
            return masked, np.asarray(card.to_image(masked.example))
        return masked, own.stretched(masked.example.float().cpu().numpy())

    def _session(self, module: Any, tensor: Any) -> Session:
        with self._lock:
            return Session(module, tensor[None], self._device, memory=0)

    def _open(self, model: str, data: str) -> tuple[Any, Any]:
        return self._catalogue.open_model(model), self._catalogue.open_data(data, model)

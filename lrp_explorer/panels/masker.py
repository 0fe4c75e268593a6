"""From the state of the Masks panel to runs, mean images and masked examples; called on worker threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch

from lrp_explorer import semirings
from lrp_explorer.analyses import store
from lrp_explorer.analyses.aggregate import prepare
from lrp_explorer.analyses.choosing import Choice
from lrp_explorer.analyses.masking import Masked, masked_prediction
from lrp_explorer.analyses.mean_image import MeanImages, mean_images
from lrp_explorer.analyses.run import Run
from lrp_explorer.engine import Session
from lrp_explorer.errors import InputError
from lrp_explorer.panels import examples, mask_counts, own, parameters
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.examples import Topic
from lrp_explorer.panels.explanation import Example
from lrp_explorer.panels.mask_state import MaskRequest


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


@dataclass(frozen=True)
class Begun:
    """A run that is prepared, and what the user should know of it.

    Attributes
    ----------
    request : MaskRequest
        What was asked for.
    run : Run
        Nothing of it is computed yet.
    notes : tuple of str
        What is done differently than asked, and what is not exact.
    counts : bool
        Whether counts follow the threshold.
    """

    request: MaskRequest
    run: Run
    notes: tuple[str, ...]
    counts: bool


class Masker:
    """Opens models and data, and asks the analyses; parameters as for `Explainer`."""

    def __init__(self, catalogue: Catalogue, device: str = "auto") -> None:
        self._catalogue, self._device = catalogue, device
        self._threads = torch.get_num_threads()

    def look(self, topic: Topic, stale: Callable[[], bool]) -> Look:
        """Open an example."""
        found = examples.opened(self._catalogue, topic, stale)
        session = Session(found.model, found.tensor[None], self._device, memory=0)
        names = tuple(str(name) for name in found.data.classes)
        return Look(topic, found.described(session.logits.shape[1]), tuple(session.layers), names)

    def begin(self, request: MaskRequest) -> Begun:
        """Prepare a run; finished masks are kept on disk, and found there when they are asked for again."""
        # The worker's thread may have come up while the Explain panel had PyTorch compute on one thread. The run takes
        # the number from here, and with another number the masks on disk would not be found.
        torch.set_num_threads(self._threads)
        model, data = self._open(request.model, request.data)
        semiring: Any = request.semiring
        if request.edge is not None:
            made: Any = semirings.get(request.semiring)
            semiring = made(theta=request.edge)
        counts, counted = self._counts(request, model, data)
        follow = mask_counts.follow(request, counts)
        cache, kept = (False, mask_counts.ANEW) if follow else _cache()
        run = prepare(
            model,
            data,
            classes=list(request.classes) or None,
            limit=request.limit,
            layer=request.layer,
            reduce=(*request.reductions, *counts),
            composite=parameters.build(
                request.composite, request.rule, dict(request.numbers), getattr(model, "input_bounds", None)
            ),
            semiring=semiring,
            device=self._device,
            cache=cache,
        )
        return Begun(request, run, tuple(filter(None, (counted, kept))), follow)

    def average(self, request: MaskRequest, choice: Choice, stale: Callable[[], bool]) -> MeanImages:
        """Average the examples that were chosen for a request."""
        data = self._open(request.model, request.data)[1]
        return mean_images(data, choice, lambda: examples.go_on(stale))

    def put_on(self, topic: Topic, mask: np.ndarray, action: str, fill: Any) -> tuple[Masked, np.ndarray]:
        """Put a mask on an example; gives what the model says, and the masked picture."""
        name, source, index = topic
        model, data = self._open(name, source)
        masked = masked_prediction(model, data[index][0], mask, action, fill, self._device)
        card = self._catalogue.card(name)
        if card is not None:
            return masked, np.asarray(card.to_image(masked.example))
        return masked, own.stretched(masked.example.float().cpu().numpy())

    def _counts(self, request: MaskRequest, model: Any, data: Any) -> tuple[tuple[str, ...], str]:
        """Give what is to be folded beside, so that counts follow θ, and what to say where that is too much."""
        if not mask_counts.wanted(request) or mask_counts.kept(request) or not len(data):
            return (), ""
        session = Session(model, data[0][0][None], self._device, memory=0)
        neurons = prod(session.record.values[session.graph.resolve(request.layer)].shape[1:])
        classes = len(request.classes) or len(data.classes) or session.logits.shape[1]
        needs = mask_counts.memory(request, neurons, classes, len(data))
        return ((mask_counts.KEEP,), "") if needs <= mask_counts.MOST_BYTES else ((), mask_counts.too_much(needs))

    def _open(self, model: str, data: str) -> tuple[Any, Any]:
        return self._catalogue.open_model(model), self._catalogue.open_data(data, model)


def _cache() -> tuple[bool, str]:
    """Tell whether there is a folder for finished masks, and what to say if there is none."""
    try:
        store.folder(True)
    except InputError as error:
        return False, f"masks are not kept on disk: {error}"
    return True, ""

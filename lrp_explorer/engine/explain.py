"""One explanation from scratch: a session that is used once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer import own_data
from lrp_explorer.composites import Composite
from lrp_explorer.engine.memory import halving
from lrp_explorer.engine.session import Session
from lrp_explorer.results import Relevance
from lrp_explorer.semirings import Semiring


def explain(
    model: nn.Module,
    x: Any,
    target: int | Tensor | None = None,
    composite: str | Composite = "epsilon-plus-flat",
    semiring: str | Semiring = "real",
    seed: str | Tensor = "logit",
    device: str | torch.device = "auto",
) -> Relevance:
    """Explain a classifier's decision by Layer-wise Relevance Propagation.

    Parameters
    ----------
    model : nn.Module
        A classifier: ``(batch, ...)`` in, ``(batch, classes)`` out. It is never changed, nor is what its code or its
        hooks write to elsewhere; and it is explained as it is now, whatever was changed since the last call:
        `lrp_explorer.graph.structure.structure` tells what is compared, and what cannot be seen.
    x : Tensor, ndarray, data set, sequence or pair
        Preprocessed input ``(batch, ...)``. Arrays, data sets, pairs (examples, labels), and PIL pictures for a model
        with a card, are read as `lrp_explorer.own_data.Given` reads them, all examples as one batch; what is explained
        is `target`, not their labels.
    target, composite, semiring, seed
        See `Session.relevance`.
    device : str
        See `Session`.

    Returns
    -------
    Relevance
        ``.input`` is the relevance of the input; ``["layer"]`` that of any layer's output.

    Examples
    --------
    >>> import lrp_explorer as lrp
    >>> model = lrp.load_model("digits-cnn")
    >>> x, label = lrp.load_dataset("digits")[0]
    >>> rel = lrp.explain(model, x[None])
    >>> rel.input.shape
    torch.Size([1, 1, 28, 28])
    """

    def once(x: Tensor, target: Any, seed: Any) -> Relevance:
        return Session(model, x, device, memory=0).relevance(target, composite, semiring, seed)

    x = own_data.batch(x, model) if isinstance(model, nn.Module) else x
    return halving(once, x, target, seed, device) if isinstance(x, Tensor) and x.dim() else once(x, target, seed)

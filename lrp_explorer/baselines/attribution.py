"""The front door of the baselines: one function for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrp_explorer.baselines.case import Case
from lrp_explorer.baselines.method import Method, build
from lrp_explorer.engine.devices import own_arithmetic

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

from lrp_explorer.results import Relevance


def attribute(
    model: nn.Module,
    x: Tensor,
    method: str | Method = "saliency",
    target: int | Tensor | None = None,
    device: str | torch.device = "auto",
    **parameters: Any,
) -> Relevance:
    """Explain a classifier's decision by another method than LRP, in the same form.

    Parameters
    ----------
    model : nn.Module
        A classifier: ``(batch, ...)`` in, ``(batch, classes)`` out. It is never changed, and is explained as in
        evaluation mode.
    x : Tensor
        Preprocessed input ``(batch, ...)``.
    method : str or Method
        One of ``lrp_explorer.baselines.names()``, or an object such as ``baselines.GradCAM("features.28")``.
    target : int, (batch,) ints, or None
        Class to explain; None is each example's predicted one.
    device : str
        See `lrp_explorer.Session`.
    **parameters
        Of the method, when it is given by name; see its class.

    Returns
    -------
    Relevance
        ``.input`` has the shape of `x`. Layers between are there only where the method has them: Grad-CAM's own, and
        all of deep Taylor's. ``.start`` is what the method shares out: the logit (input × gradient, simple and deep
        Taylor), its difference to the baseline (integrated gradients), or 1 where nothing is shared out.

    Raises
    ------
    InputError, UnknownNameError, ModelError, NumericsError
        See the messages.
    ImportError
        When the method needs captum and it is not installed.

    Examples
    --------
    >>> import lrp_explorer as lrp
    >>> model = lrp.load_model("digits-cnn")
    >>> x, label = lrp.load_dataset("digits")[0]
    >>> lrp.attribute(model, x[None], "integrated-gradients", steps=20).input.shape
    torch.Size([1, 1, 28, 28])
    """
    chosen = build(method, parameters)
    with own_arithmetic():
        return chosen(Case(model, x, target, device))

"""The explorer: header and panels in one widget; becomes `lrp_explorer.explore`."""

from __future__ import annotations

import os
from typing import Any

import ipywidgets
import torch
from torch import nn

from lrp_explorer.engine.devices import pick_device
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.explain import ExplainPanel
from lrp_explorer.panels.frame import Frame, quieten, resend
from lrp_explorer.panels.masks import MasksPanel
from lrp_explorer.panels.state import ExplainState, first_state

HEADER = (
    '<header class="lrp-title"><h1>LRP Explorer</h1>'
    "<p>Layer-wise Relevance Propagation, live: what each layer holds for, and against, a class.</p></header>"
)


class Explorer(ipywidgets.VBox):
    """The whole explorer as one widget.

    Attributes
    ----------
    state : ExplainState
        What is picked; set its traits and the page follows.
    panel : ExplainPanel
        The panel shown first.
    masks : MasksPanel
        The panel of class-wise masks; built when its tab is first chosen.
    tabs : ipywidgets.ToggleButtons
        Title of the panel shown.
    """

    def __init__(self, catalogue: Catalogue, state: ExplainState, device: str) -> None:
        status = ipywidgets.HTML('<p class="lrp-status">opening the model …</p>')
        self.state = state
        self.panel = ExplainPanel(catalogue, state, status, device)
        self.masks = MasksPanel(catalogue, state, device)
        self._panels = {panel.title: panel for panel in (self.panel, self.masks)}
        self.tabs = ipywidgets.ToggleButtons(options=list(self._panels), value=self.panel.title)
        self.tabs.add_class("lrp-tabs")
        self.tabs.observe(lambda _: self._turn(), "value")
        header = ipywidgets.HBox([ipywidgets.HTML(HEADER), self.tabs, status])
        header.add_class("lrp-header")
        super().__init__([Frame(lambda: resend(self)), header, *self._panels.values()])
        self.add_class("lrp-explorer")
        quieten(self)
        self._turn()

    def _turn(self) -> None:
        """Show the panel of the tab, and hide the others."""
        for title, panel in self._panels.items():
            panel.layout.display = "" if title == self.tabs.value else "none"
        self._panels[str(self.tabs.value)].unfold()

    def close(self) -> None:
        """End the workers and close all widgets."""
        for panel in self._panels.values():
            panel.close()
        super().close()


def explore(
    model: str | nn.Module | None = None, data: Any = None, device: str | None = None, **state: Any
) -> Explorer:
    """Open the explorer.

    Parameters
    ----------
    model : str or nn.Module, optional
        A name of `lrp_explorer.models()`, or a classifier of your own; a small model that ships with the package
        otherwise. It is never changed.
    data : str, data set, DataLoader, Tensor, ndarray, sequence or pair, optional
        A name of `lrp_explorer.datasets()`, or data of your own, preprocessed for the model: a data set with items
        (tensor, label), a DataLoader of one, a tensor or an array `(batch, ...)`, or a pair (examples, labels); for a
        model of the zoo also PIL pictures. The model's own data set otherwise.
    device : str, optional
        `"auto"`, `"cpu"`, `"cuda"`, …; the environment variable `LRP_EXPLORER_DEVICE`, or `"auto"`, otherwise.
    **state
        First values of `lrp_explorer.panels.state.ExplainState`, e.g. ``composite="epsilon-plus"``, ``example=3``,
        ``numbers={"gamma": 0.5}``.

    Returns
    -------
    Explorer
        A widget: the last line of a notebook's cell shows it.

    Raises
    ------
    UnknownNameError
        If a name is not known; the message suggests the nearest.
    InputError, DataError
        If the model or the data is of a kind that cannot be explained, or a first value is out of range.

    Examples
    --------
    >>> import lrp_explorer as lrp
    >>> explorer = lrp.explore("digits-cnn", example=7)
    >>> explorer.state.set_number("gamma", 0.5)
    """
    where = os.environ.get("LRP_EXPLORER_DEVICE", "auto") if device is None else device
    pick_device(where, torch.empty(0))
    catalogue = Catalogue(model, data)
    chosen = first_state(catalogue.first_model, catalogue.first_data, state)
    catalogue.check_example(chosen.example)
    return Explorer(catalogue, chosen, where)

"""The drawing half of the Masks panel: the grid, one mask large beside its mean image, and a masked example."""

from __future__ import annotations

from dataclasses import dataclass

import ipywidgets
import numpy as np

from lrp_explorer.analyses.masking import strongest
from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.mean_image import MeanImages
from lrp_explorer.analyses.samples import Samples
from lrp_explorer.panels import frame
from lrp_explorer.panels.mask_grid import MaskGrid
from lrp_explorer.panels.mask_large import MaskLarge
from lrp_explorer.panels.mask_reading import View
from lrp_explorer.panels.mask_state import MaskRequest, MaskState
from lrp_explorer.panels.mask_trial import MaskTrial
from lrp_explorer.panels.subject import Guard


@dataclass(frozen=True)
class Shown:
    """What is on the stage: a request, the masks so far, and once they are known the mean images of their examples.

    Where counts follow θ, the examples that they are read from are here, too.
    """

    request: MaskRequest
    masks: Masks
    images: MeanImages | None = None
    samples: Samples | None = None


class MaskStage:
    """All drawings of the Masks panel.

    Parameters
    ----------
    state : MaskState
        What is looked at: θ, the selected mask, the page, maps or channels.
    trial : MaskTrial
        The masked example.
    guarded : callable
        Wraps callbacks, see `Panel.guarded`.
    """

    def __init__(self, state: MaskState, trial: MaskTrial, guarded: Guard) -> None:
        self._state = state
        self._shown: Shown | None = None
        self.view: View | None = None
        self.grid, self.large, self.trial = MaskGrid(state, guarded), MaskLarge(), trial
        bottom = frame.row([self.large.card, trial.card], "bottom")
        self.box = ipywidgets.VBox([self.grid.card, bottom])
        self.box.add_class("lrp-stage")
        state.observe(guarded(lambda _: self._follow()), ["theta", "selected", "channels", "page"])

    def show(self, shown: Shown) -> None:
        """Show masks."""
        self.box.remove_class("lrp-stale")
        # The page may change here, which is no reason to draw what was there before.
        self._shown = None
        self.grid.fit(shown.masks, shown.request, shown.samples)
        self._shown = shown
        self.paint()

    def stale(self) -> None:
        """Dim what is shown: it is not what the controls say."""
        self.box.add_class("lrp-stale")

    def paint(self) -> None:
        """Draw what is known as the state says."""
        if self._shown is None:
            return
        self.view = self.grid.show(self._shown.masks, self._shown.request, self._shown.samples)
        place = self.view.place(self._state.selected)
        self.large.show(self.view, place, self._shown.images)
        self.trial.offer(self.view.cells.kinds[place[0]] == "truth")

    def mask(self) -> np.ndarray | None:
        """Give the selected mask as truth values ``(height, width)``; None where no map of the input is shown."""
        if self.view is None or self.view.request.layer != "input" or self.view.cells.bars:
            return None
        cells = self.view.cells
        row, column = self.view.place(self._state.selected)
        values = cells.values[row][column]
        if cells.kinds[row] == "truth":
            return values > 0
        return strongest(values, self._state.share, lowest=cells.scale_of(row).falling)

    def _follow(self) -> None:
        self.grid.follow()
        self.paint()

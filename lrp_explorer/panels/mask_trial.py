"""Card of the masked example: a mask put on it, kept or removed, and what becomes of the prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np

from lrp_explorer.analyses.masking import Masked
from lrp_explorer.analyses.masks import ALL
from lrp_explorer.analyses.mean_image import MeanImages
from lrp_explorer.figures import mask_effect, probabilities, theme
from lrp_explorer.panels import frame
from lrp_explorer.panels.drawing import Drawing
from lrp_explorer.panels.mask_state import MaskRequest, MaskState
from lrp_explorer.panels.masker import Look, Masker
from lrp_explorer.panels.subject import Guard
from lrp_explorer.panels.worker import Worker


class MaskTrial:
    """Puts the selected mask on the example that the Explain panel shows.

    Parameters
    ----------
    state : MaskState
        What is done with the mask, and what stands where the example is replaced.
    masker : Masker
        Asks the model.
    guarded : callable
        Wraps callbacks, see `Panel.guarded`.
    fail : callable
        Takes errors.
    """

    def __init__(self, state: MaskState, masker: Masker, guarded: Guard, fail: Callable[[BaseException], None]) -> None:
        self._state, self._masker = state, masker
        self._asked: Any = None
        self.worker = Worker(guarded(self._show), fail)
        self.drawing = Drawing(200, "Masked example")
        self.action = ipywidgets.ToggleButtons(
            options=[("Keep", "keep"), ("Remove", "remove")],
            value=state.action,
            tooltips=["Keep the example where the mask is", "Remove it where the mask is"],
        )
        self.fill = ipywidgets.ToggleButtons(
            options=[("Mean", "mean"), ("0", "zero")],
            value=state.fill,
            tooltips=["Replace it by the mean image of all examples", "Replace it by 0, in units of the model's input"],
        )
        fill = frame.row([ipywidgets.HTML("<span>rest:</span>"), self.fill], "fill")
        self.share = ipywidgets.FloatSlider(
            description="Strongest", min=0, max=1, step=0.01, readout_format=".0%", value=state.share
        )
        controls = frame.row([self.action, fill, self.share], "effect")
        self.card: ipywidgets.VBox = frame.card([self.drawing.heading, controls, self.drawing.pane], "effect")
        for name, widget in (("action", self.action), ("fill", self.fill), ("share", self.share)):
            widget.observe(guarded(lambda change, name=name: setattr(state, name, change["new"])), "value")
            state.observe(guarded(lambda change, w=widget: setattr(w, "value", change["new"])), name)

    def offer(self, truth: bool) -> None:
        """Offer a share of the strongest places, unless the mask itself says which."""
        self.share.layout.visibility = "hidden" if truth else "visible"

    def put(
        self, look: Look | None, request: MaskRequest | None, mask: np.ndarray | None, images: MeanImages | None
    ) -> None:
        """Put a mask on an example.

        Parameters
        ----------
        look : Look or None
            The example.
        request : MaskRequest or None
            What the mask was folded for.
        mask : ndarray of bool or None
            ``(height, width)``.
        images : MeanImages or None
            Of the examples that the mask was folded from.
        """
        why = self._hindrance(look, request, mask, images)
        self._asked = None if why else (look, mask, self._state.action, self._state.fill)
        if look is None or mask is None or why:
            self.drawing.heading.value = frame.heading("Masked example")
            self.drawing.show(("none", why), lambda: theme.blank(why), None, why)
            return
        asked, action = self._asked, self._state.action
        fill = 0.0 if self._state.fill == "zero" or images is None else images.of(ALL)
        self.worker.submit(
            lambda stale: (asked, *self._masker.put_on(look.topic, mask, action, fill)), (look.topic, request)
        )

    def _hindrance(
        self, look: Look | None, request: MaskRequest | None, mask: np.ndarray | None, images: MeanImages | None
    ) -> str:
        """Say why no mask can be put on the example; nothing if one can."""
        if look is None or request is None:
            return "no mask yet"
        if look.topic[:2] != (request.model, request.data):
            return "other model or data: compute anew"
        if request.layer != "input":
            return "needs a mask of the input"
        if look.example.picture is None:
            return "the example is no picture"
        if mask is None:
            return "needs a map: choose Maps"
        return "averaging the examples …" if self._state.fill == "mean" and images is None else ""

    def _show(self, made: tuple[Any, Masked, np.ndarray]) -> None:
        asked, masked, picture = made
        # Between two steps of a slider an older answer is better than none, but not once none can be given.
        if self._asked is None or asked[0] is not self._asked[0]:
            return
        names = asked[0].example.classes
        told = [probabilities.class_name(names, index) for index in masked.predictions]
        shares = [probabilities.of(logits).max() for logits in (masked.before, masked.after)]
        words = f"“{told[0]}” {shares[0]:.0%} → “{told[1]}” {shares[1]:.0%}"
        self.drawing.heading.value = frame.heading(words, f"{masked.share:.0%} of pixels replaced")
        self.drawing.show(
            # Another picture and other leading classes each time: always drawn anew.
            None,
            lambda: mask_effect.effect(picture, masked.before, masked.after, names),
            None,
            f"The masked example: {masked.share:.0%} of its pixels are replaced. Prediction {words}.",
        )

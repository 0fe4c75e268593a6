"""Card of the Masks panel: of which classes and how many examples, where, by which rules, folded how; and the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from lrp_explorer import semirings
from lrp_explorer.analyses.progress import Progress
from lrp_explorer.panels import frame, parameters
from lrp_explorer.panels.chips import Chips
from lrp_explorer.panels.mask_progress import progress_line
from lrp_explorer.panels.mask_state import (
    AS_EXPLAINED,
    LIMITS,
    REDUCTIONS,
    THRESHOLDED,
    WITH_SHARE,
    MaskState,
)  # fmt: skip
from lrp_explorer.panels.subject import Guard

ALL = 0
"""In the place of a number of examples; a picker takes None for nothing picked."""

CHIPS = 20
"""Classes that get a button each; of more, names or indices are typed."""


class MaskControls:
    """Pickers linked to the state, and the buttons of the run.

    Parameters
    ----------
    state : MaskState
        Written when the user picks, and followed when it changes from elsewhere.
    guarded : callable
        Wraps callbacks, see `Panel.guarded`.
    compute, hold, cancel : callable
        What the three buttons do.
    """

    def __init__(
        self,
        state: MaskState,
        guarded: Guard,
        compute: Callable[[], None],
        hold: Callable[[], None],
        cancel: Callable[[], None],
    ) -> None:
        self._state = state
        self._names: tuple[str, ...] | None = None
        self._filling = False
        # Errors of a press, such as a bad share, are to be seen.
        self.classes = Chips("Classes", guarded(lambda chosen: setattr(state, "classes", chosen)))
        self.typed = ipywidgets.Text(description="Classes", placeholder="all; or 0, 3, tench", continuous_update=False)
        self.limit = frame.Picker(description="Examples", options=[(name, n or ALL) for n, name in LIMITS])
        self.layer = frame.Picker(description="Layer", options=[state.layer])
        presets = [("as in Explain", AS_EXPLAINED), *((name, name) for name in parameters.offered_composites())]
        self.composite = ipywidgets.Dropdown(description="Composite", options=presets)
        self.rule = ipywidgets.Dropdown(description="Rule", options=parameters.offered_rules())
        self.semiring = ipywidgets.Dropdown(description="Semiring", options=semirings.names())
        self.edge = ipywidgets.FloatLogSlider(
            description="Edge θ", min=-6, max=0, step=0.05, readout_format=".1e", continuous_update=False
        )
        self.reductions = Chips("Reduce", guarded(lambda chosen: setattr(state, "reductions", chosen)))
        self.reductions.offer([(name, name) for name in REDUCTIONS], state.reductions)
        self.q = ipywidgets.FloatSlider(description="q", min=0.05, max=1, step=0.05, continuous_update=False)
        self.compute = ipywidgets.Button(description="Compute", tooltip="Compute these masks")
        self.hold = ipywidgets.Button(description="Pause", tooltip="Hold the computation", disabled=True)
        self.cancel = ipywidgets.Button(description="Cancel", tooltip="Give up; what is done stays", disabled=True)
        self.told = ipywidgets.HTML()
        buttons = frame.row([self.compute, self.hold, self.cancel], "run")
        title = ipywidgets.HTML(frame.heading("Masks", "no class pressed: all"))
        self.card = frame.card(
            [title, self.classes, self.typed, self.limit, self.layer, self.composite, self.rule, self.semiring,
             self.edge, self.reductions, self.q, buttons, self.told], "masks",
        )  # fmt: skip
        self._link(guarded)
        for button, act in ((self.compute, compute), (self.hold, hold), (self.cancel, cancel)):
            button.on_click(guarded(lambda _, act=act: act()))
        self._follow()

    def offer(self, layers: Sequence[str], names: Sequence[str]) -> None:
        """Show what the model and the data set have to choose from."""
        if self._state.layer not in layers:
            self._state.layer = layers[0]
        if tuple(self.layer.options) != tuple(layers):
            self.layer.refill(layers, self._state.layer)
        if self._names != tuple(names):
            first, self._names = self._names is None, tuple(names)
            if not first:
                self._state.classes = ()
            few = 0 < len(names) <= CHIPS
            self.classes.layout.display, self.typed.layout.display = ("", "none") if few else ("none", "")
            self.classes.offer([(name, index) for index, name in enumerate(names)] if few else [], self._state.classes)

    def show(self, progress: Progress | None, fresh: bool) -> None:
        """Show how far the run is, and whether it is the one that the pickers ask for."""
        phase = progress.phase if progress else "waiting"
        going = phase in ("choosing", "folding", "paused")
        self.hold.description = "Resume" if phase in ("paused", "cancelled") else "Pause"
        self.hold.disabled = not going and phase != "cancelled"
        self.cancel.disabled = not going
        (self.compute.remove_class if fresh else self.compute.add_class)("lrp-wanted")
        self.told.value = progress_line(progress, fresh)

    def _link(self, guarded: Guard) -> None:
        self.limit.observe(guarded(self._choose_limit), "value")
        for name in ("composite", "rule", "semiring", "edge", "q"):
            widget: Any = getattr(self, name)
            widget.observe(guarded(lambda change, name=name: setattr(self._state, name, change["new"])), "value")
        self.layer.observe(guarded(self._choose_layer), "value")
        self.typed.observe(guarded(lambda change: self._type(change["new"])), "value")
        self._state.observe(guarded(lambda _: self._follow()), list(MaskState.COMPUTED))

    def _choose_limit(self, change: dict[str, Any]) -> None:
        if not self.limit.refilling:
            self._state.limit = change["new"] or None

    def _choose_layer(self, change: dict[str, Any]) -> None:
        if not self.layer.refilling:
            self._state.layer = change["new"]

    def _type(self, text: str) -> None:
        if not self._filling:
            self._state.classes = self._read(text)

    @staticmethod
    def _read(text: str) -> tuple[int | str, ...]:
        # Names are looked up, and unknown ones told, when the masks are computed.
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return tuple(int(part) if part.isdigit() else part for part in parts if part != "all")

    def _follow(self) -> None:
        state = self._state
        for name in ("composite", "rule", "semiring", "edge", "q"):
            getattr(self, name).value = getattr(state, name)
        if (state.limit or ALL) not in [n for _, n in self.limit.options]:
            self.limit.refill([*self.limit.options, (str(state.limit), state.limit)], state.limit)
        self.limit.value = state.limit or ALL
        if state.layer in self.layer.options:
            self.layer.value = state.layer
        self.classes.press(state.classes)
        if self._read(self.typed.value) != state.classes:
            self._filling = True
            try:
                self.typed.value = ", ".join(map(str, state.classes))
            finally:
                self._filling = False
        self.reductions.press(state.reductions)
        uses = state.composite != AS_EXPLAINED and parameters.takes_rule(state.composite)
        self.rule.layout.display = "" if uses else "none"
        self.edge.layout.display = "" if state.semiring in THRESHOLDED else "none"
        self.q.layout.display = "" if set(state.reductions) & set(WITH_SHARE) else "none"

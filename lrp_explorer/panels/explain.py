"""The Explain panel: one example, one class, relevance in every layer, live."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets

from lrp_explorer.panels import frame
from lrp_explorer.panels.base import Panel
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.classes import Classes
from lrp_explorer.panels.explainer import Explainer
from lrp_explorer.panels.explanation import Explanation
from lrp_explorer.panels.propagation import Propagation
from lrp_explorer.panels.stage import Stage
from lrp_explorer.panels.state import ExplainState, Request
from lrp_explorer.panels.subject import Subject
from lrp_explorer.panels.worker import Worker


class ExplainPanel(Panel):
    """Pick model, example, class and rules on the left; see relevance flow back on the right.

    Parameters
    ----------
    catalogue : Catalogue
        What can be picked.
    state : ExplainState
        What is picked; set its traits and the panel follows.
    status : ipywidgets.HTML, optional
        A line outside the panel for device, timing and the busy sign.
    device : str, default "auto"
        See `lrp_explorer.Session`.
    """

    title = "Explain"

    def __init__(
        self,
        catalogue: Catalogue,
        state: ExplainState,
        status: ipywidgets.HTML | None = None,
        device: str = "auto",
    ) -> None:
        super().__init__()
        self.state = state
        self.status = status or ipywidgets.HTML()
        self._catalogue = catalogue
        self._explainer = Explainer(catalogue, device)
        self._asked: Request | None = None
        self._worker = Worker(self.guarded(self._show), self._fail, self._busy)

    def build(self) -> Sequence[ipywidgets.Widget]:
        """Make the cards, link them to the state, and ask for the first explanation."""
        self.subject = Subject(self.state, self._catalogue, self.guarded)
        self.classes = Classes(self.state, self.guarded)
        self.propagation = Propagation(self.state, self.guarded)
        self.stage = Stage(self.state, self.guarded)
        self.notes = ipywidgets.HTML(layout={"display": "none"})
        controls = ipywidgets.VBox([self.subject.card, self.classes.card, self.propagation.card, self.notes])
        controls.add_class("lrp-controls")
        self.state.observe(self.guarded(lambda _: self._changed()), list(ExplainState.EXPLAINED))
        self._ask()
        return [frame.row([controls, self.stage.box], "body")]

    def show_busy(self, busy: bool) -> None:
        """Show or hide the turning ring in the status line."""
        (self.status.add_class if busy else self.status.remove_class)("lrp-busy")

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait until everything asked for is shown; for scripts and tests."""
        return self._worker.wait(timeout)

    def close(self) -> None:
        """End the worker and close the widgets."""
        self._worker.close()
        super().close()

    def _changed(self) -> None:
        """Ask anew, unless what changed is only read differently from the answer that is there or under way."""
        if self.state.request() != self._asked:
            self._ask()

    def _ask(self) -> None:
        self._asked = request = self.state.request()
        self._worker.submit(lambda stale: self._explainer(request, stale), request.topic)

    def _show(self, explanation: Explanation) -> None:
        self.errors.clear()
        self.stage.show(explanation)
        self.classes.show(explanation)
        self.subject.show(explanation.example)
        self.propagation.show(explanation)
        self.notes.value = frame.notes(explanation.notes, "this explanation")
        # An empty one would keep its distance from the card above.
        self.notes.layout.display = "" if explanation.notes else "none"
        self.status.value = _status(explanation)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self.stage.stale()
            self.status.value = '<p class="lrp-status">not computed</p>'
            self.report(error)


def _status(explanation: Explanation) -> str:
    device = explanation.device
    name = "CPU" if device == "cpu" else f"GPU ({html.escape(device)})"
    return (
        f'<p class="lrp-status" title="time of the last propagation through {len(explanation.layers) - 1} layers">'
        f"{name} · <b>{explanation.seconds * 1000:.1f} ms</b></p>"
    )

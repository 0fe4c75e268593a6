"""The Masks panel: what a class relies on, folded over many examples, live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np

from lrp_explorer.analyses.masking import Masked
from lrp_explorer.analyses.masks import ALL, Masks
from lrp_explorer.analyses.mean_image import MeanImages
from lrp_explorer.analyses.run import Progress, Run
from lrp_explorer.panels import frame
from lrp_explorer.panels.base import Panel
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.frame import Frame
from lrp_explorer.panels.mask_controls import MaskControls
from lrp_explorer.panels.mask_stage import MaskStage
from lrp_explorer.panels.mask_state import MaskRequest, MaskState
from lrp_explorer.panels.masker import Look, Masker
from lrp_explorer.panels.state import ExplainState
from lrp_explorer.panels.subject import Subject
from lrp_explorer.panels.worker import Worker


class MasksPanel(Panel):
    """Pick classes, examples, layer, rules and reductions on the left; see the masks grow on the right.

    Parameters
    ----------
    catalogue : Catalogue
        What can be picked.
    explained : ExplainState
        Model, data set and example, shared with the Explain panel.
    device : str, default "auto"
        See `lrp_explorer.Session`.

    Attributes
    ----------
    state : MaskState
        What is picked; set its traits and the panel follows.
    run : Run or None
        The run that is shown.
    """

    title = "Masks"

    def __init__(self, catalogue: Catalogue, explained: ExplainState, device: str = "auto") -> None:
        super().__init__()
        self.state = MaskState()
        self.run: Run | None = None
        self._explained, self._catalogue = explained, catalogue
        self._masker = Masker(catalogue, device)
        self._asked: MaskRequest | None = None
        self._request: MaskRequest | None = None
        self._images: MeanImages | None = None
        self._found: Masks | None = None
        self._look: Look | None = None
        fail = self.guarded(self.report)
        # One for each kind of work, so that none replaces what waits of another kind.
        self._looker = Worker(self.guarded(self._looked), fail)
        self._beginner = Worker(self.guarded(self._begun), self.guarded(self._refused))
        self._averager = Worker(self.guarded(self._averaged), fail)
        self._painter = Worker(self.guarded(self._painted), fail)
        self._applier = Worker(self.guarded(self._applied), fail)

    @property
    def _workers(self) -> tuple[Worker, ...]:
        return self._beginner, self._looker, self._averager, self._painter, self._applier

    def build(self) -> Sequence[ipywidgets.Widget]:
        """Make the cards, link them to the state, and compute the first masks."""
        self.subject = Subject(self._explained, self._catalogue, self.guarded)
        self.controls = MaskControls(self.state, self.guarded, self.compute, self._hold, self._cancel)
        self.stage = MaskStage(self.state, self.guarded)
        controls = ipywidgets.VBox([self.subject.card, self.controls.card])
        controls.add_class("lrp-controls")
        self._explained.observe(self.guarded(lambda _: self._open()), ["model", "data", "example"])
        self._explained.observe(self.guarded(lambda _: self._progress()), list(ExplainState.EXPLAINED))
        self.state.observe(self.guarded(lambda _: self._progress()), list(MaskState.COMPUTED))
        self.state.observe(self.guarded(lambda _: self._apply()), [*MaskState.APPLIED, "theta"])
        self._open()
        self.compute()
        # A panel may be opened long after the page: it brings its own frame, which names its controls.
        return [Frame(lambda: frame.resend(self)), frame.row([controls, self.stage.box], "body")]

    def compute(self) -> None:
        """Compute what the controls ask for; a run that is under way is given up."""
        if self.run is not None:
            self.run.cancel()
        self.run, self._found, self._images = None, None, None
        self._asked = request = self.state.request(self._explained)
        self._progress()
        self._beginner.submit(lambda stale: (request, self._masker.begin(request)), request)

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait until everything asked for is shown; for scripts and tests."""
        if not self._beginner.wait(timeout):
            return False
        thread = self.run and self.run._thread
        if thread:
            thread.join(timeout)
        return all(worker.wait(timeout) for worker in self._workers)

    def close(self) -> None:
        """End the run and the workers, and close the widgets."""
        if self.run is not None:
            self.run.cancel()
        for worker in self._workers:
            worker.close()
        super().close()

    # The example

    def _open(self) -> None:
        topic = self._explained.request().topic
        self._looker.submit(lambda stale: self._masker.look(topic, stale), topic)

    def _looked(self, look: Look) -> None:
        self._look = look
        self.subject.show(look.example)
        self.controls.offer(look.layers, look.names)
        self._apply()

    # The run

    def _begun(self, made: tuple[MaskRequest, Run]) -> None:
        request, run = made
        if request != self._asked:
            return
        self.errors.clear()
        if self._request is None or _comparable(request) != _comparable(self._request):
            # Thresholds of other relevance say nothing here.
            self.state.theta = None
        self._request, self.run = request, run
        run.listen(self._heard)
        run.start()
        self._progress()
        if request.layer == "input":
            self._averager.submit(lambda stale: (request, self._masker.average(request, stale)), id(run))

    def _refused(self, error: BaseException) -> None:
        self._asked = None
        self.stage.stale()
        self._progress()
        self.report(error)

    def _heard(self, run: Run) -> None:
        # Called by the computing thread, which is not kept waiting: painting goes on elsewhere.
        if run is self.run:
            self._painter.submit(lambda stale: (run, run.snapshot(), run.progress), id(run))

    def _painted(self, told: tuple[Run, Masks | None, Progress]) -> None:
        run, found, progress = told
        if run is not self.run or self._request is None:
            return
        self._progress(progress)
        if progress.phase == "failed":
            self.stage.stale()
            # The error itself is raised here, and shown.
            run.result(timeout=5)
        if found is not None:
            self._found = found
            self.stage.show(self._request, found, self._images)
            if progress.phase in ("done", "cancelled"):
                self._apply()

    def _averaged(self, made: tuple[MaskRequest, MeanImages]) -> None:
        request, images = made
        if request == self._request:
            self._images = images
            if self._found is not None:
                self.stage.show(request, self._found, images)
                self._apply()

    def _progress(self, progress: Progress | None = None) -> None:
        if progress is None and self.run is not None:
            progress = self.run.progress
        if progress is None and self._asked is not None:
            progress = Progress("waiting", 0, 0, 0.0, None)
        self.controls.show(progress, self._asked == self.state.request(self._explained))

    def _hold(self) -> None:
        if self.run is None:
            return
        if self.run.progress.phase in ("paused", "cancelled"):
            self.run.resume()
        else:
            self.run.pause()
        self._progress()

    def _cancel(self) -> None:
        if self.run is not None:
            self.run.cancel()
        self._progress()

    # The masked example

    def _apply(self) -> None:
        why = self._hindrance()
        if why:
            self.stage.no_effect(why)
            return
        mask = self.stage.mask()
        assert self._look is not None
        if mask is None:
            return
        look, action, fill = self._look, self.state.action, self._filling()
        self._applier.submit(
            lambda stale: (look, *self._masker.put_on(look.topic, mask, action, fill)), (look.topic, id(self.run))
        )

    def _hindrance(self) -> str:
        """Say why no mask can be put on the example; nothing if one can."""
        if self._look is None or self._request is None or self._found is None:
            return "no mask yet"
        if self._look.topic[:2] != (self._request.model, self._request.data):
            return "other model or data: compute anew"
        if self._request.layer != "input":
            return "needs a mask of the input"
        if self._look.example.picture is None:
            return "the example is no picture"
        return "" if self.state.fill == "zero" or self._images is not None else "averaging the examples …"

    def _filling(self) -> Any:
        if self.state.fill == "zero" or self._images is None:
            return 0.0
        return self._images.of(ALL)

    def _applied(self, made: tuple[Look, Masked, np.ndarray]) -> None:
        look, masked, picture = made
        if look is self._look and not self._hindrance():
            self.stage.show_effect(masked, picture, look.example.classes)


def _comparable(request: MaskRequest) -> tuple[Any, ...]:
    """Give what relevance has to have in common to be compared with one threshold."""
    return request.model, request.layer, request.composite, request.rule, request.semiring

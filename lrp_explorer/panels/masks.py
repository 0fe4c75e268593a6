"""The Masks panel: what a class relies on, folded over many examples, live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ipywidgets

from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.mean_image import MeanImages
from lrp_explorer.analyses.progress import Progress
from lrp_explorer.analyses.run import Run
from lrp_explorer.panels import frame, mask_counts
from lrp_explorer.panels.base import Panel
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.frame import Frame
from lrp_explorer.panels.mask_controls import MaskControls
from lrp_explorer.panels.mask_stage import MaskStage, Shown
from lrp_explorer.panels.mask_state import MaskRequest, MaskState
from lrp_explorer.panels.mask_trial import MaskTrial
from lrp_explorer.panels.masker import Begun, Look, Masker
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
        self._begun: Begun | None = None
        self._averaged: Run | None = None
        self._images: MeanImages | None = None
        self._shown: Shown | None = None
        self._look: Look | None = None
        fail = self.guarded(self.report)
        self._trial = MaskTrial(self.state, self._masker, self.guarded, fail)
        # One for each kind of work, so that none replaces what waits of another kind.
        self._looker = Worker(self.guarded(self._show_look), fail)
        self._beginner = Worker(self.guarded(self._start), self.guarded(self._refused))
        self._averager = Worker(self.guarded(self._show_images), fail)
        self._painter = Worker(self.guarded(self._show), fail)
        # In the order in which work leads to further work.
        self._workers = self._looker, self._beginner, self._painter, self._averager, self._trial.worker

    def build(self) -> Sequence[ipywidgets.Widget]:
        """Make the cards, link them to the state, and compute the first masks."""
        self.subject = Subject(self._explained, self._catalogue, self.guarded)
        self.controls = MaskControls(self.state, self.guarded, self.compute, self._hold, self._cancel)
        self.stage = MaskStage(self.state, self._trial, self.guarded)
        self.notes = ipywidgets.HTML()
        controls = ipywidgets.VBox([self.subject.card, self.controls.card, self.notes])
        controls.add_class("lrp-controls")
        self._explained.observe(self.guarded(lambda _: self._open()), ["model", "data", "example"])
        self._explained.observe(self.guarded(lambda _: self._progress()), list(ExplainState.EXPLAINED))
        self.state.observe(self.guarded(lambda _: self._progress()), list(MaskState.COMPUTED))
        self.state.observe(self.guarded(lambda _: self._apply()), list(MaskState.APPLIED))
        self._open()
        self.compute()
        # A panel may be opened long after the page: it brings its own frame, which names its controls.
        return [Frame(lambda: frame.resend(self)), frame.row([controls, self.stage.box], "body")]

    def compute(self) -> None:
        """Compute what the controls ask for; a run that is under way is given up."""
        if self.run is not None:
            self.run.cancel()
        self.run, self._shown, self._images = None, None, None
        self._asked = request = self.state.request(self._explained)
        self._progress()
        self._beginner.submit(lambda stale: self._masker.begin(request), request)

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait until everything asked for is shown; for scripts and tests."""
        if not self._beginner.wait(timeout) or (self.run is not None and not self.run.join(timeout)):
            return False
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

    def _show_look(self, look: Look) -> None:
        self._look = look
        self.subject.show(look.example)
        self.controls.offer(look.layers, look.names)
        self._apply()

    def _apply(self) -> None:
        """Put the selected mask on the example."""
        request = self._begun.request if self._begun is not None and self._shown is not None else None
        self._trial.put(self._look, request, self.stage.mask() if request else None, self._images)

    # The run

    def _start(self, begun: Begun) -> None:
        request = begun.request
        if request != self._asked:
            return
        self.errors.clear()
        if self._begun is None or _comparable(request) != _comparable(self._begun.request):
            # Thresholds of other relevance say nothing here.
            self.state.theta = None
        self._begun, self.run = begun, begun.run
        begun.run.listen(self._heard)
        begun.run.start()
        self._progress()

    def _refused(self, error: BaseException) -> None:
        self._asked = None
        self.stage.stale()
        self._progress()
        self.report(error)

    def _heard(self, run: Run) -> None:
        # Called by the computing thread, which is not kept waiting: painting goes on elsewhere.
        if run is self.run:
            self._painter.submit(lambda stale: self._read(run), id(run))

    def _read(self, run: Run) -> tuple[Run, Shown | None, Progress]:
        begun = self._begun
        if begun is None or begun.run is not run:
            return run, None, run.progress
        # Before the masks, whose n may have grown meanwhile: a count is never above n.
        samples = run.samples(begun.request.layer) if begun.counts else None
        masks = run.snapshot()
        if masks is None:
            return run, None, run.progress
        return run, Shown(begun.request, masks, samples=samples), run.progress

    def _show(self, told: tuple[Run, Shown | None, Progress]) -> None:
        run, shown, progress = told
        if run is not self.run or self._begun is None:
            return
        self._progress(progress)
        if progress.phase == "failed":
            self.stage.stale()
            # The error itself is raised here, and shown.
            run.result(timeout=5)
        self._average(run, self._begun.request)
        if shown is not None:
            self._shown = replace(shown, images=self._images)
            self.stage.show(self._shown)
            self._tell(self._begun, shown.masks)
            if progress.phase in ("done", "cancelled"):
                self._apply()

    def _average(self, run: Run, request: MaskRequest) -> None:
        """Ask for the mean images of what was chosen, once."""
        choice = run.choice
        if choice is not None and request.layer == "input" and self._averaged is not run:
            self._averaged = run
            self._averager.submit(lambda stale: (run, self._masker.average(request, choice, stale)), id(run))

    def _show_images(self, made: tuple[Run, MeanImages]) -> None:
        run, images = made
        if run is self.run and self._begun is not None:
            self._images = images
            if self._shown is not None:
                self._shown = replace(self._shown, images=images)
                self.stage.show(self._shown)
                self._apply()

    def _progress(self, progress: Progress | None = None) -> None:
        if progress is None and self.run is not None:
            progress = self.run.progress
        if progress is None and self._asked is not None:
            progress = Progress("waiting", 0, 0, 0.0, None)
        self.controls.show(progress, self._asked == self.state.request(self._explained))

    def _tell(self, begun: Begun, found: Masks) -> None:
        """Tell what is not as asked."""
        skipped = (f"{found.skipped} examples are left out: something in them is not finite",) if found.skipped else ()
        told = mask_counts.told(found.notes, begun.request)
        self.notes.value = frame.notes((*begun.notes, *told, *skipped), "these masks")

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


def _comparable(request: MaskRequest) -> tuple[Any, ...]:
    """Give what relevance has to have in common to be compared with one threshold."""
    return request.model, request.layer, request.composite, request.rule, request.semiring

"""From a request to an explanation: opens model and data, keeps recorded forwards, turns tensors into numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from lrp_explorer.engine import Session
from lrp_explorer.figures import conservation, layers
from lrp_explorer.panels import algebra, examples, folding, parameters, path_reader, threads
from lrp_explorer.panels.catalogue import Catalogue, Kept
from lrp_explorer.panels.explanation import Example, Explanation
from lrp_explorer.panels.paths import SEEN, Paths
from lrp_explorer.panels.state import Request
from lrp_explorer.results import CoverageRow

KEPT_SESSIONS = 4
KEPT_BYTES = 128 * 2**20
"""For the steps that each session keeps beside its recording: enough to go back and forth, also on a small server."""

KEPT_PATHS = 4
"""Answers over paths of one example: to go back and forth between semirings, and to move thresholds."""


@dataclass(frozen=True)
class _Recorded:
    """One forward, kept for every rule and class that will be asked about it."""

    session: Session
    example: Example
    bounds: tuple[Any, Any]
    own_bounds: bool
    paths: Kept = field(default_factory=lambda: Kept(KEPT_PATHS))

    @cached_property
    def activations(self) -> int:
        """How many numbers the forward has left behind."""
        values = self.session.record.values.values()
        return sum(value.numel() for value in values if isinstance(value, torch.Tensor))


class Explainer:
    """Answers requests; called on one thread only.

    Parameters
    ----------
    catalogue : Catalogue
        Where models and data come from.
    device : str, default "auto"
        See `lrp_explorer.Session`.
    """

    def __init__(self, catalogue: Catalogue, device: str = "auto") -> None:
        self._catalogue, self._device = catalogue, device
        self._recorded = Kept(KEPT_SESSIONS)

    def __call__(self, request: Request, stale: Callable[[], bool] = lambda: False) -> Explanation:
        """Explain one example.

        Raises
        ------
        Cancelled
            As soon as `stale()` says that nobody waits for the answer any more.
        LrpError
            Whatever the zoo or the engine refuses, with what to do about it.
        """
        recorded = self._recorded.get(request.topic, lambda: self._record(request, stale))
        examples.go_on(stale)
        composite = parameters.build(request.composite, request.rule, dict(request.numbers), recorded.bounds)
        if request.semiring != algebra.REAL:
            return self._over_paths(request, recorded, composite, stale)
        begun = time.perf_counter()
        with threads.suited(recorded.activations):
            relevance = recorded.session.relevance(target=request.target, composite=composite, should_stop=stale)
            infos = tuple(_layer(name, value) for name, value in relevance.maps.items() if value.numel())
        seconds = time.perf_counter() - begun
        examples.go_on(stale)
        coverage = tuple(recorded.session.coverage(composite))
        start = float(relevance.start[0].double().sum())
        return Explanation(
            request=request,
            example=recorded.example,
            logits=relevance.logits[0].double().cpu().numpy(),
            target=int(relevance.target[0]),
            layers=infos,
            sums=conservation.info([i.name for i in infos], [i.total for i in infos], start),
            coverage=coverage,
            notes=_notes(request, recorded, coverage) + relevance.notes,
            device=str(recorded.session.device),
            seconds=seconds,
        )

    def _over_paths(
        self, request: Request, recorded: _Recorded, composite: Any, stale: Callable[[], bool]
    ) -> Explanation:
        session, semiring = recorded.session, algebra.build(request.semiring, dict(request.options))
        begun = time.perf_counter()
        with threads.suited(recorded.activations):
            asked = (request.target, request.composite, request.rule, request.numbers, semiring)
            paths: Paths = recorded.paths.get(
                asked,
                lambda: path_reader.propagate(session, request.target, composite, request.semiring, semiring, stale),
            )
            examples.go_on(stale)
            steps = ()
            if request.start is not None:
                steps = path_reader.best_path(session, request.target, composite, semiring, request.start, paths)
        seconds = time.perf_counter() - begun
        examples.go_on(stale)
        coverage = tuple(session.coverage(composite, semiring))
        target = int(session.logits[0].argmax()) if request.target is None else request.target
        return Explanation(
            request=request,
            example=recorded.example,
            logits=session.logits[0].double().cpu().numpy(),
            target=target,
            layers=paths.read(request.semiring, dict(request.options).get("theta", algebra.THETAS[0]), ""),
            sums=None,
            coverage=coverage,
            notes=_notes(request, recorded, _extraordinary(coverage)) + paths.notes,
            device=str(session.device),
            seconds=seconds,
            paths=paths,
            steps=steps,
        )

    def _record(self, request: Request, stale: Callable[[], bool]) -> _Recorded:
        found = examples.opened(self._catalogue, request.topic, stale)
        session = Session(found.model, found.tensor[None], device=self._device, memory=KEPT_BYTES)
        bounds = getattr(found.model, "input_bounds", None)
        example = found.described(session.logits.shape[1])
        return _Recorded(session, example, bounds or _range(found.tensor), bounds is None)


def _layer(name: str, relevance: torch.Tensor) -> layers.LayerInfo:
    whole = tuple(relevance.shape)
    shape = folding.folded(whole)
    one = relevance.detach().reshape(shape)
    axis = layers.summed_axis(shape)
    if axis is not None:
        # Summed where it was computed: a hundred times less to bring over from a GPU.
        summed = one.sum(axis, keepdim=True, dtype=torch.float32 if one.itemsize < 4 else None).double().cpu()
        # Sums in double precision take four times as long, and are needed where others overflow.
        one = summed if bool(summed.isfinite().all()) else one.sum(axis, keepdim=True, dtype=torch.float64)
    drawn = layers.info(name, one.double().cpu().numpy(), quantile=SEEN, shape=shape)
    return replace(drawn, shape=folding.single(whole))


def _range(tensor: torch.Tensor) -> tuple[list[float], list[float]]:
    """Lowest and highest value of each channel, kept apart where they are equal."""
    flat = tensor.double().reshape(tensor.shape[0], -1) if tensor.ndim == 3 else tensor.double().reshape(1, -1)
    low, high = flat.amin(1), flat.amax(1)
    high = torch.where(high > low, high, low + 1.0)
    return low.tolist(), high.tolist()


def _extraordinary(coverage: tuple[CoverageRow, ...]) -> tuple[CoverageRow, ...]:
    """Leave out what is as it should be: compiled loops, and pooling and threshold as the user has chosen."""
    usual = ("kernel: numba", "kernel: triton", "pooling: ", "θ = ")
    kept = [[note for note in row.note.split("; ") if not note.startswith(usual)] for row in coverage]
    return tuple(replace(row, note="; ".join(notes)) for row, notes in zip(coverage, kept, strict=True))


def _notes(request: Request, recorded: _Recorded, coverage: tuple[CoverageRow, ...]) -> tuple[str, ...]:
    notes = [f"{row.layer} ({row.op}, {row.rule.split('(')[0]}): {row.note}" for row in coverage if row.note]
    if recorded.own_bounds and parameters.needs_bounds(request.composite, request.rule):
        notes.append("lowest and highest input are taken from this example; set model.input_bounds = (low, high)")
    return tuple(notes)

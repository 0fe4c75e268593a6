"""A session: one recorded forward, from which every explanation of that batch is computed, again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lrp_explorer import semirings
from lrp_explorer.composites import Composite
from lrp_explorer.engine.answers import answer, path_answer
from lrp_explorer.engine.best_path import best_path, checked_index
from lrp_explorer.engine.checks import check_target, start_relevance
from lrp_explorer.engine.coverage import coverage_rows
from lrp_explorer.engine.devices import own_arithmetic
from lrp_explorer.engine.finite import check_relevance
from lrp_explorer.engine.paths import start_elements
from lrp_explorer.engine.recording import Recording
from lrp_explorer.engine.sweep import batches, settings
from lrp_explorer.errors import InputError
from lrp_explorer.graph import INPUT
from lrp_explorer.path_relevance import PathRelevance
from lrp_explorer.results import CoverageRow, PathStep, Relevance, Table
from lrp_explorer.rules import Rule
from lrp_explorer.rules.base import check_callable, check_flag
from lrp_explorer.semirings import Real, Semiring, Viterbi

# Examples that the settings of a sweep run as one batch.
_TOGETHER = 8


class Session(Recording):
    """Explains one batch under changing settings, from one recorded forward pass.

    What does not depend on a changed setting is not computed again: a rule in layer l recomputes layers up to l, and
    returning to earlier settings costs nothing while they are still kept.

    Parameters
    ----------
    model : nn.Module
        A classifier; it is never changed. Its weights are read once, here; if they change, the session refuses to go
        on (of writes through ``tensor.data`` to a few values of a large weight it may not know).
    x : Tensor
        Preprocessed input ``(batch, ...)``, of a dtype that the model takes; a copy of it is kept.
    device : str
        ``"auto"`` (the input's GPU, else a GPU if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …
    memory : int, optional
        Bytes for what is kept beside the recording; by default a quarter of the free memory.

    Attributes
    ----------
    logits : Tensor
        The model's output ``(batch, classes)``.

    Raises
    ------
    InputError, ModelError, NumericsError
        See the messages. Autocast and TF32 around a call change no number: arithmetic is that of the model itself.
    """

    @own_arithmetic()
    def coverage(
        self, composite: str | Composite = "epsilon-plus-flat", semiring: str | Semiring = "real"
    ) -> Table[CoverageRow]:
        """Tell which rule will serve which layer; see `lrp_explorer.coverage`."""
        algebra = semirings.build(semiring)
        return coverage_rows(self.graph, self._built(composite), algebra, self.device, self._reading.weights)

    @own_arithmetic()
    def relevance(
        self,
        target: int | Tensor | None = None,
        composite: str | Composite = "epsilon-plus-flat",
        semiring: str | Semiring = "real",
        seed: str | Tensor = "logit",
        should_stop: Callable[[], bool] | None = None,
    ) -> Relevance:
        """Compute the relevance of every layer.

        Parameters
        ----------
        target : int, (batch,) ints, or None
            Class to explain; None is each example's predicted one.
        composite : str or Composite
            Which rule serves which layer; names in ``lrp_explorer.composites.names()``.
        semiring : str or Semiring
            ``"real"``: classical LRP; else how contributions add up along paths, see `lrp_explorer.semirings`.
        seed : {"logit", "one", "contrast", "probability"} or Tensor
            Relevance put in at the output, see `lrp_explorer.engine.checks.start_relevance`.
        should_stop : callable, optional
            Asked between layers; when it says True the computation is given up by `Cancelled`.

        Returns
        -------
        Relevance
            A `PathRelevance` for semirings other than the real one.
        """
        check_callable(should_stop, "should_stop")
        algebra = semirings.build(semiring)
        self._check_unchanged()
        chosen = self._built(composite)
        rules = chosen.assign(self.graph)
        targets = check_target(target, self._logits)
        if type(algebra) is not Real:
            return self._paths(algebra, chosen, rules, targets, seed, should_stop)
        start = start_relevance(seed, self._logits, targets)
        maps = self._retrying(lambda: self._walk.relevance(rules, start, _seed_key(seed, targets), should_stop))
        check_relevance(self.graph, rules, maps)
        return self._answer(chosen, rules, targets, start, seed, maps)

    def _paths(
        self,
        algebra: Semiring,
        chosen: Composite,
        rules: Mapping[str, Rule],
        targets: Tensor,
        seed: str | Tensor,
        should_stop: Callable[[], bool] | None,
    ) -> PathRelevance:
        if not (isinstance(seed, str) and seed in ("logit", "one")):
            raise InputError(
                f"seed is {seed!r}, but paths start with 𝟙 at the target: leave seed out, or take semiring='real'"
            )
        if self._logits.dtype == torch.float16:
            raise InputError(
                "the model computes in float16, which ends at 65504, and factors 1 / z of edges go beyond; use "
                "model.float() or model.bfloat16() for semirings other than the real one"
            )
        start = start_elements(algebra, self._logits, targets)
        maps = self._retrying(lambda: self._walk.paths(rules, algebra, start, should_stop))
        return path_answer(self.graph, self.logits, algebra, chosen, targets, start, maps)

    @own_arithmetic()
    def best_path(
        self,
        index: Sequence[int],
        example: int = 0,
        target: int | Tensor | None = None,
        composite: str | Composite = "epsilon-plus-flat",
        semiring: str | Semiring = "viterbi",
    ) -> Table[PathStep]:
        """Tell the strongest path from one neuron of the input to the target's output.

        Parameters
        ----------
        index : sequence of int
            The neuron, without the batch: ``(channel, row, column)``.
        example : int
            Which one of the batch.
        target, composite
            See `relevance`.
        semiring : Viterbi
            With its settings.

        Returns
        -------
        Table of PathStep
            Input side first.
        """
        algebra = semirings.build(semiring)
        if not isinstance(algebra, Viterbi):
            raise InputError(f"semiring is {algebra!r}, but the best path is one of Viterbi(…)")
        whole = isinstance(example, (int, np.integer)) and not isinstance(example, bool)
        if not whole or not 0 <= example < len(self._logits):
            raise InputError(f"example is {example!r}, but the batch has examples 0 to {len(self._logits) - 1}")
        index = checked_index(index, tuple(self.record.values[INPUT].shape[1:]))
        if len(self._logits) > 1:
            one = self.record.values[INPUT][example : example + 1]
            alone = target if target is None or isinstance(target, int) else check_target(target, self._logits)[example]
            return Session(self._reading.model, one, self.device).best_path(index, 0, alone, composite, algebra)
        found = self.relevance(target, composite, algebra)
        rules = self._built(composite).assign(self.graph)
        with self._lock, torch.no_grad():
            return best_path(self.record, rules, algebra, found.maps, index, self._walk.memo)

    @own_arithmetic()
    def sweep(
        self,
        parameter: str,
        values: Sequence[Any],
        target: int | Tensor | None = None,
        composite: str | Composite = "epsilon-plus-flat",
        semiring: str | Semiring = "real",
        seed: str | Tensor = "logit",
        progress: bool = False,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Relevance]:
        """Compute relevance for many values of one setting.

        Parameters
        ----------
        parameter : str
            An argument of `relevance` (``"target"``, ``"seed"`` …), a parameter of the composite (``"gamma"``), or
            ``"layer:parameter"`` of one layer's rule (``"features.0:gamma"``).
        values : sequence
            Its values. Those that leave most layers' rules as they are (targets, one layer's ε) run together,
            as one batch over the one recorded forward; others one by one, each as far down as it changes anything.
        target, composite, semiring, seed, should_stop
            See `relevance`.
        progress : bool
            Show a progress bar.

        Returns
        -------
        list of Relevance
            One for each value.
        """
        check_flag(progress, "progress")
        check_callable(should_stop, "should_stop")
        given = {"target": target, "composite": self._built(composite), "semiring": semiring, "seed": seed}
        todo = settings(parameter, values, given, self.graph)
        if parameter == "composite":
            todo = [one | {"composite": self._built(one["composite"])} for one in todo]
        real = type(semirings.build(semiring)) is Real and parameter != "semiring" and self.graph.batch is None
        most = max(1, _TOGETHER // len(self._logits)) if real and self._walk.batch_stays_first else 1
        found: list[Relevance] = []
        with tqdm(total=len(todo), disable=not progress, desc=parameter) as bar:
            for part in batches(todo, self.graph, most):
                if len(part) > 1:
                    found += self._at_once(part, should_stop)
                else:
                    found.append(self.relevance(**part[0], should_stop=should_stop))
                bar.update(len(part))
        return found

    def _at_once(self, todo: Sequence[dict[str, Any]], should_stop: Callable[[], bool] | None) -> list[Relevance]:
        """Several settings as one batch."""
        self._check_unchanged()
        rules = [one["composite"].assign(self.graph) for one in todo]
        targets = [check_target(one["target"], self._logits) for one in todo]
        starts = [start_relevance(one["seed"], self._logits, to) for one, to in zip(todo, targets, strict=True)]
        maps = self._retrying(lambda: self._walk.together(rules, starts, should_stop))
        split = {name: value.chunk(len(todo)) for name, value in maps.items()}
        each = [{name: parts[i] for name, parts in split.items()} for i in range(len(todo))]
        for given, found in zip(rules, each, strict=True):
            check_relevance(self.graph, given, found)
        return [
            self._answer(one["composite"], rules[i], targets[i], starts[i], one["seed"], each[i])
            for i, one in enumerate(todo)
        ]

    def _answer(
        self,
        composite: Composite,
        rules: Mapping[str, Rule],
        target: Tensor,
        start: Tensor,
        seed: str | Tensor,
        maps: dict[str, Tensor],
    ) -> Relevance:
        name = seed if isinstance(seed, str) else "tensor"
        return answer(self.record, self._check_unchanged, composite, rules, target, start, name, maps)


def _seed_key(seed: str | Tensor, targets: Tensor) -> Any:
    if isinstance(seed, Tensor):
        return seed.detach().cpu().double().numpy().tobytes()
    return seed, tuple(targets.tolist())

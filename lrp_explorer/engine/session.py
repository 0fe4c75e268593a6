"""A session: one recorded forward, from which every explanation of that batch is computed, again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer.composites import Composite, build
from lrp_explorer.engine.cache import Cache, default_budget
from lrp_explorer.engine.checks import check_input, check_logits, check_model, check_target, start_relevance, traced
from lrp_explorer.engine.coverage import coverage_rows
from lrp_explorer.engine.devices import full_precision, pick_device
from lrp_explorer.engine.ledger import ledger
from lrp_explorer.engine.propagate import rectified, step
from lrp_explorer.engine.record import Record, record, weights_on
from lrp_explorer.errors import Cancelled, InputError, unknown_name
from lrp_explorer.graph import INPUT
from lrp_explorer.results import CoverageRow, Relevance, Table
from lrp_explorer.rules import Rule

# Kept states of relevance, one for every layer and setting.
_STATES = 100_000


class Session:
    """Explains one batch under changing settings, from one recorded forward pass.

    What does not depend on a changed setting is not computed again: a rule in layer l recomputes layers up to l, and
    returning to earlier settings costs nothing while they are still kept.

    Parameters
    ----------
    model : nn.Module
        A classifier; it is never changed. Its weights are read once, here.
    x : Tensor
        Preprocessed input ``(batch, ...)``, of the dtype of the model's weights.
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
        See the messages.
    """

    def __init__(
        self, model: nn.Module, x: Tensor, device: str | torch.device = "auto", memory: int | None = None
    ) -> None:
        self._model = check_model(model)
        x = check_input(model, x)
        self.device = pick_device(device, x)
        self.graph = traced(model, x)
        self._bounds = getattr(model, "input_bounds", None)
        with full_precision():
            weights = weights_on(model, self.graph, self.device)
            self._weights = weights
            self._versions = [tensor._version for tensor in weights.values()]
            self.record: Record = record(self.graph, weights, x.to(self.device))
        self.logits = check_logits(self.record.values[self.graph.output]).clone()
        self.cache = Cache(default_budget(self.device) if memory is None else memory)
        self._tokens: dict[Any, int] = {}
        self._lock = threading.Lock()

    @property
    def layers(self) -> list[str]:
        """Names of all layers, input side first, ``"input"`` included."""
        return list(self.graph.layers)

    def coverage(self, composite: str | Composite = "epsilon-plus-flat") -> Table[CoverageRow]:
        """Tell which rule will serve which layer; see `lrp_explorer.coverage`."""
        return coverage_rows(self.graph, build(composite, self._bounds))

    def relevance(
        self,
        target: int | Tensor | None = None,
        composite: str | Composite = "epsilon-plus-flat",
        semiring: str = "real",
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
        semiring : str
            ``"real"``: classical LRP.
        seed : {"logit", "one", "contrast", "probability"} or Tensor
            Relevance put in at the output, see `lrp_explorer.engine.checks.start_relevance`.
        should_stop : callable, optional
            Asked between layers; when it says True the computation is given up by `Cancelled`.

        Returns
        -------
        Relevance
        """
        if semiring != "real":
            raise unknown_name("semiring", semiring, ("real",))
        self._check_unchanged()
        chosen = build(composite, self._bounds)
        rules = chosen.assign(self.graph)
        targets = check_target(target, self.logits)
        start = start_relevance(seed, self.logits, targets)
        with self._lock, torch.no_grad(), full_precision():
            maps = self._walk(rules, start, _seed_key(seed, targets), should_stop)
        return Relevance(
            maps=maps,
            logits=self.logits.clone(),
            target=targets,
            start=start,
            composite=repr(chosen),
            semiring=semiring,
            seed=seed if isinstance(seed, str) else "tensor",
            _resolve=self.graph.resolve,
            _ledger=lambda: ledger(self.record, rules, maps),
        )

    def _check_unchanged(self) -> None:
        """Notice training; tools that change weights and put them back (captum's LRP does) are no reason to stop."""
        versions = [tensor._version for tensor in self._weights.values()]
        if versions == self._versions:
            return
        with full_precision():
            now = record(self.graph, self._weights, self.record.values[INPUT])
        if not torch.equal(now.values[self.graph.output], self.record.values[self.graph.output]):
            raise InputError(
                "the model's weights have changed since this session recorded its forward pass; "
                "make a new Session(model, x) to explain the model as it is now"
            )
        self._versions = versions

    def _walk(
        self, rules: Mapping[str, Rule], start: Tensor, seed_key: Any, should_stop: Callable[[], bool] | None
    ) -> dict[str, Tensor]:
        graph = self.graph
        tokens = self._chain(rules, seed_key)
        sparse = rectified(graph, rules)
        arrived: dict[str, list[Tensor]] = {name: [] for name in graph.layers}
        arrived[graph.output] = [start]
        maps: dict[str, Tensor] = {}
        for name in reversed(graph.layers):
            if should_stop is not None and should_stop():
                raise Cancelled(f"given up at layer {name!r}: a newer computation was asked for")
            maps[name] = relevance = self._total(name, arrived.pop(name))
            if name == INPUT:
                continue
            node = graph.by_name[name]
            rule = rules[name]

            def memo(key: Any, compute: Callable[[], Tensor], name: str = name) -> Tensor:
                return self.cache.get((name, key), compute)

            token = (tokens[name], rule)
            if all(("step", token, i) in self.cache for i in range(len(node.inputs))):
                parts = [self.cache.get(("step", token, i), _absent) for i in range(len(node.inputs))]
            else:
                parts = step(node, rule, self.record, relevance, memo, vanishes_below=name in sparse)
                parts = [self.cache.get(("step", token, i), lambda p=part: p) for i, part in enumerate(parts)]
            for source, part in zip(node.inputs, parts, strict=True):
                arrived[source].append(part)
        return {name: maps[name] for name in graph.layers}

    def _chain(self, rules: Mapping[str, Rule], seed_key: Any) -> dict[str, int]:
        """Number the state of every layer's relevance by all that it depends on: the seed, and the rules above it."""
        if len(self._tokens) > _STATES:
            # Sliders make new states for ever; forgetting them all costs one computation.
            self._tokens, self.cache = {}, Cache(self.cache.budget)
        tokens: dict[str, int] = {}
        for name in reversed(self.graph.layers):
            users = self.graph.consumers[name]
            chain = tuple((user.name, rules[user.name], tokens[user.name]) for user in users)
            state = (name, chain, seed_key if name == self.graph.output else None)
            tokens[name] = self._tokens.setdefault(state, len(self._tokens))
        return tokens

    def _total(self, name: str, parts: list[Tensor]) -> Tensor:
        if not parts:
            # A value that no output depends on.
            return torch.zeros_like(self.record.value(name))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


def _absent() -> Tensor:
    raise KeyError("a kept step went away while it was read")


def _seed_key(seed: str | Tensor, targets: Tensor) -> Any:
    if isinstance(seed, Tensor):
        return seed.detach().cpu().numpy().tobytes()
    return seed, tuple(targets.tolist())


def explain(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor | None = None,
    composite: str | Composite = "epsilon-plus-flat",
    semiring: str = "real",
    seed: str | Tensor = "logit",
    device: str | torch.device = "auto",
) -> Relevance:
    """Explain a classifier's decision by Layer-wise Relevance Propagation.

    Parameters
    ----------
    model : nn.Module
        A classifier: ``(batch, ...)`` in, ``(batch, classes)`` out. It is never changed.
    x : Tensor
        Preprocessed input ``(batch, ...)``.
    target, composite, semiring, seed
        See `Session.relevance`.
    device : str
        See `Session`.

    Returns
    -------
    Relevance
        ``.input`` is the relevance of the input; ``["layer"]`` that of any layer's output.

    Examples
    --------
    >>> import lrp_explorer as lrp
    >>> model = lrp.load_model("digits-cnn")
    >>> x, label = lrp.load_dataset("digits")[0]
    >>> rel = lrp.explain(model, x[None])
    >>> rel.input.shape
    torch.Size([1, 1, 28, 28])
    """
    return Session(model, x, device, memory=0).relevance(target, composite, semiring, seed)

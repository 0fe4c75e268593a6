"""The walk back through a recorded forward, from the output to the input, and what is kept between walks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.cache import Cache
from lrp_explorer.engine.linear import Memo
from lrp_explorer.engine.paths import check_range, path_step
from lrp_explorer.engine.propagate import rectified, step
from lrp_explorer.engine.record import Record
from lrp_explorer.engine.thresholds import Scale, fixed_scales
from lrp_explorer.errors import Cancelled
from lrp_explorer.graph import INPUT
from lrp_explorer.rules import Rule
from lrp_explorer.semirings import Semiring

# Kept states of relevance, one for every layer and setting.
_STATES = 100_000


class Walk:
    """Walks back through one recorded forward, as often as asked, and computes nothing twice that it still keeps.

    Parameters
    ----------
    record : Record
        The recorded forward pass.
    budget : int
        Bytes for what is kept.
    """

    def __init__(self, record: Record, budget: int) -> None:
        self.record, self.graph = record, record.graph
        self.cache = Cache(budget)
        self._tokens: dict[Any, int] = {}

    def memo(self, layer: str) -> Memo:
        """Keep what a layer's steps need, and no relevance changes."""
        return lambda key, compute: self.cache.get((layer, key), compute)

    def forget(self) -> None:
        """Let go of all that is kept."""
        self._tokens, self.cache = {}, Cache(self.cache.budget)

    def relevance(
        self,
        rules: Mapping[str, Rule],
        start: Tensor,
        seed_key: Any,
        should_stop: Callable[[], bool] | None = None,
        copies: int = 1,
    ) -> dict[str, Tensor]:
        """Compute relevance of every layer, input side first.

        Parameters
        ----------
        rules : mapping
            Layer → rule.
        start : Tensor
            Relevance of the output.
        seed_key : hashable
            Says what `start` is; equal keys mean equal starts.
        should_stop : callable, optional
            Asked between layers; when it says True, `Cancelled` is raised.
        copies : int
            How often the recorded batch stands in `start`, one after another. Steps of copies are not kept.
        """
        graph = self.graph
        recorded = self.record if copies == 1 else self.record.repeated(copies)
        tokens = self._chain(rules, seed_key)
        sparse = rectified(graph, rules)
        arrived: dict[str, list[Tensor]] = {name: [] for name in graph.layers}
        arrived[graph.output] = [start]
        maps: dict[str, Tensor] = {}
        for name in reversed(graph.layers):
            _ask(should_stop, name)
            maps[name] = relevance = self._total(name, arrived.pop(name), recorded)
            if name == INPUT:
                continue
            node = graph.by_name[name]
            rule = rules[name]

            def memo(key: Any, compute: Callable[[], Tensor], name: str = name) -> Tensor:
                return self.cache.get((name, key), compute) if copies == 1 else self._kept(name, key, compute, copies)

            token = (tokens[name], rule)
            if copies > 1:
                parts = step(node, rule, recorded, relevance, memo, vanishes_below=name in sparse)
            elif all(("step", token, i) in self.cache for i in range(len(node.inputs))):
                parts = [self.cache.get(("step", token, i), _absent) for i in range(len(node.inputs))]
            else:
                parts = step(node, rule, recorded, relevance, memo, vanishes_below=name in sparse)
                parts = [self.cache.get(("step", token, i), lambda p=part: p) for i, part in enumerate(parts)]
            for source, part in zip(node.inputs, parts, strict=True):
                arrived[source].append(part)
        return {name: maps[name] for name in graph.layers}

    def paths(
        self,
        rules: Mapping[str, Rule],
        semiring: Semiring,
        start: Tensor,
        should_stop: Callable[[], bool] | None = None,
    ) -> dict[str, Tensor]:
        """Compute elements of a semiring for every layer, input side first; see `relevance`.

        Raises
        ------
        NumericsError
            When counts of paths leave the range of double precision.
        """
        graph, record = self.graph, self.record
        weights = {name: tuple(torch.as_tensor(made.weight).shape) for name, made in record.maps.items()}
        scales = fixed_scales(graph, semiring, weights)
        sparse = rectified(graph, rules)
        arrived: dict[str, list[Tensor]] = {name: [] for name in graph.layers}
        arrived[graph.output] = [start]
        maps: dict[str, Tensor] = {}
        for name in reversed(graph.layers):
            _ask(should_stop, name)
            parts = arrived.pop(name)
            total = parts[0] if parts else semiring.full(record.value(name).shape, start)
            for part in parts[1:]:
                total = semiring.add(total, part)
            maps[name] = total
            check_range(semiring, name, total)
            if name == INPUT:
                continue
            node = graph.by_name[name]

            def memo(key: Any, compute: Callable[[], Tensor], name: str = name) -> Tensor:
                return self.cache.get((name, key), compute)

            found = path_step(
                node,
                rules[name],
                semiring,
                record,
                total,
                memo,
                Scale(scales.get(name, 1.0)),
                vanishes_below=name in sparse,
            )
            for source, part in zip(node.inputs, found, strict=True):
                arrived[source].append(part)
        return {name: maps[name] for name in graph.layers}

    def _chain(self, rules: Mapping[str, Rule], seed_key: Any) -> dict[str, int]:
        """Number the state of every layer's relevance by all that it depends on: the seed, and the rules above it."""
        if len(self._tokens) > _STATES:
            self.forget()
        tokens: dict[str, int] = {}
        for name in reversed(self.graph.layers):
            users = self.graph.consumers[name]
            chain = tuple((user.name, rules[user.name], tokens[user.name]) for user in users)
            state = (name, chain, seed_key if name == self.graph.output else None)
            tokens[name] = self._tokens.setdefault(state, len(self._tokens))
        return tokens

    def _kept(self, name: str, key: Any, compute: Callable[[], Tensor], copies: int) -> Tensor:
        """What is kept for the batch serves copies of it; what is not is computed for them."""
        if (name, key) not in self.cache:
            return compute()
        kept = self.cache.get((name, key), _absent)
        by_example = key[0] in ("signed", "box")
        return kept.repeat(copies, *[1] * (kept.dim() - 1)) if by_example else kept

    def _total(self, name: str, parts: list[Tensor], recorded: Record) -> Tensor:
        if not parts:
            # A value that no output depends on.
            return torch.zeros_like(recorded.value(name))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


def _ask(should_stop: Callable[[], bool] | None, layer: str) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled(f"given up at layer {layer!r}: a newer computation was asked for")


def _absent() -> Tensor:
    raise KeyError("a kept step went away while it was read")

"""The walk back through a recorded forward, from the output to the input, and what is kept between walks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.cache import Cache, Memo, forgetful
from lrp_explorer.engine.linear import BY_EXAMPLE
from lrp_explorer.engine.paths import check_range, path_step
from lrp_explorer.engine.propagate import rectified, step
from lrp_explorer.engine.record import Record
from lrp_explorer.engine.sweep import batch_stays_first
from lrp_explorer.engine.thresholds import scales
from lrp_explorer.errors import Cancelled
from lrp_explorer.graph import INPUT, Node
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
        if self.cache.budget == 0:
            return forgetful

        def memo(key: Hashable, compute: Callable[[], Tensor], slot: Hashable = None) -> Tensor:
            return self.cache.get((layer, key), compute, slot and (layer, slot))

        return memo

    def forget(self) -> None:
        """Let go of all that is kept."""
        self._tokens, self.cache = {}, Cache(self.cache.budget)

    def relevance(
        self,
        rules: Mapping[str, Rule],
        start: Tensor,
        seed_key: Any,
        should_stop: Callable[[], bool] | None = None,
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
        """
        tokens, sparse = self._chain(rules, seed_key), rectified(self.graph, rules)

        def down(node: Node, relevance: Tensor) -> list[Tensor]:
            name, positions = node.name, range(len(node.inputs))
            token = (tokens[name], rules[name])
            if all(("step", token, i) in self.cache for i in positions):
                return [self.cache.get(("step", token, i), _absent) for i in positions]
            memo = self.memo(name)
            parts = step(node, rules[name], self.record, relevance, memo, vanishes_below=name in sparse)
            return [self.cache.get(("step", token, i), lambda p=part: p) for i, part in enumerate(parts)]

        return self._down(start, self.record, down, should_stop)

    def together(
        self,
        rules: Sequence[Mapping[str, Rule]],
        starts: Sequence[Tensor],
        should_stop: Callable[[], bool] | None = None,
    ) -> dict[str, Tensor]:
        """Compute relevance under several settings as one batch, one setting after another; see `relevance`.

        Where their rules are the same a layer takes one step for all of them. Steps are not kept. Only where
        `batch_stays_first`.
        """
        many = len(starts)
        sparse = [rectified(self.graph, one) for one in rules]
        recorded = self.record.repeated(many)

        def down(node: Node, relevance: Tensor) -> list[Tensor]:
            name = node.name
            asked = [(one[name], name in there) for one, there in zip(rules, sparse, strict=True)]
            if len(set(asked)) == 1:
                rule, vanishes = asked[0]
                return step(node, rule, recorded, relevance, self._tiling(name, many), vanishes_below=vanishes)
            steps = [
                step(node, rule, self.record, part, self.memo(name), vanishes_below=vanishes)
                for (rule, vanishes), part in zip(asked, relevance.chunk(many), strict=True)
            ]
            return [torch.cat(parts) for parts in zip(*steps, strict=True)]

        return self._down(torch.cat(list(starts)), recorded, down, should_stop)

    @cached_property
    def batch_stays_first(self) -> bool:
        """Whether several settings can run as one batch."""
        return batch_stays_first(self.record)

    def _down(
        self,
        start: Tensor,
        recorded: Record,
        down: Callable[[Node, Tensor], list[Tensor]],
        should_stop: Callable[[], bool] | None,
    ) -> dict[str, Tensor]:
        """Take what arrived at every layer down to its inputs."""
        graph = self.graph
        arrived: dict[str, list[Tensor]] = {name: [] for name in graph.layers}
        arrived[graph.output] = [start]
        maps: dict[str, Tensor] = {}
        for name in reversed(graph.layers):
            _ask(should_stop, name)
            maps[name] = relevance = self._total(name, arrived.pop(name), recorded)
            if name != INPUT:
                node = graph.by_name[name]
                for source, part in zip(node.inputs, down(node, relevance), strict=True):
                    arrived[source].append(recorded.suited(source, part))
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
        by_layer = scales(graph, semiring)
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
            node, memo, scale = graph.by_name[name], self.memo(name), by_layer[name]
            found = path_step(node, rules[name], semiring, record, total, memo, scale, vanishes_below=name in sparse)
            for source, part in zip(node.inputs, found, strict=True):
                kept = semiring.dtype(record.dtype(source))
                arrived[source].append(part.to(kept) if record.dtype(source).is_floating_point else part)
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

    def _tiling(self, name: str, copies: int) -> Memo:
        """What is kept for the batch serves copies of it; what is not is computed for them."""

        def memo(key: Hashable, compute: Callable[[], Tensor], slot: Hashable = None) -> Tensor:
            if (name, key) not in self.cache:
                return compute()
            kept = self.cache.get((name, key), _absent)
            by_example = isinstance(key, tuple) and key[0] in BY_EXAMPLE
            return kept.repeat(copies, *[1] * (kept.dim() - 1)) if by_example else kept

        return memo

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

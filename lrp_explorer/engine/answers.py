"""What a walk found, in the form in which it is handed out."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lrp_explorer.composites import Composite
from lrp_explorer.engine.ledger import ledger
from lrp_explorer.engine.record import Record
from lrp_explorer.errors import InputError
from lrp_explorer.graph import Graph
from lrp_explorer.results import LedgerRow, PathRelevance, Relevance, Table
from lrp_explorer.rules import Rule
from lrp_explorer.semirings import Bottleneck, Semiring


def answer(
    record: Record,
    logits: Tensor,
    composite: Composite,
    rules: Mapping[str, Rule],
    target: Tensor,
    start: Tensor,
    seed: str | Tensor,
    maps: dict[str, Tensor],
) -> Relevance:
    """Hand out relevance, whose ledger is made when it is asked for."""
    return Relevance(
        maps=maps,
        logits=logits.clone(),
        target=target,
        start=start,
        composite=repr(composite),
        semiring="real",
        seed=seed if isinstance(seed, str) else "tensor",
        _resolve=record.graph.resolve,
        _ledger=lambda: ledger(record, rules, maps),
    )


def path_answer(
    graph: Graph,
    logits: Tensor,
    semiring: Semiring,
    composite: Composite,
    target: Tensor,
    start: Tensor,
    elements: Mapping[str, Tensor],
) -> PathRelevance:
    """Hand out elements of a semiring as the numbers that they stand for."""
    return PathRelevance(
        maps={name: semiring.decode(element) for name, element in elements.items()},
        logits=logits.clone(),
        target=target,
        start=start,
        composite=repr(composite),
        semiring=repr(semiring),
        seed="one",
        _resolve=graph.resolve,
        _ledger=_no_ledger,
        every_threshold=isinstance(semiring, Bottleneck),
    )


def _no_ledger() -> Table[LedgerRow]:
    raise InputError("relevance in a semiring is not conserved, so there is no ledger; semiring='real' has one")

"""What a walk found, in the form in which it is handed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from lrp_explorer.composites import Composite
from lrp_explorer.engine.devices import own_arithmetic
from lrp_explorer.engine.ledger import absorbed, ledger
from lrp_explorer.engine.record import Record
from lrp_explorer.errors import InputError
from lrp_explorer.graph import Graph
from lrp_explorer.path_relevance import PathRelevance
from lrp_explorer.results import LedgerRow, Relevance, Table
from lrp_explorer.rules import Rule
from lrp_explorer.semirings import Bottleneck, Semiring


def answer(
    record: Record,
    check_unchanged: Callable[[], None],
    composite: Composite,
    rules: Mapping[str, Rule],
    target: Tensor,
    start: Tensor,
    seed: str,
    maps: dict[str, Tensor],
) -> Relevance:
    """Build relevance, whose ledger is computed when it is asked for, if it can still be that of this relevance."""
    versions = {name: value._version for name, value in maps.items()}

    def booked() -> Table[LedgerRow]:
        check_unchanged()
        written = next((name for name, value in maps.items() if value._version != versions[name]), None)
        if written is not None:
            raise InputError(
                f"relevance of layer {written!r} was written to since it was computed, and the ledger is made from it; "
                "ask for the ledger first, or write to a copy (.clone())"
            )
        with own_arithmetic():
            return ledger(record, rules, maps)

    return Relevance(
        maps=maps,
        logits=record.values[record.graph.output].clone(),
        target=target.clone(),
        start=start.clone(),
        composite=repr(composite),
        semiring="real",
        seed=seed,
        _resolve=record.graph.resolve,
        _ledger=booked,
        _notes=absorbed,
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
        logits=logits,
        target=target.clone(),
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

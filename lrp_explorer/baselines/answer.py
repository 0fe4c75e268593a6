"""The form in which every baseline answers: LRP's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from lrp_explorer.baselines.case import Case
from lrp_explorer.baselines.method import Method
from lrp_explorer.engine.checks import start_relevance
from lrp_explorer.errors import InputError, NumericsError, unknown_name
from lrp_explorer.results import LedgerRow, Relevance, Table


def answer(
    method: Method, case: Case, maps: Mapping[str, Tensor], seed: str = "one", start: Tensor | None = None
) -> Relevance:
    """Put a method's maps into the form that LRP has.

    Parameters
    ----------
    method : Method
        What made the maps.
    case : Case
        What was explained.
    maps : mapping
        Layer → relevance, input side first, ``"input"`` included.
    seed : str
        What the relevance of the input is a share of: ``"logit"``, ``"difference"``, or ``"one"`` for nothing.
    start : (batch,) Tensor, optional
        That quantity for each example, where the seed's name does not say it.

    Raises
    ------
    NumericsError
        When a map is not finite.
    """
    maps = {name: value.detach() for name, value in maps.items()}
    for name, value in maps.items():
        bad = int((~torch.isfinite(value)).sum())
        if bad:
            raise NumericsError(
                f"{method!r}: {bad} of {value.numel()} values of the map of {name!r} are NaN or infinite, because a "
                "gradient is; use float64, or another method"
            )
    if start is None:
        put_in = start_relevance(seed, case.logits, case.target)
    else:
        put_in = torch.zeros_like(case.logits).scatter_(1, case.target[:, None], start[:, None])
    return Relevance(
        maps=maps,
        logits=case.logits.clone(),
        target=case.target,
        start=put_in,
        composite=repr(method),
        semiring="real",
        seed=seed,
        _resolve=partial(_find, method, case.graph.aliases, tuple(maps)),
        _ledger=partial(_no_ledger, method),
    )


def _find(method: Method, aliases: Mapping[str, str], there: tuple[str, ...], layer: str) -> str:
    if layer in there:
        return layer
    if aliases.get(layer) in there:
        return aliases[layer]
    raise unknown_name(
        "layer", layer, there, f"{method!r} gives relevance there only; lrp.explain gives it for every layer."
    )


def _no_ledger(method: Method) -> Table[LedgerRow]:
    raise InputError(
        f"{method!r} has no ledger: it hands no relevance from layer to layer, so there is nothing to book; "
        "only LRP does, see lrp.explain(model, x).ledger"
    )

"""Where relevance went, layer by layer: recomputed with every loss booked, when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lrp_explorer.engine.account import Account
from lrp_explorer.engine.cache import forgetful
from lrp_explorer.engine.propagate import step
from lrp_explorer.engine.record import Record
from lrp_explorer.results import LedgerRow, Table
from lrp_explorer.rules import Rule

# Growth of Σ|R| over what was put in at which a layer is marked.
TENFOLD = 10.0


def ledger(record: Record, rules: Mapping[str, Rule], maps: Mapping[str, Tensor]) -> Table[LedgerRow]:
    """Book every layer's relevance, output side first.

    Parameters
    ----------
    record : Record
        The recorded forward pass.
    rules : mapping
        Layer → rule.
    maps : mapping
        Layer → relevance of its output.
    """
    rows: list[LedgerRow] = []
    graph = record.graph
    limit = TENFOLD * _magnitude(maps[graph.output])
    with torch.no_grad():
        for node in reversed(graph.nodes):
            if node.inputs:
                account = Account()
                parts = step(node, rules[node.name], record, maps[node.name], forgetful, account=account)
                magnitude = sum(_magnitude(part) for part in parts)
                grown = magnitude >= limit > 0.0 and not any(row.note for row in rows)
                rows.append(
                    LedgerRow(
                        layer=node.name,
                        rule=repr(rules[node.name]),
                        relevance_in=_total(maps[node.name]),
                        relevance_out=sum(_total(part) for part in parts),
                        to_bias=_total(account.to_bias),
                        to_epsilon=_total(account.to_epsilon),
                        other=_total(account.other),
                        kind=node.kind,
                        magnitude=magnitude,
                        note=f"Σ|R| is {magnitude * TENFOLD / limit:.3g} times what was put in" if grown else "",
                    )
                )
    return Table(rows)


def _total(value: Tensor | float) -> float:
    return float(value.sum(dtype=torch.float64)) if isinstance(value, Tensor) else float(value)


def _magnitude(value: Tensor) -> float:
    return float(value.abs().sum(dtype=torch.float64))

"""Where relevance went, layer by layer: recomputed with every loss booked, when somebody asks."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lrp_explorer.engine.account import Account
from lrp_explorer.engine.cache import forgetful
from lrp_explorer.engine.propagate import step
from lrp_explorer.engine.record import Record
from lrp_explorer.errors import NumericsError
from lrp_explorer.results import LedgerRow, Relevance, Table
from lrp_explorer.rules import Rule

# Growth of Σ|R| over what was put in at which a layer is marked.
TENFOLD = 10.0
# Share of Σ|R| of what was put in below which hardly anything arrives.
LITTLE = 0.01


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

    Raises
    ------
    NumericsError
        When a number of a layer's row leaves the range of what the layer computes in.
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
                row = LedgerRow(
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
                rows.append(_finite(row, maps[node.name].dtype))
    return Table(rows)


def _finite(row: LedgerRow, dtype: torch.dtype) -> LedgerRow:
    numbers = (row.relevance_in, row.relevance_out, row.to_bias, row.to_epsilon, row.other, row.magnitude)
    if all(map(math.isfinite, numbers)):
        return row
    raise NumericsError(
        f"layer {row.layer!r}: what {row.rule} gives to its inputs and to its bias leaves the range of {dtype}, so the "
        "ledger cannot be drawn up; take seed='one', or float64 (model.double(), x.double())"
    )


def absorbed(relevance: Relevance) -> tuple[str, ...]:
    """Note where next to nothing of the relevance that was put in arrives at the input, and which layer took most.

    Two sums as long as enough arrives; the ledger only where it does not.
    """
    ends = (relevance.start, relevance.input)
    put_in, arrived = (value.flatten(1).abs().sum(1, dtype=torch.float64) for value in ends)
    lost = (put_in > 0) & (arrived < LITTLE * put_in)
    count = int(lost.sum())
    if not count:
        return ()
    share = float(arrived[lost].sum() / put_in[lost].sum())
    where = "" if count == len(lost) else f" of {count} of {len(lost)} examples"
    reached = {name: _magnitude(value) for name, value in relevance.maps.items()}
    enough = LITTLE * float(put_in.sum())
    rows = [row for row in relevance.ledger if reached[row.layer] >= max(enough, row.magnitude)]
    if not rows:
        return (f"{share:.2g} of the relevance put in{where} arrives at the input",)
    row = min(rows, key=lambda row: row.magnitude / reached[row.layer])
    parts = {"its bias or other constants": row.to_bias, "ε": row.to_epsilon, "outputs of 0": row.other}
    most = max(parts, key=lambda name: abs(parts[name]))
    return (
        f"{share:.2g} of the relevance put in{where} arrives at the input: layer {row.layer!r} ({row.rule}) absorbed "
        f"most. Of Σ|R| = {reached[row.layer]:.4g} it handed down {row.magnitude:.4g}; {most} took {parts[most]:.4g}. "
        "A smaller epsilon there, bias='ignore', or another rule (composite.override) lets more through",
    )


def _total(value: Tensor | float) -> float:
    return float(value.sum(dtype=torch.float64)) if isinstance(value, Tensor) else float(value)


def _magnitude(value: Tensor) -> float:
    return float(value.abs().sum(dtype=torch.float64))

"""Relevance that has left the range of its numbers is reported, with the layer where it did."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lrp_explorer.engine.checks import all_finite
from lrp_explorer.errors import NumericsError
from lrp_explorer.graph import INPUT, Graph
from lrp_explorer.rules import Rule


def check_relevance(graph: Graph, rules: Mapping[str, Rule], maps: Mapping[str, Tensor]) -> None:
    """Refuse relevance that is infinite or NaN.

    What is not finite somewhere is not finite at the input: sums and products of it are neither. So one look at the
    input is enough (one sum, and on a GPU one wait) as long as all is well.

    Parameters
    ----------
    graph : Graph
        The model.
    rules : mapping
        Layer → rule.
    maps : mapping
        Layer → relevance of its output.

    Raises
    ------
    NumericsError
        Names the first layer, from the output, whose relevance is not finite, and the rule that it came through.
    """
    if all_finite(maps[INPUT]):
        return
    for name in reversed(graph.layers):
        value = maps[name]
        if all_finite(value):
            continue
        users = [user.name for user in graph.consumers[name]]
        through = ", ".join(f"{rules[user]!r} at layer {user!r}" for user in users)
        largest = torch.finfo(value.dtype).max
        raise NumericsError(
            f"layer {name!r} is the first, on the way from the output, whose relevance is not finite: "
            f"{int((~torch.isfinite(value)).sum())} of {value.numel()} values are NaN or infinite, beyond "
            f"{largest:.3g} in {value.dtype}. It came through {through or 'no layer'}. Put less in at the output "
            "(seed='one'), take a larger epsilon there (composite.override), or float64 (model.double(), x.double())"
        )

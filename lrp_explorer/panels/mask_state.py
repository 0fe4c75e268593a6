"""What the user has chosen in the Masks panel, without a widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import traitlets

from lrp_explorer import composites, semirings
from lrp_explorer.analyses.masking import ACTIONS
from lrp_explorer.panels import parameters
from lrp_explorer.panels.state import ExplainState

LIMITS = ((5, "5"), (20, "20"), (100, "100"), (1000, "1000"), (None, "all"))
REDUCTIONS = ("or", "and", "vote", "count", "mean", "std", "min", "max", "quantile")
WITH_SHARE = ("vote", "quantile")
THRESHOLDED = ("boolean", "counting")
"""Semirings whose edges are compared with a threshold, before anything is propagated."""

AS_EXPLAINED = ""
"""In the place of a composite: the one of the Explain panel, with its numbers."""

FILLS = ("mean", "zero")


@dataclass(frozen=True)
class MaskRequest:
    """One moment of the state: which masks are to be computed.

    Attributes
    ----------
    model, data : str
        Names in the catalogue.
    classes : tuple of int or str
        Indices or names; none at all stands for every class, and all together.
    limit : int or None
        Examples of each class; None: all.
    layer : str
        Where relevance is folded.
    reductions : tuple of str
        As `lrp_explorer.aggregate` reads them.
    composite, rule : str
        See `lrp_explorer.panels.parameters`.
    numbers : tuple of (str, float)
        Parameters of the composite.
    semiring : str
        Name of the semiring.
    edge : float or None
        Threshold of edges, where the semiring has one.
    """

    model: str
    data: str
    classes: tuple[int | str, ...]
    limit: int | None
    layer: str
    reductions: tuple[str, ...]
    composite: str
    rule: str
    numbers: tuple[tuple[str, float], ...]
    semiring: str
    edge: float | None


class MaskState(traitlets.HasTraits):
    """State of the Masks panel; model, data set and example are those of the Explain panel."""

    classes = traitlets.Tuple(default_value=())
    limit = traitlets.Int(20, min=1, allow_none=True)
    layer = traitlets.Unicode("input")
    reductions = traitlets.Tuple(default_value=("or", "and", "mean"))
    q = traitlets.Float(0.5, min=0.01, max=1.0)
    composite = traitlets.Unicode("epsilon-plus")
    rule = traitlets.Unicode("ZPlus")
    semiring = traitlets.Unicode("bottleneck")
    edge = traitlets.Float(0.01, min=1e-12)
    theta = traitlets.Float(None, allow_none=True)
    channels = traitlets.Bool(False)
    page = traitlets.Int(0, min=0)
    selected = traitlets.Tuple(default_value=("", ""))
    action = traitlets.Enum(ACTIONS, "keep")
    fill = traitlets.Enum(FILLS, "mean")
    share = traitlets.Float(0.2, min=0.0, max=1.0)

    COMPUTED = ("classes", "limit", "layer", "reductions", "q", "composite", "rule", "semiring", "edge")
    """Traits that the masks depend on."""
    APPLIED = ("theta", "selected", "page", "channels", "action", "fill", "share")
    """Traits that the masked example depends on."""

    def request(self, explained: ExplainState) -> MaskRequest:
        """Freeze the present moment, with the model and the data set of the Explain panel."""
        composite, rule = self.composite, self.rule
        if composite == AS_EXPLAINED:
            composite, rule = explained.composite, explained.rule
        numbers = parameters.defaults(composite, rule)
        if self.composite == AS_EXPLAINED:
            numbers |= {name: value for name, value in explained.numbers.items() if name in numbers}
        return MaskRequest(
            model=explained.model,
            data=explained.data,
            classes=tuple(self.classes),
            limit=self.limit,
            layer=self.layer,
            reductions=tuple(f"{one}({self.q:g})" if one in WITH_SHARE else one for one in self.reductions),
            composite=composite,
            rule=rule,
            numbers=tuple(numbers.items()),
            semiring=self.semiring,
            edge=self.edge if self.semiring in THRESHOLDED else None,
        )

    @traitlets.validate("composite")
    def _known_composite(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] != AS_EXPLAINED:
            composites.get(proposal["value"])
        return proposal["value"]

    @traitlets.validate("rule")
    def _known_rule(self, proposal: dict[str, Any]) -> str:
        parameters.rule_type(proposal["value"])
        return proposal["value"]

    @traitlets.validate("semiring")
    def _known_semiring(self, proposal: dict[str, Any]) -> str:
        semirings.get(proposal["value"])
        return proposal["value"]

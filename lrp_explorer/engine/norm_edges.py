"""A norm over features as the dense layer that it is once its deviation is held constant: edges for semirings."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lrp_explorer.engine.layer_norm import Norm, read
from lrp_explorer.engine.linear import LinearStep
from lrp_explorer.engine.maps import LinearMap
from lrp_explorer.engine.record import Record
from lrp_explorer.errors import CoverageError
from lrp_explorer.graph import Node
from lrp_explorer.rules import LinearRule
from lrp_explorer.semirings.edges import Geometry

# Every value that shares a mean has an edge to every other: beyond this many, pairs fill the memory.
MOST = 4096


@dataclass
class NormStep(LinearStep):
    """A dense layer over the values that share a mean: z_k = scale_k Σ_j (δ_jk − 1/n) x_j + b_k.

    Attributes
    ----------
    norm : Norm
        What was recorded of it; its scale w / std multiplies each example's edges.
    """

    norm: Norm = field(kw_only=True)

    def factors(self, rule: LinearRule) -> tuple[Tensor, Tensor]:
        """Multiply what the rule says of every output by the example's own scale."""
        positive, _ = super().factors(rule)
        positive = positive * self.norm.in_rows(self.norm.scale.expand(self.norm.x.shape))
        return positive, positive


def norm_layer(node: Node, record: Record) -> NormStep:
    """Lay a recorded norm out as a dense layer, values that share a mean last.

    Raises
    ------
    CoverageError
        Where so many values share a mean that their pairs cannot be looked at one by one.
    """
    norm = read(node, record)
    x, y = norm.in_rows(norm.x), norm.in_rows(record.value(node.name))
    n = x.shape[-1]
    if n > MOST:
        raise CoverageError(
            f"layer {node.name!r}: {n} values share one mean, and semirings look at every pair of them; at most {MOST} "
            f"are expected. Pass the norm over by composite.override({{{node.name!r}: lrp.rules.NormIdentity()}}), or "
            "take semiring='real'"
        )
    weight = torch.eye(n, dtype=x.dtype, device=x.device) - 1.0 / n
    bias = None if norm.bias is None else norm.in_rows(norm.bias.expand(record.value(node.name).shape))

    def apply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        raise TypeError("a norm's output is recorded, and computed nowhere else")

    layer = LinearMap(weight, bias, apply, apply, dense=True, geometry=Geometry())
    return NormStep(layer, x, lambda: y, norm=norm)

"""A norm over features as the dense layer that it is once its deviation is held constant: edges for semirings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lrp_explorer.engine.layer_norm import read
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
    scale : Tensor or None
        w / std ``(batch, ..., n)``, by which each example's edges are multiplied.
    """

    scale: Tensor | None = None

    def factors(self, rule: LinearRule) -> tuple[Tensor, Tensor]:
        """Multiply what the rule says of every output by the example's own scale."""
        positive, _ = super().factors(rule)
        positive = positive * self.scale
        return positive, positive


def norm_layer(node: Node, record: Record) -> NormStep:
    """Lay a recorded norm out as a dense layer, values that share a mean last.

    Raises
    ------
    CoverageError
        Where so many values share a mean that their pairs cannot be looked at one by one.
    """
    norm, y = read(node, record), record.value(node.name)
    last = norm.x.dim() - len(norm.axes)
    x = norm.x.flatten(last)
    n = x.shape[-1]
    if n > MOST:
        raise CoverageError(
            f"layer {node.name!r}: {n} values share one mean, and semirings look at every pair of them; at most {MOST} "
            f"are expected. Pass the norm over by composite.override({{{node.name!r}: lrp.rules.NormIdentity()}}), or "
            "take semiring='real'"
        )
    weight = torch.eye(n, dtype=x.dtype, device=x.device) - 1.0 / n
    scale = norm.scale.expand(norm.x.shape).reshape(x.shape)
    bias = None if norm.bias is None else norm.bias.expand(y.shape).reshape(x.shape)

    def apply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        raise TypeError("a norm's output is recorded, and computed nowhere else")

    layer = LinearMap(weight, bias, apply, apply, dense=True, geometry=Geometry())
    return NormStep(layer, x, lambda: y.reshape(x.shape), scale=scale)

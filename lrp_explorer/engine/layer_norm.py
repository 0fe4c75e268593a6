"""One step down through norms that take their statistics from the example: layer, group, instance and RMS norm.

y = (x − mean) / std ⊙ w + b, with std held constant (AttnLRP, arXiv:2402.05602, sec. 3.3), is a linear map of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.account import Account, divide, per_example, scaled_epsilon
from lrp_explorer.engine.record import Record
from lrp_explorer.graph import Node
from lrp_explorer.graph.layer_norm import is_centred
from lrp_explorer.rules import Epsilon, Zero


@dataclass(frozen=True)
class Norm:
    """A norm of one recorded example, standard deviation held constant.

    Attributes
    ----------
    x : Tensor
        Its input, split into groups where these are no axes of their own.
    axes : tuple of int
        Axes of `x` over which mean and deviation are taken.
    scale : Tensor
        w / std, to broadcast against `x`.
    bias : Tensor or None
        b, to broadcast against the output.
    """

    x: Tensor
    axes: tuple[int, ...]
    scale: Tensor
    bias: Tensor | None

    def transpose(self, s: Tensor) -> Tensor:
        """Apply Jᵀ to `s`, of the shape of the output; the result has the shape of `x`."""
        t = s.reshape(self.x.shape) * self.scale
        return t.sub_(t.mean(self.axes, keepdim=True))

    def in_rows(self, value: Tensor, element: tuple[int, ...] = ()) -> Tensor:
        """Lay a value of the output's shape out with all that shares a mean on the last axis, before an `element`'s."""
        split, order = value.reshape(*self.x.shape, *element), self._order
        moved = split.permute(*order, *range(len(order), split.dim()))
        return moved.flatten(len(order) - len(self.axes), len(order) - 1)

    def from_rows(self, value: Tensor, element: tuple[int, ...] = ()) -> Tensor:
        """Undo `in_rows`, up to the shape of `x`."""
        order = self._order
        split = value.reshape(*(self.x.shape[axis] for axis in order), *element)
        return split.permute(*map(order.index, range(len(order))), *range(len(order), split.dim()))

    @property
    def _order(self) -> list[int]:
        return [axis for axis in range(self.x.dim()) if axis not in self.axes] + list(self.axes)


def norm_step(
    node: Node, rule: Zero | Epsilon, record: Record, relevance: Tensor, account: Account | None
) -> list[Tensor]:
    """Share relevance by contribution: R_j = x_j · [Jᵀ s]_j with s = R / S(y).

    Without centring (RMS norm) every output has one input, and relevance stays where it is.
    """
    if not is_centred(node):
        return [relevance]
    norm, z = read(node, record), record.value(node.name)
    absorbed = norm.bias if rule.bias == "absorb" else None
    if norm.bias is not None and absorbed is None:
        z = z - norm.bias
    epsilon = float(rule.stabilizer) if rule.relative is None else scaled_epsilon(rule, z)
    s = divide(relevance, z, epsilon)
    if account is not None:
        account.book(relevance, s, z, epsilon)
        if absorbed is not None:
            account.to_bias = per_example(s * absorbed)
    return [norm.transpose(s).mul_(norm.x).reshape(relevance.shape)]


def read(node: Node, record: Record) -> Norm:
    """Read the axes, weights and statistics of a norm from the arguments of its operation."""
    x = record.value(node.inputs[0])
    args, kwargs = record.arguments(node)
    given = dict(zip(_ARGUMENTS[node.op], args, strict=False)) | kwargs
    weight, bias, eps = given.get("weight"), given.get("bias"), given.get("eps", 1e-5)
    if node.op == "standardise":
        return _with_statistics(x, x, given["axes"], weight, bias, eps)
    if "layer_norm" in node.op:
        axes: Sequence[int] = range(x.dim() - len(given["shape"]), x.dim())
        return _with_statistics(x, x, tuple(axes), weight, bias, eps)
    # Weights are those of channels, the second axis.
    column = (-1, *[1] * (x.dim() - 2))
    weight, bias = (part if part is None else part.reshape(column) for part in (weight, bias))
    groups = given.get("groups", x.shape[1])
    grouped = x.reshape(x.shape[0], groups, -1)
    return _with_statistics(x, grouped, (2,), weight, bias, eps)


# Names of the arguments that count, in order.
_ARGUMENTS = {
    **dict.fromkeys(("layer_norm", "native_layer_norm"), ("input", "shape", "weight", "bias", "eps")),
    "group_norm": ("input", "groups", "weight", "bias", "eps"),
    "native_group_norm": ("input", "weight", "bias", "batch", "channels", "places", "groups", "eps"),
    "standardise": ("input", "axes", "weight", "bias", "eps"),
    "instance_norm": ("input", "weight", "bias", "mean", "var", "by_input", "momentum", "eps"),
}


def _with_statistics(
    x: Tensor, grouped: Tensor, axes: tuple[int, ...], weight: Any, bias: Tensor | None, eps: float
) -> Norm:
    scale = torch.rsqrt(grouped.var(axes, correction=0, keepdim=True) + eps)
    if weight is not None:
        scale = scale * (weight if grouped is x else weight.expand(x.shape[1:]).reshape(grouped.shape[1:]))
    return Norm(grouped, axes, scale, bias)

"""A whole network explained with the oracles: the forward leaves a way back, layer by layer, in NumPy float64.

Networks are trees of `nn.Sequential`, `Branches`, `Sum` and `Gated`; their leaves are the layers named below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from oracles.dense import Array, relevance, sum_of, to_dense
from torch import nn

Back = Callable[[Array], Array]
RuleOf = Callable[[str, nn.Module], Any]
Found = dict[str, Array]


class Branches(nn.Module):
    """Every branch sees the same input; their channels are concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Sum(nn.Module):
    """A residual connection: the input and what its branch makes of it are added."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class Folded(nn.Sequential):
    """A convolution with its batch norm: one linear layer."""


ELEMENTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Hardswish, nn.Softplus, nn.Softshrink),
    *(nn.Tanh, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.Dropout, nn.Identity),
)


def explain(net: nn.Module, x: torch.Tensor, seed: Callable[[Array], Array], rule_of: RuleOf) -> tuple[Found, Array]:
    """Relevance of the output of every leaf by its name, that of the input as "input"; and the logits."""
    found: Found = {}
    logits, back = _forward("", net, x.numpy(), rule_of, found)
    found["input"] = back(seed(logits))
    return found, logits


def _forward(name: str, module: nn.Module, a: Array, rule_of: RuleOf, found: Found) -> tuple[Array, Back]:
    dot = f"{name}." if name else ""
    if isinstance(module, nn.Sequential) and not isinstance(module, Folded):
        backs = []
        for key, child in module.named_children():
            a, back = _forward(dot + key, child, a, rule_of, found)
            backs.append(back)
        return a, lambda upper: _chain(backs, upper)
    if isinstance(module, Branches):
        parts = [_forward(f"{dot}branches.{i}", b, a, rule_of, found) for i, b in enumerate(module.branches)]
        cuts = np.cumsum([out.shape[1] for out, _ in parts])[:-1].tolist()
        return np.concatenate([out for out, _ in parts], 1), lambda upper: sum(
            back(piece) for (_, back), piece in zip(parts, np.split(upper, cuts, 1), strict=True)
        )
    if isinstance(module, Sum):
        out, back = _forward(f"{dot}branch", module.branch, a, rule_of, found)
        return a + out, lambda upper: _split(rule_of(name, module), a, out, upper, back)
    if isinstance(module, Folded):
        name = f"{dot}0"
    out = _call(module, a)
    return out, _leaf(name, module, a, rule_of(name, module), found)


def _call(module: nn.Module, a: Array) -> Array:
    with torch.no_grad():
        return module(torch.from_numpy(a)).numpy()


def _chain(backs: list[Back], upper: Array) -> Array:
    for back in reversed(backs):
        upper = back(upper)
    return upper


def _split(rule: Any, a: Array, out: Array, upper: Array, back: Back) -> Array:
    both = np.concatenate([a.reshape(len(a), -1), out.reshape(len(out), -1)], 1)
    kept, branch = np.split(relevance(rule, sum_of(both.shape[1] // 2), both, upper), 2, 1)
    return kept.reshape(a.shape) + back(branch.reshape(a.shape))


def _leaf(name: str, module: nn.Module, a: Array, rule: Any, found: Found) -> Back:
    def back(upper: Array) -> Array:
        found[name] = upper
        if isinstance(module, (nn.Flatten, *ELEMENTWISE)):
            return upper.reshape(a.shape)
        return relevance(rule, to_dense(module, a.shape[1:]), a, upper)

    return back

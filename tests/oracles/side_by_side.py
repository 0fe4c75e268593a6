"""One network in which several functions read the same value, and LRP-0 for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Composite, Uniform

TINY = 1e-15


class Net(nn.Module):
    """What several functions make of one value, side by side."""

    def __init__(self, functions: Iterable[Callable[[nn.Module, Tensor], Tensor]]) -> None:
        super().__init__()
        self.conv, self.functions = nn.Conv2d(2, 6, 3, padding=1), list(functions)
        self.register_buffer("index", torch.tensor([3, 0, 5]))
        self.register_buffer("c", torch.tensor([0.4, -0.7, 0.9]).view(3, 1, 1))
        self.head = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).relu()
        return self.head(torch.cat([function(self, y).flatten(1) for function in self.functions], 1))


def ready(*functions: Callable[[nn.Module, Tensor], Tensor]) -> tuple[nn.Module, Tensor]:
    """Build the network in double precision, and an input ``(2, 2, 5, 5)``."""
    torch.manual_seed(0)
    model, x = Net(functions).double().eval(), torch.randn(2, 2, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        model(x)
    return model, x


def zero_of(session: lrp.Session) -> Composite:
    """LRP-0 everywhere, with an ε that float64 does not see where a rule needs one."""
    composite = Uniform(rules.Zero(TINY))
    shared = [row.layer for row in session.coverage(composite) if "EqualSplit" in row.rule]
    return composite.override(dict.fromkeys(shared, rules.EqualSplit(TINY)))

"""Random layers for the kernels' tests: edges with zeros, ties and both signs, and relevance for each semiring."""

from dataclasses import dataclass

import torch

from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Tropical, Viterbi
from lrp_explorer.semirings.edges import Edges, Geometry

SEMIRINGS = (Boolean(theta=0.05), Counting(theta=0.05), Viterbi(), Bottleneck(), Tropical())


@dataclass(frozen=True)
class Layer:
    """A layer by its numbers; one of `size` for each spatial axis."""

    size: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    inputs: int = 4
    outputs: int = 6
    batch: int = 2

    def edges(self, seed=0, dtype=torch.float64, absolute=False, device="cpu"):
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(self.batch, self.inputs, *self.size, generator=generator, dtype=torch.float64)
        weight = torch.randn(
            self.outputs, self.inputs // self.groups, *self.kernel, generator=generator, dtype=torch.float64
        )
        # Coarse numbers tie with each other, and with thresholds.
        x = torch.where(x < 0.6, (x * 8).round().sub(2).clamp(min=0) / 8, x)
        weight = torch.where(weight.abs() < 0.2, 0.0, weight)
        factors = torch.randn(2, *self.out, generator=generator, dtype=torch.float64)
        x, weight, positive, negative = (t.to(dtype).to(device) for t in (x, weight, *factors))
        geometry = Geometry(self.stride, self.padding, self.dilation, self.groups)
        return Edges(x, weight, positive, negative, geometry, absolute)

    @property
    def out(self):
        sizes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return self.batch, self.outputs, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)


def relevance_for(semiring, edges, seed=1):
    """Relevance of the outputs in the semiring's own carrier, 𝟘 and 𝟙 among it."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(edges.positive.shape, generator=generator, dtype=torch.float64)
    if isinstance(semiring, Boolean):
        values = uniform < 0.6
    elif isinstance(semiring, Counting):
        values = (uniform * 2**20).floor()
    else:
        values = uniform
    like = torch.empty(0, dtype=semiring.dtype(edges.x.dtype))
    values = torch.where(uniform < 0.1, semiring.full(values.shape, like), values.to(like.dtype))
    values = torch.where(uniform > 0.9, semiring.full(values.shape, like, semiring.one), values)
    return values.to(edges.x.device)

"""Layout of convolutions for the compiled loops: flattened planes with zeros around them, one for each stride phase.

Along an axis, input p and output o are joined by kernel tap t where p = stride · o + dilation · t − padding. Inputs are
split by the remainder of p / stride; then each tap joins one phase with the outputs at a constant offset.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lrp_explorer.semirings.edges import Edges
from lrp_explorer.semirings.kernels.cpu_bundles import Plan
from lrp_explorer.semirings.kernels.cpu_loops import VECTOR

# Neurons in a tile, and bytes of the sources' planes that a block of it may take: they stay in the L1 and L2 caches.
TILE = 1024
BLOCK_BYTES = 1 << 18
# Result channels that share a tile's sources.
RESULTS = 32
# Longest row that is one tile.
ROW = 2 * TILE


@dataclass(frozen=True)
class Axis:
    """How results find their sources along one axis.

    Attributes
    ----------
    links : tuple
        For each kernel tap: phase of the result, phase of the source, and how far the source is ahead.
    step : int
        Between results of one phase.
    source_step : int
        Between sources of one phase.
    low, size : int
        The planes hold sources ``low`` … ``low + size - 1`` of each phase; those outside the layer are zero.
    """

    links: tuple[tuple[int, int, int], ...]
    step: int
    source_step: int
    low: int
    size: int


def backward_axis(inputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """Results are inputs, sources are outputs."""
    links = []
    for tap in range(kernel):
        phase = (tap * dilation - padding) % stride
        links.append((phase, 0, (phase + padding - tap * dilation) // stride))
    last = [(inputs - 1 - phase) // stride + ahead for phase, _, ahead in links]
    low = min(ahead for _, _, ahead in links)
    return Axis(tuple(links), stride, 1, low, max(max(last) - low + 1, 1))


def forward_axis(outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """Results are outputs, sources are inputs."""
    at = [tap * dilation - padding for tap in range(kernel)]
    links = tuple((0, position % stride, position // stride) for position in at)
    low = min(ahead for _, _, ahead in links)
    return Axis(links, 1, stride, low, outputs - 1 + max(ahead for _, _, ahead in links) - low + 1)


@dataclass(frozen=True)
class Layout:
    """Planes of one direction through a convolution: two axes, those of lower rank lead with one of size 1."""

    axes: tuple[Axis, Axis]
    backward: bool

    @property
    def plane(self) -> int:
        """Elements of one plane."""
        return self.axes[0].size * self.axes[1].size

    @property
    def phases(self) -> int:
        """Planes of one source channel."""
        return self.axes[0].source_step * self.axes[1].source_step

    def blank(self, shape: Sequence[int], dtype: torch.dtype, value: float) -> tuple[Tensor, Tensor]:
        """Empty planes ``(*shape, phases, rows, columns)``, and the flat memory they lie in, an example a row."""
        length = math.prod(shape[1:]) * self.phases * self.plane
        flat = torch.full((shape[0], length + VECTOR), value, dtype=dtype)
        return flat[:, :length].view(*shape, self.phases, *(axis.size for axis in self.axes)), flat

    def fill(self, planes: Tensor, write: Callable[..., object], *values: Tensor) -> None:
        """Call ``write(part of the planes, parts of the values)`` for sources ``(..., height, width)``, by phase."""
        steps = [axis.source_step for axis in self.axes]
        for index, phase in enumerate(itertools.product(*map(range, steps))):
            parts = [value[..., phase[0] :: steps[0], phase[1] :: steps[1]] for value in values]
            there, here = [], []
            for axis, size in zip(self.axes, parts[0].shape[-2:], strict=True):
                start = max(axis.low, 0)
                stop = max(min(axis.low + axis.size, size), start)
                here.append(slice(start, stop))
                there.append(slice(start - axis.low, stop - axis.low))
            write(planes[..., index, there[0], there[1]], *(part[..., here[0], here[1]] for part in parts))

    def taps(self) -> tuple[np.ndarray, np.ndarray]:
        """Phases of the results and their taps, as `Plan` has them."""
        down, right = self.axes
        phases, taps = [], []
        for top, left in itertools.product(range(down.step), range(right.step)):
            first = len(taps)
            for i, (to_row, from_row, up) in enumerate(down.links):
                for j, (to_column, from_column, ahead) in enumerate(right.links):
                    if (to_row, to_column) == (top, left):
                        plane = from_row * right.source_step + from_column
                        offset = plane * self.plane + (up - down.low) * right.size + ahead - right.low
                        taps.append((i * len(right.links) + j, offset))
            reach = max((offset for _, offset in taps[first:]), default=0)
            phases.append((top, left, first, len(taps), reach))
        return np.array(phases, np.int64), np.array(taps, np.int64).reshape(-1, 2)


def layout(edges: Edges, results: Sequence[int], *, backward: bool) -> Layout:
    """Layout for results of a spatial size ``(height, width)``: inputs if `backward`, else outputs."""
    geometry, lead = edges.geometry, 2 - edges.geometry.rank
    kernel = (1,) * lead + tuple(edges.weight.shape[2:])
    stride, dilation = (1,) * lead + geometry.stride, (1,) * lead + geometry.dilation
    padding = (0,) * lead + geometry.padding
    axis = backward_axis if backward else forward_axis
    down, right = (axis(*numbers) for numbers in zip(results, kernel, stride, padding, dilation, strict=True))
    return Layout((down, right), backward)


def plan(edges: Edges, planes: Layout, results: Sequence[int], negative: int, size: int, threads: int) -> Plan:
    """Plan work for results ``(batch, channels, height, width)``.

    `negative` is how far the planes for negative weights are from those for positive ones (-1: there are none);
    `size` is the bytes of all planes at one neuron of one source channel.
    """
    groups, kernel = edges.geometry.groups, math.prod(edges.weight.shape[2:])
    outputs, inputs = edges.weight.shape[0] // groups, edges.weight.shape[1]
    channels = (inputs, outputs) if planes.backward else (outputs, inputs)
    ahead = (kernel, inputs * kernel) if planes.backward else (inputs * kernel, kernel)
    down, right = planes.axes
    phases, taps = planes.taps()
    height, width = -(-results[2] // down.step), -(-results[3] // right.step)
    rows, columns = (1, min(ROW, width)) if right.size > ROW else (max(1, min(height, TILE // right.size)), width)
    tasks = results[0] * len(phases) * -(-height // rows) * -(-width // columns) * groups
    many = min(RESULTS, channels[0])
    while many > 4 and tasks * -(-channels[0] // many) < 8 * threads:
        many //= 2
    sources = BLOCK_BYTES // (size * planes.phases * ((rows - 1) * right.size + columns))
    return Plan(
        phases=phases,
        kernel=taps[:, 0].astype(np.uint64),
        offsets=taps[:, 1].copy(),
        strides=(down.step, right.step),
        pitch=right.size,
        channel=planes.phases * planes.plane,
        negative=negative,
        groups=groups,
        channels=channels,
        weights=(outputs * inputs * kernel, *ahead),
        tile=(rows, columns),
        block=(many, min(channels[1], max(sources, 16))),
    )

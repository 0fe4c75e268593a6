"""Thresholds that are found layer by layer: by size, by hand, and by quantiles of the layer's own edges."""

import math

import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform
from lrp_explorer.engine.quantiles import quantile
from lrp_explorer.engine.sizes import by_size
from lrp_explorer.graph import trace
from lrp_explorer.semirings import Boolean, Bottleneck, PerLayer, Quantile
from lrp_explorer.semirings.edges import Edges, Geometry
from lrp_explorer.semirings.thresholds import VGG16


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)
    ).eval()


def written(sizes):
    """The formula, for (kernel, width of the input) of every layer with weights."""
    kernels = [kernel for kernel, _ in sizes[1:]] + [sizes[-1][0]]
    return [
        0.005 * (kernel**2 + 3 * math.log(width)) + 0.0066 + 0.0002 * n
        for n, (kernel, (_, width)) in enumerate(zip(kernels, sizes, strict=True))
    ]


class Volume(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv3d(1, 2, (3, 1, 2)), nn.Linear(2, 3)

    def forward(self, x):
        return self.last(self.first(x).relu().mean((2, 3, 4)))


class Tokens(nn.Module):
    """Dense layers over the places of a sequence, and one that reads all of it."""

    def __init__(self):
        super().__init__()
        self.patch, self.mlp, self.head = nn.Conv1d(2, 6, 4, 4), nn.Linear(6, 6), nn.Linear(30, 3)

    def forward(self, x):
        x = self.mlp(self.patch(x).transpose(1, 2)).relu()
        return self.head(x.transpose(1, 2).flatten(1))


SIZED = {
    "convolutions and a dense layer": (network, (3, 8, 8), [(3, 8), (5, 8), (4, 4)]),
    "not square": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, (1, 9)), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4), nn.Linear(4, 2)),
        (1, 6, 12), [(3, 12), (24**0.5, 4), (1, 1)],
    ),
    "dense layers": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(50, 5), nn.Linear(5, 2)), (2, 5, 5), [(5, 5), (1, 1)],
    ),
    "rows": (lambda: nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2)), (7,), [(1, 1), (1, 1)]),
    "volume": (Volume, (1, 4, 5, 6), [(6 ** (1 / 3), 6), (1, 1)]),
    "sequence": (Tokens, (2, 20), [(4, 20), (1, 5), (5, 5)]),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZED)
def test_sizes_give_thresholds_by_the_formula(name):
    build, shape, sizes = SIZED[name]
    torch.manual_seed(0)
    model = build().eval()
    rows = lrp.coverage(model, torch.rand(2, *shape), semiring=Boolean(theta="size"))
    notes = {row.layer: row.note for row in rows}
    layers = [key for key, part in model.named_modules() if hasattr(part, "weight")]
    for layer, theta in zip(layers, written(sizes), strict=True):
        assert f"θ = {theta:.4g}" in notes[layer]


def test_sizes_give_the_thresholds_of_vgg16_that_its_authors_fitted():
    from torchvision import models

    with torch.device("meta"):
        model = models.vgg16().eval()
        graph = trace(model, torch.empty(2, 3, 224, 224))
    found = by_size(graph)
    # Chosen by hand for the last layers: 0.3, 0.043, 0.0145 and 0.0145.
    assert {layer: round(found[layer], 3) for layer in ("features.28", "classifier.0", "classifier.3")} == {
        "features.28": 0.294, "classifier.0": 0.043, "classifier.3": 0.014,
    }  # fmt: skip
    pixels = (224, 224, 112, 112, 56, 56, 56, 28, 28, 28, 14, 14, 14)
    wanted = written([(3, width) for width in pixels] + [(7, 7), (1, 1), (1, 1)])
    assert list(found.values()) == pytest.approx(wanted, rel=1e-12)


def test_the_table_for_vgg16_names_all_its_layers():
    from torchvision import models

    with torch.device("meta"):
        names = [name for name, part in models.vgg16().named_modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    assert isinstance(VGG16, PerLayer)
    assert [name for name, _ in VGG16.values] == names
    assert dict(VGG16.values)["features.28"] == 0.3


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("geometry", [Geometry(), Geometry((2,), (1,), (1,), 2), Geometry((1, 2), (1, 1), (2, 1))])
def test_the_quantile_is_that_of_all_edges_with_positive_coefficients(geometry, q):
    source = torch.Generator().manual_seed(3)
    rank = geometry.rank
    x = torch.rand(2, 4, *[9] * rank, generator=source, dtype=torch.float64)
    weight = torch.randn(6, 4 // geometry.groups, *[3] * rank, generator=source, dtype=torch.float64)
    ones = torch.ones(1, 6, *[9] * rank, dtype=torch.float64)
    if rank:
        arguments = (list(geometry.stride), list(geometry.padding), list(geometry.dilation), False, [0] * rank)
        ones = torch.ones_like(torch.convolution(x[:1], weight, None, *arguments, geometry.groups))
    factor = torch.rand(2, *ones.shape[1:], generator=source, dtype=torch.float64)
    edges = Edges(x, weight, factor, -factor, geometry)
    found = quantile(Quantile(q, sample=200_000), [edges])
    for example in range(2):
        # Every pair, by the derivative of each output by each input, times the input.
        def linear(a):
            if not rank:
                return torch.nn.functional.linear(a[None], weight)[0]
            return torch.convolution(a[None], weight, None, *arguments, geometry.groups)[0]

        jacobian = torch.autograd.functional.jacobian(linear, x[example])
        c = (jacobian * x[example]).flatten(factor[example].dim()).flatten(0, factor[example].dim() - 1)
        f = factor[example].flatten()[:, None]
        d = torch.where(c > 0, c * f, -c * f)
        exact = torch.quantile(d[d > 0], torch.tensor([max(0.0, q - 0.04), min(1.0, q + 0.04)], dtype=torch.float64))
        assert exact[0] <= found[example] <= exact[1]


def test_quantiles_belong_to_each_example_alone():
    torch.manual_seed(1)
    model, x = network(), torch.rand(3, 3, 8, 8) * torch.tensor([1.0, 10.0, 0.1]).reshape(3, 1, 1, 1)
    settings = {"composite": Uniform(rules.Epsilon()), "semiring": Bottleneck(theta=Quantile(0.7)), "target": 1}
    together = lrp.explain(model, x, **settings)
    for i in range(3):
        alone = lrp.explain(model, x[i : i + 1], **settings)
        torch.testing.assert_close(together.input[i : i + 1], alone.input, rtol=1e-4, atol=1e-6)

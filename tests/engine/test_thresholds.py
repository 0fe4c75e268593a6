"""Thresholds that are found layer by layer: by size, by hand, and by quantiles of the layer's own edges."""

import math

import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform
from lrp_explorer.engine.thresholds import quantile
from lrp_explorer.semirings import Boolean, Bottleneck, PerLayer, Quantile
from lrp_explorer.semirings.edges import Edges, Geometry
from lrp_explorer.semirings.thresholds import VGG16


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)
    ).eval()


def test_sizes_give_thresholds_by_the_formula():
    notes = {
        row.layer: row.note for row in lrp.coverage(network(), torch.rand(1, 3, 8, 8), semiring=Boolean(theta="size"))
    }
    # k is the kernel of the next layer with weights (the last one's own), s the width of the layer's input.
    for n, (layer, k, s) in enumerate((("0", 5, 3), ("2", 1, 8), ("5", 1, 64))):
        wanted = 0.005 * (k**2 + 3 * math.log(s)) + 0.0066 + 0.0002 * n
        assert f"θ = {wanted:.4g}" in notes[layer]


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
    found = quantile(Quantile(q, sample=200_000), [edges]).by
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

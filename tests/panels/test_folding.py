"""Layers of any number of axes in the Explain panel: nothing of the one example is left out."""

import numpy as np
import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.panels.folding import folded, single

SHAPES = [
    # Shape of one example, without its batch, and as it is drawn.
    ((1, 7), (7,), (7,)),
    ((1,), (1,), (1,)),
    ((1, 3, 8, 9), (3, 8, 9), (3, 8, 9)),
    ((1, 1, 8, 9), (1, 8, 9), (1, 8, 9)),
    ((1, 512, 1, 1), (512, 1, 1), (512, 1, 1)),
    # Tokens first, as attention is written.
    ((5, 1, 16), (5, 16), (5, 16)),
    # Windows joined with the batch.
    ((4, 9, 16), (4, 9, 16), (36, 16)),
    ((4, 7, 7, 16), (4, 7, 7, 16), (196, 16)),
    # Groups of channels.
    ((1, 2, 24, 4, 4), (2, 24, 4, 4), (48, 4, 4)),
    ((1, 2, 24, 4, 5), (2, 24, 4, 5), (48, 4, 5)),
    ((1, 2, 24, 1, 1), (2, 24, 1, 1), (48, 1, 1)),
    # Places divided into windows: rows of windows, rows, columns of windows, columns, channels.
    ((1, 2, 7, 2, 7, 96), (2, 7, 2, 7, 96), (196, 96)),
    ((1, 1, 8, 1, 8, 96), (1, 8, 1, 8, 96), (8, 8, 96)),
    ((1, 16, 4, 4, 4, 4), (16, 4, 4, 4, 4), (256, 4, 4)),
    # Queries, keys and values of every head.
    ((3, 1, 2, 5, 8), (3, 2, 5, 8), (6, 5, 8)),
]


@pytest.mark.parametrize(("whole", "own", "drawn"), SHAPES)
def test_a_shape(whole, own, drawn):
    assert (single(whole), folded(whole)) == (own, drawn)


class Shuffled(nn.Module):
    """Channels in two groups that are shuffled, sizes taken from x."""

    def __init__(self):
        super().__init__()
        self.conv, self.last, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1, groups=2), nn.Linear(4, 2)

    def forward(self, x):
        x = self.conv(x).relu()
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)
        return self.head(self.last(x).relu().mean((2, 3)))


class TokensFirst(nn.Module):
    """A sequence whose batch is the second axis on the way."""

    def __init__(self):
        super().__init__()
        self.lift, self.head = nn.Linear(5, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.lift(x.transpose(0, 1)).relu().mean(0))


class Film(nn.Module):
    """Pictures that follow one another."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv3d(2, 3, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.conv(x).relu().flatten(2).amax(2))


class OneNumber(nn.Module):
    """All is one number for each example on the way."""

    def forward(self, x):
        mean = x.flatten(1).mean(1)
        return torch.stack([mean, -mean], 1)


CASES = {Shuffled: (3, 6, 6), TokensFirst: (7, 5), Film: (2, 4, 6, 5), OneNumber: (1, 4, 4)}


@pytest.fixture(params=CASES, ids=lambda kind: kind.__name__)
def opened(request):
    torch.manual_seed(0)
    model = request.param().double().eval()
    data = torch.rand(2, *CASES[request.param], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    explorer = lrp.explore(model, data, device="cpu", composite="epsilon-plus")
    assert explorer.panel.wait(60)
    yield explorer, model, data[:1]
    explorer.close()


def test_every_number_of_a_layer_counts(opened):
    explorer, model, x = opened
    relevance = lrp.explain(model, x, composite="epsilon-plus", device="cpu")
    stage = explorer.panel.stage
    assert explorer.panel.errors.message == ""
    assert stage._shown.sums.names == tuple(relevance.layers)
    for layer, total in zip(stage._shown.layers, stage._shown.sums.sums, strict=True):
        assert total == pytest.approx(float(relevance[layer.name].sum()), rel=1e-12, abs=1e-15)
        explorer.state.layer = layer.name
        drawn = stage.layer.pane.figure.data[0]
        seen = np.asarray(drawn.y if layer.kind == "vector" else drawn.z)
        assert seen.sum() == pytest.approx(total, rel=1e-6, abs=1e-7)
        size = " × ".join(str(n) for n in layer.shape)
        assert f"{size} · " in stage.layer.heading.value
    assert explorer.panel.errors.message == ""


def test_the_best_path_starts_at_the_neuron_clicked(opened):
    explorer, model, x = opened
    explorer.state.semiring = "viterbi"
    assert explorer.panel.wait(60)
    strengths = lrp.Session(model, x, "cpu").relevance(composite="epsilon-plus", semiring="viterbi").input
    place = tuple(int(i) for i in np.unravel_index(int(strengths.argmax()), x.shape[1:]))
    *_, row, column = place
    point = {"x": column, "y": row, "pointIndex": [row, column], "curveNumber": 0}
    first = explorer.panel.stage._shown.layers[0]
    if first.kind == "tokens":
        point = {"x": row, "y": 0, "pointIndex": [0, row], "curveNumber": 0}
    explorer.panel.stage.input.pane._click({"point": point})
    assert explorer.panel.wait(60)
    assert explorer.panel.errors.message == ""
    steps = explorer.panel.stage._shown.steps
    assert steps[0].index == place
    assert steps[0].strength == pytest.approx(float(strengths.max()), rel=1e-12)

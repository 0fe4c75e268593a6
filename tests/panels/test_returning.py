"""Whatever a pane has shown before, it shows what a new one would: nothing is left over."""

import numpy as np
import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.panels.mask_grid import MaskGrid
from lrp_explorer.panels.mask_large import MaskLarge
from lrp_explorer.panels.mask_state import MaskState
from lrp_explorer.panels.stage import Stage
from lrp_explorer.panels.state import ExplainState
from lrp_explorer.zoo.downloads import CACHE_VARIABLE


class Net(nn.Sequential):
    pass


def net(wide):
    torch.manual_seed(wide)
    layers = [nn.Conv2d(1, wide, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9 * wide, 3)]
    return Net(*layers).double().eval()


DATA = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2])


def plain(figure):
    return figure.to_plotly_json()


def assert_same(found, wanted):
    """Compare two figures as they are sent, arrays and all."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_same(found[key], value)
    elif isinstance(wanted, (list, tuple)):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(found, wanted)


def copied(state):
    return type(state)(**{name: getattr(state, name) for name in type(state).class_trait_names()})


@pytest.fixture
def explorer(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    one = lrp.explore(net(4), (DATA, LABELS), device="cpu", composite="epsilon-plus")
    assert one.panel.wait(60)
    yield one
    one.close()


def assert_as_new(explorer):
    assert explorer.panel.wait(60)
    assert explorer.panel.errors.message == ""
    stage = explorer.panel.stage
    state = copied(explorer.state)
    assert isinstance(state, ExplainState)
    new = Stage(state, explorer.panel.guarded)
    new.show(stage._whole)
    for name in ("input", "layer", "sums"):
        old, fresh = getattr(stage, name), getattr(new, name)
        assert_same(plain(old.pane.figure), plain(fresh.pane.figure))
        assert old.pane.description == fresh.pane.description
        assert old.heading.value == fresh.heading.value
    assert stage.strip_heading.value == new.strip_heading.value


def test_every_semiring_there_and_back(explorer):
    walk = "boolean real counting real viterbi real tropical real bottleneck viterbi counting tropical boolean real"
    for semiring in walk.split():
        explorer.state.semiring = semiring
        assert_as_new(explorer)


def test_every_setting_there_and_back(explorer):
    state = explorer.state
    layers = [layer.name for layer in explorer.panel.stage._shown.layers]
    walk = [("layer", layers[-1]), ("view", "overlay"), ("example", 2), ("target", 2), ("layer", layers[1])]
    walk += [("semiring", "viterbi"), ("start", (4, 4)), ("layer", layers[-1]), ("view", "beside"), ("start", None)]
    walk += [("semiring", "boolean"), ("theta", 0.1), ("join", "min"), ("layer", layers[0]), ("theta", 1e-4)]
    walk += [("semiring", "real"), ("numbers", {"epsilon": 3.0}), ("example", 0), ("numbers", {"epsilon": 1e-9})]
    for name, value in walk:
        setattr(state, name, value)
        assert_as_new(explorer)


def assert_masks_as_new(explorer):
    masks = explorer.masks
    assert masks.wait(60)
    assert masks.errors.message == ""
    shown, state = masks.stage._shown, copied(masks.state)
    assert isinstance(state, MaskState)
    grid, large = MaskGrid(state, masks.guarded), MaskLarge()
    grid.fit(shown.masks, shown.request, shown.samples)
    view = grid.show(shown.masks, shown.request, shown.samples)
    large.show(view, view.place(state.selected), shown.images)
    for old, fresh in ((masks.stage.grid, grid), (masks.stage.large, large)):
        assert_same(plain(old.drawing.pane.figure), plain(fresh.drawing.pane.figure))
        assert old.drawing.pane.description == fresh.drawing.pane.description
        assert old.drawing.heading.value == fresh.drawing.heading.value


def test_masks_there_and_back(explorer):
    explorer.tabs.value = "Masks"
    assert_masks_as_new(explorer)
    state = explorer.masks.state
    reductions, classes = explorer.masks.stage.view.cells.reductions, explorer.masks.stage.view.masks.classes
    walk = [("theta", 0.5), ("selected", (reductions[-1], classes[1])), ("theta", 1e-3)]
    for name, value in [*walk, ("selected", (reductions[0], classes[0]))]:
        setattr(state, name, value)
        assert_masks_as_new(explorer)

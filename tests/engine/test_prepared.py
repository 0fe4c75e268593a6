"""Folded weights are made once, and never outlive the weights that they are made of."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import lrp_explorer as lrp
from lrp_explorer.engine import node_maps
from lrp_explorer.engine.prepared import prepare
from lrp_explorer.errors import InputError


def network():
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )
    made[1].running_mean.normal_()
    made[1].running_var.uniform_(0.5, 2.0)
    made[1].weight.data.normal_()
    made[1].bias.data.normal_()
    return made.double().eval()


@pytest.fixture
def model():
    return network()


@pytest.fixture
def x():
    return torch.randn(2, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def folded(monkeypatch):
    made = []
    fold = node_maps._folded
    monkeypatch.setattr(node_maps, "_folded", lambda layer, *a, **k: (made.append(layer), fold(layer, *a, **k))[1])
    return made


def test_one_fold_serves_all_explanations(model, x, folded):
    for composite in ("epsilon-plus", "epsilon-alpha2-beta1", "epsilon-plus"):
        lrp.explain(model, x, composite=composite)
        lrp.explain(model, x[:1], composite=composite)
    assert len(folded) == 1


@pytest.mark.parametrize("where", ["0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"])
@pytest.mark.parametrize("how", ["in place", "through data", "swapped through data", "replaced"])
def test_a_changed_weight_is_folded_anew(model, x, where, how):
    before = lrp.explain(model, x, composite="epsilon-plus")
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    tensor = tensors[where]
    changed = tensor.detach().flip(-1) * 1.25 if how != "swapped through data" else tensor.detach().flip(-1)
    with torch.no_grad():
        if how == "in place":
            tensor.copy_(changed)
        elif how == "replaced":
            tensor.data = changed.clone()
        else:
            tensor.data.copy_(changed)
    after = lrp.explain(model, x, composite="epsilon-plus")
    fresh = lrp.explain(copied(model), x, composite="epsilon-plus")
    assert torch.equal(after.logits, fresh.logits)
    assert torch.equal(after.input, fresh.input)
    assert not torch.equal(after.logits, before.logits)


def copied(model):
    other = network()
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize("where", ["original0", "original1"])
def test_weights_that_are_computed_are_watched_too(x, where):
    model = network()
    parametrizations.weight_norm(model[0])
    model.eval()
    before = lrp.explain(model, x, composite="epsilon-plus")
    assert lrp.Session(model, x)._reading.prepared.folded.bytes > 0
    tensor = getattr(model[0].parametrizations.weight, where)
    tensor.data.copy_(tensor.detach().flip(0) * 1.5)
    after = lrp.Session(model, x)
    torch.testing.assert_close(after.logits, model(x).detach(), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(after.logits, before.logits)


def test_folded_weights_go_with_their_model(x):
    model = network()
    session = lrp.Session(model, x)
    kept = weakref.ref(prepare(model, session.graph, session.device).folded)
    assert kept() is session._reading.prepared.folded
    del session, model
    gc.collect()
    assert kept() is None


def test_networks_without_batch_norms_keep_nothing(x):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(128, 3)).double().eval()
    session = lrp.Session(plain, x)
    session.relevance(composite="epsilon-plus")
    assert session._reading.prepared.folded.bytes == 0


def test_another_epsilon_of_a_batch_norm_is_another_fold(x):
    model = network()
    lrp.explain(model, x)
    model[1].eps = 1.0
    torch.testing.assert_close(lrp.Session(model, x).logits, model(x).detach(), rtol=1e-12, atol=1e-12)


def test_half_precision_tells_every_single_weight():
    model = network().bfloat16()
    x = torch.randn(2, 2, 8, 8, dtype=torch.bfloat16)
    graph, device = lrp.Session(model, x).graph, torch.device("cpu")
    for place in range(model[0].weight.numel()):
        kept = prepare(model, graph, device).folded
        model[0].weight.data.view(-1)[place] *= 1.0078125
        assert prepare(model, graph, device).folded is not kept


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.complex128])
def test_matrices_of_other_numbers_are_watched_too(x, dtype):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = network()
            self.register_buffer("mask", (torch.arange(18).reshape(1, 2, 3, 3) % 2).to(dtype))

        def forward(self, x):
            mask = self.mask.real if self.mask.is_complex() else self.mask
            return self.parts[1:](nn.functional.conv2d(x, self.parts[0].weight * mask))

    model = Masked().eval()
    for _ in range(2):
        torch.testing.assert_close(lrp.Session(model, x).logits, model(x).detach(), rtol=1e-12, atol=1e-12)
        model.mask.copy_((model.mask == 0).to(dtype))


@pytest.mark.parametrize("how", ["parameter", "buffer", "layer", "shape"])
def test_replaced_weights_are_noticed_by_a_session(model, x, how):
    session = lrp.Session(model, x)
    session.relevance(target=0)
    if how == "parameter":
        model[3].weight = nn.Parameter(model[3].weight.detach() * 2)
    elif how == "buffer":
        model[1].running_mean = model[1].running_mean + 1
    elif how == "layer":
        model[3] = nn.Conv2d(6, 4, 3).double().eval()
    else:
        model[5] = nn.Linear(64, 4).double().eval()
    assert session.changed
    with pytest.raises(InputError, match="weights have changed"):
        session.relevance(target=1)
    torch.testing.assert_close(session.another(x * 2).logits, model(x * 2).detach(), rtol=1e-12, atol=1e-12)


def test_equal_weights_in_the_place_of_others_are_no_reason_to_refuse(model, x):
    session = lrp.Session(model, x)
    wanted = lrp.explain(model, x, target=1).input
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    assert torch.equal(session.relevance(target=1).input, wanted)


def test_copies_on_another_device_follow_the_weights(x):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(128, 3)).double().eval()
    graph, device = lrp.Session(plain, x).graph, torch.device("meta")
    kept = prepare(plain, graph, device).weights
    assert prepare(plain, graph, device).weights is kept
    plain[1].weight.data.mul_(2)
    assert prepare(plain, graph, device).weights is not kept

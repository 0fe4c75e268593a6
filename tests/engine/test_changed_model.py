"""A model that changes between explanations is explained as it is now; what is kept of it never goes stale."""

import pytest
import torch
from torch import nn

import lrp_explorer as lrp


class Model(nn.Module):
    """Holds what decides its output in every place that Python offers."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.head = nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)
        self.scale, self.offset = 2.0, torch.tensor(0.5, dtype=torch.float64)
        self.factors = [1.0, 1.0]

    def forward(self, x):
        return self.head(self.act(self.first(x)) * self.scale + self.offset) * self.factors[0]


def set_weights(model):
    with torch.no_grad():
        model.first.weight.mul_(-1.5)


def load_weights(model):
    model.load_state_dict({name: tensor + 0.5 for name, tensor in model.state_dict().items()})


def replace_layer(model):
    model.head = nn.Linear(6, 3).double()


def other_layer(model):
    model.act = nn.Tanh()


def without_a_layer(model):
    model.act = nn.Identity()


def scale(model):
    model.scale = 3.0


def replace_tensor(model):
    model.offset = torch.tensor(-4.0, dtype=torch.float64)


def tensor_in_place(model):
    model.offset.mul_(-9.0)


def change_list(model):
    model.factors[0] = 5.0


def add_hook(model):
    model.act.register_forward_hook(lambda module, args, out: out * 3)


def add_pre_hook(model):
    model.head.register_forward_pre_hook(lambda module, args: (args[0] - 1.0,))


def replace_forward(model):
    model.forward = lambda x: Model.forward(model, x) * 4.0


CHANGES = [
    set_weights, load_weights, replace_layer, other_layer, without_a_layer, scale, replace_tensor, tensor_in_place,
    change_list, add_hook, add_pre_hook, replace_forward,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_model_is_explained_as_it_is_now(change):
    torch.manual_seed(8)
    model, x = Model().double().eval(), torch.randn(2, 5, dtype=torch.float64)
    before = lrp.Session(model, x, device="cpu").logits
    change(model)
    model.eval()
    wanted = model(x).detach()
    assert not torch.allclose(before, wanted)
    torch.testing.assert_close(lrp.Session(model, x, device="cpu").logits, wanted, rtol=1e-12, atol=0)


def test_a_hook_that_was_there_is_part_of_the_model():
    torch.manual_seed(8)
    model, x = Model().double().eval(), torch.randn(2, 5, dtype=torch.float64)
    add_hook(model)
    torch.testing.assert_close(lrp.Session(model, x, device="cpu").logits, model(x).detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("of", ["input", "model", "both", "permuted"])
def test_the_layout_in_memory_makes_no_difference(of):
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    net, x = net.double().eval(), torch.randn(2, 3, 14, 14, dtype=torch.float64)
    settings = {"target": 1, "composite": "epsilon-plus-flat", "device": "cpu"}
    wanted = lrp.explain(net, x, **settings).input
    if of in ("model", "both"):
        net = net.to(memory_format=torch.channels_last)
    if of in ("input", "both"):
        x = x.to(memory_format=torch.channels_last)
    if of == "permuted":
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    found = lrp.explain(net, x, **settings).input
    assert (found - wanted).abs().max() <= 1e-12 * wanted.abs().max()

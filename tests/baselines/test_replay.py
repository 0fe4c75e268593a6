"""The replayed model computes what the model computes, at every layer."""

import pytest
import torch
import torchvision
from oracles.by_autograd import gradient
from torch import nn

from lrp_explorer.baselines import Case


def transformer():
    parts = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24, "num_classes": 5}
    model = torchvision.models.VisionTransformer(image_size=64, patch_size=16, **parts)
    # Torchvision begins with a head of zeros, which no gradient passes.
    nn.init.normal_(model.heads.head.weight)
    return model


@pytest.mark.parametrize("build", [torchvision.models.resnet18, torchvision.models.squeezenet1_1, transformer])
def test_logits_and_gradients_are_the_model_s(build):
    torch.manual_seed(0)
    model = build().double().eval()
    case = Case(model, torch.randn(2, 3, 64, 64, dtype=torch.float64), device="cpu")
    torch.testing.assert_close(case.logits, model(case.x).detach(), rtol=1e-10, atol=1e-13)
    with torch.no_grad(), case.differentiating() as x:
        found = torch.autograd.grad(case.chosen(case.replay(x)).sum(), x)[0]
    wanted = gradient(model, case.x, case.target)
    assert wanted.abs().max() > 0
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10 * float(wanted.abs().max()))


@pytest.mark.parametrize("layer", ["first", "norm", "second", "hidden"])
def test_a_watched_layer_has_the_module_s_output(layer, model, x):
    kept = {}
    handle = getattr(model, layer).register_forward_hook(lambda _m, _a, out: kept.update(wanted=out.clone()))
    model(x)
    handle.remove()
    network = Case(model, x, device="cpu").network(watch=layer)
    network.watched.register_forward_hook(lambda _m, _a, out: kept.update(found=out.clone()))
    network(x)
    torch.testing.assert_close(kept["found"], kept["wanted"], rtol=1e-12, atol=1e-14)
    assert network.shapes[layer] == kept["wanted"].shape


def test_without_gradients_few_values_live_at_once():
    deep = nn.Sequential(*[nn.Tanh() for _ in range(40)], nn.Flatten(), nn.Linear(12, 3)).eval()
    case = Case(deep, torch.randn(2, 12), device="cpu")
    alive = []

    def look(name, values, see=case.replay._see):
        alive.append(len(values))
        see(name, values)

    case.replay._see = look
    assert case.logits.shape == (2, 3)
    assert len(alive) > 40
    assert max(alive) <= 5

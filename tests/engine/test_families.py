"""Every family of torchvision classifiers: the same function, exact relevance, and every loss booked."""

import math

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.maxvit import MaxVit

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlusFlat, Uniform

# Name → edge of the input. Piecewise linear networks are checked against input × gradient, which LRP-0 equals.
PIECEWISE_LINEAR = {
    "alexnet": 64, "vgg11": 32, "vgg11_bn": 32, "resnet18": 32, "resnet50": 32, "resnext50_32x4d": 32,
    "wide_resnet50_2": 32, "densenet121": 32, "googlenet": 48, "inception_v3": 80, "squeezenet1_1": 48,
    "shufflenet_v2_x0_5": 32, "mnasnet0_5": 32, "regnet_x_400mf": 32,
}  # fmt: skip
OTHERS = {
    "mobilenet_v2": 32, "mobilenet_v3_small": 32, "regnet_y_400mf": 32, "efficientnet_b0": 32,
    "efficientnet_v2_s": 32, "convnext_tiny": 32, "vit_b_32": 64, "swin_t": 32, "swin_v2_t": 32, "maxvit_t": 64,
}  # fmt: skip


def awake(name, edge):
    """Build a network in which every part says something: He weights, batch norms with statistics of their own."""
    if name == "maxvit_t":
        model = MaxVit((edge, edge), 16, 4, [16, 32], [1, 1], 8, 0.2, num_classes=7)
    else:
        options = {"image_size": edge} if name.startswith("vit") else {}
        options |= {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = models.get_model(name, weights=None, num_classes=7, **options)
    # With factors up to 1.5, EfficientNet v2 is so ill-conditioned that one ulp of x moves its logits by 3e-8.
    largest = 1.0 if name == "efficientnet_v2_s" else 1.5
    source = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=source)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.05, generator=source)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1, generator=source)
            module.running_var.uniform_(0.5, 1.5, generator=source)
            nn.init.uniform_(module.weight, 0.5, largest, generator=source)
            nn.init.normal_(module.bias, std=0.1, generator=source)
    return model.double().eval()


def batch(edge):
    return torch.randn(2, 3, edge, edge, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def error(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


def input_times_gradient(model, x, target):
    x = x.clone().requires_grad_()
    model(x).gather(1, target[:, None]).sum().backward()
    return x.detach() * x.grad


def assert_booked(relevance):
    """Every row of the ledger adds up, in units of what passed through it."""
    for row, arrived in zip(relevance.ledger, reversed(relevance.layers), strict=False):
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        scale = float(relevance[arrived].abs().sum()) + abs(row.relevance_out) + abs(row.to_bias)
        assert row.layer == arrived
        assert abs(missing) <= 1e-6 * max(scale, 1e-30), row


@pytest.mark.parametrize(("name", "edge"), (PIECEWISE_LINEAR | OTHERS).items())
def test_a_family(name, edge):
    model, x = awake(name, edge), batch(edge)
    session = lrp.Session(model, x)
    with torch.no_grad():
        assert error(session.logits, model(x)) < 1e-10
    exact = session.relevance(composite=Uniform(rules.Zero(stabilizer=0.0)))
    if name in PIECEWISE_LINEAR:
        assert error(exact.input, input_times_gradient(model, x, exact.target)) < 1e-10
    relevance = session.relevance(composite=EpsilonPlusFlat())
    assert bool(torch.isfinite(relevance.input).all())
    assert relevance.input.abs().max() > 0
    assert_booked(relevance)


def test_the_families_are_all_there_are():
    def family(name):
        for stem in ("resnext", "wide_resnet", "vit", "swin_v2", "swin", "maxvit", "convnext", "efficientnet_v2"):
            if name.startswith(stem):
                return stem
        stem = name.rstrip("0123456789").split("_")[0].rstrip("0123456789")
        return {"inception": "inception"}.get(stem, stem)

    classifiers = models.list_models(module=models)
    tested = {family(name) for name in PIECEWISE_LINEAR | OTHERS}
    assert {family(name) for name in classifiers} <= tested


def test_the_gate_of_a_product_receives_nothing():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.signal, self.gate, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.signal(x) * torch.sigmoid(self.gate(x)))

    torch.manual_seed(0)
    relevance = lrp.explain(Gated().double().eval(), torch.randn(2, 4, dtype=torch.float64))
    assert float(relevance["gate"].abs().max()) == 0.0
    assert torch.equal(relevance["signal"], relevance["mul"])


def test_attention_by_parts_is_attention_in_one():
    """PyTorch's fused attention and the same written out receive the same relevance (AttnLRP, one rule each)."""

    class Attend(nn.Module):
        def __init__(self, fused):
            super().__init__()
            self.parts, self.head, self.fused = nn.Linear(4, 12), nn.Linear(4, 3), fused

        def forward(self, x):
            q, k, v = self.parts(x).split(4, -1)
            if self.fused:
                out = nn.functional.scaled_dot_product_attention(q, k, v)
            else:
                out = ((q * (1 / math.sqrt(4))) @ k.transpose(-1, -2)).softmax(-1) @ v
            return self.head(out.mean(1))

    seed = 3
    x = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = []
    for fused in (True, False):
        torch.manual_seed(seed)
        found.append(lrp.explain(Attend(fused).double().eval(), x, target=1, composite=Uniform(rules.Epsilon())).input)
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-14)

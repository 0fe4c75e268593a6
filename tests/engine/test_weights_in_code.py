"""Code that reads and writes weights on the way, through ``.data`` or in place; weights made in inference mode."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune
from torchvision import transforms

import lrp_explorer as lrp


class MaxNorm(nn.Linear):
    """The constraint as code for EEG writes it."""

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.5)
        return super().forward(x)


class ReadsData(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight.data.clamp(min=0), self.bias.detach())


class ClampsData(nn.Linear):
    def forward(self, x):
        self.weight.data.clamp_(-0.1, 0.1)
        return super().forward(x)


class CopiesInPlace(nn.Linear):
    def forward(self, x):
        with torch.no_grad():
            self.weight.copy_(self.weight.clamp(-0.1, 0.1))
        return super().forward(x)


class DataOfBuffers(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("factor", torch.full((5,), 2.0))
        self.register_buffer("later", None)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.count += 1
        self.later = self.factor.data * 3
        self.factor.data.clamp_(max=1.5)
        return super().forward(x) * self.factor.data + self.later


class WritesToAttribute(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.state = torch.ones(5, dtype=torch.float64)

    def forward(self, x):
        self.state.mul_(2).add_(1)
        return super().forward(x) * self.state


class DataOfValues(nn.Linear):
    def forward(self, x):
        return super().forward(x.data)


class Replaces(nn.Linear):
    def forward(self, x):
        self.weight = nn.Parameter(self.weight * 0.5)
        return super().forward(x)


class Absolute(nn.Module):
    def forward(self, weight):
        return weight.abs()


def parametrised():
    made = nn.Linear(6, 5)
    parametrize.register_parametrization(made, "weight", Absolute())
    return made


KINDS = [
    MaxNorm, ReadsData, ClampsData, CopiesInPlace, DataOfBuffers, WritesToAttribute, DataOfValues, Replaces,
    parametrised, lambda: parametrizations.weight_norm(nn.Linear(6, 5)),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_weights_read_and_written_by_code(kind):
    torch.manual_seed(2)
    layer = kind(6, 5) if isinstance(kind, type) else kind()
    model = nn.Sequential(layer, nn.ReLU(), nn.Linear(5, 3)).double().eval()
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    # A copy's code may write; the model itself must not be run.
    twin = copy.deepcopy(model)
    before = {name: (tensor, tensor.clone(), tensor._version) for name, tensor in tensors(model).items()}
    found = lrp.explain(model, x, 1, lrp.composites.Uniform(lrp.rules.Zero(0.0)), device="cpu")
    for name, tensor in tensors(model).items():
        assert tensor is before[name][0], name
        assert torch.equal(tensor, before[name][1]), name
        assert tensor._version == before[name][2], name
    logits = twin(x)
    torch.testing.assert_close(found.logits, logits.detach(), rtol=1e-12, atol=1e-12)
    if kind is not DataOfValues:
        logits[:, 1].sum().backward()
        torch.testing.assert_close(found.input, (x * x.grad).detach(), rtol=1e-10, atol=1e-12)


def tensors(model):
    plain = {f"{n}.{k}": v for n, m in model.named_modules() for k, v in vars(m).items() if isinstance(v, torch.Tensor)}
    return {**dict(model.named_parameters()), **dict(model.named_buffers()), **plain}


def test_new_values_of_a_weight_that_is_written_on_the_way():
    torch.manual_seed(2)
    model = nn.Sequential(MaxNorm(6, 5), nn.ReLU(), nn.Linear(5, 3)).double().eval()
    x = torch.randn(2, 6, dtype=torch.float64)
    lrp.explain(model, x, device="cpu")
    with torch.no_grad():
        model[0].weight.normal_()
    torch.testing.assert_close(
        lrp.Session(model, x, device="cpu").logits, copy.deepcopy(model)(x).detach(), rtol=1e-12, atol=1e-12
    )


def test_weights_made_in_inference_mode():
    torch.manual_seed(3)
    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)).double()
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    with torch.inference_mode():
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)).double()
        model.load_state_dict(plain.state_dict())
        born = x.clone()
        inside = lrp.explain(model.eval(), born, 1, device="cpu")
    wanted = lrp.explain(plain.eval(), x, 1, device="cpu")
    for found in (inside, lrp.explain(model, x, 1, device="cpu"), lrp.explain(model, born, 1, device="cpu")):
        assert torch.equal(found.input, wanted.input)
    assert all(weight.is_inference() for weight in model.parameters())


def test_a_model_of_the_house_loaded_in_inference_mode():
    with torch.inference_mode():
        model = lrp.load_model("digits-cnn")
    x = torch.rand(1, 1, 28, 28)
    assert torch.equal(
        lrp.explain(model, x, 1, device="cpu").input,
        lrp.explain(lrp.load_model("digits-cnn"), x, 1, device="cpu").input,
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_normalisation_of_inputs_inside_the_model(channels):
    torch.manual_seed(4)
    mean, std = [0.4, 0.5, 0.6][:channels], [0.2, 0.25, 0.3][:channels]
    model = nn.Sequential(transforms.Normalize(mean, std), nn.Flatten(), nn.Linear(channels * 16, 3)).double().eval()
    x = torch.rand(2, channels, 4, 4, dtype=torch.float64, requires_grad=True)
    found = lrp.explain(model, x, 1, lrp.composites.Uniform(lrp.rules.Zero(0.0)), device="cpu")
    model(x)[:, 1].sum().backward()
    torch.testing.assert_close(found.logits, model(x).detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.input, (x * x.grad).detach(), rtol=1e-10, atol=1e-12)


def test_code_may_decide_by_small_constants():
    class Decides(nn.Module):
        def __init__(self):
            super().__init__()
            self.signs, self.head = [1.0, -1.0, 1.0], nn.Linear(3, 2)

        def forward(self, x):
            signs = torch.as_tensor(self.signs, dtype=x.dtype)
            return self.head(x * 2 if (signs > 0).all() else x * signs)

    model, x = Decides().double().eval(), torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(lrp.Session(model, x, device="cpu").logits, model(x).detach())
    model.signs[1] = 1.0
    torch.testing.assert_close(lrp.Session(model, x, device="cpu").logits, model(x).detach())


def test_a_pruned_model_in_training_mode():
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).double()
    prune.l1_unstructured(model[1], "weight", amount=0.5)
    prune.random_unstructured(model[1], "bias", amount=0.5)
    x = torch.randn(2, 12, dtype=torch.float64)
    with pytest.warns(UserWarning, match="training mode"):
        found = lrp.explain(model.train(), x, device="cpu")
    assert model.training
    torch.testing.assert_close(found.logits, model.eval()(x).detach(), rtol=1e-12, atol=1e-12)

"""What all baselines have in common: one front door, an untouched model, refusals, and LRP's form."""

import copy
import subprocess
import sys
import warnings

import pytest
import torch
from oracles.by_autograd import gradient
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.baselines import DeepTaylor, GradCAM, Method, Saliency, attribute, get, names
from lrp_explorer.errors import InputError, LrpError, ModelError, NumericsError, UnknownNameError
from lrp_explorer.results import Relevance

METHODS = {name: {"low": -6.0, "high": 6.0} if name == "deep-taylor" else {} for name in names()}
every_method = pytest.mark.parametrize("method", METHODS)


def run(model, x, method, target=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attribute(model, x, method, target, device="cpu", **METHODS[method])


def state(model):
    """Everything of a model that an explanation could disturb."""
    kinds = ("_hooks", "_hooks_with_kwargs", "_always_called")
    hooks = [name for name in vars(nn.Module()) if name.endswith(kinds)]
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "values": {name: tensor.tolist() for name, tensor in tensors.items()},
        "identities": {name: (id(tensor), tensor._version) for name, tensor in tensors.items()},
        "requires_grad": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "grads": {name: None if tensor.grad is None else tensor.grad.tolist() for name, tensor in tensors.items()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
        "hooks": {name: [list(getattr(module, hook)) for hook in hooks] for name, module in model.named_modules()},
    }


def disturbed(model, x):
    """Give the model what carelessness would tidy up: mixed modes, frozen parts, gradients, a hook."""
    model.drop.train()
    model.first.weight.requires_grad_(False)
    model(x).sum().backward()
    model.second.register_forward_hook(lambda module, args, out: None)


@every_method
def test_the_model_and_the_input_stay_as_they_are(method, own_model, x):
    disturbed(own_model, x)
    before, kept = state(own_model), x.clone()
    run(own_model, x, method)
    assert state(own_model) == before
    assert torch.equal(x, kept)
    assert not x.requires_grad
    assert x.grad is None


@every_method
def test_the_model_stays_as_it_is_after_a_refusal(method, own_model, x):
    disturbed(own_model, x)
    before = state(own_model)
    with pytest.raises(LrpError):
        run(own_model, x, method, target=99)
    with pytest.raises(LrpError):
        run(own_model, x[:, :2], method)
    assert state(own_model) == before


@every_method
def test_a_model_in_training_mode_is_explained_as_in_evaluation(method, own_model, x):
    wanted = run(own_model, x, method)
    own_model.train()
    with pytest.warns(UserWarning, match=r"(?i)train.*eval"):
        found = attribute(own_model, x, method, device="cpu", **METHODS[method])
    assert torch.equal(found.input, wanted.input)
    assert torch.equal(found.logits, wanted.logits)
    assert all(module.training for module in own_model.modules())


@every_method
def test_the_caller_s_way_with_gradients_does_not_matter(method, model, x):
    wanted = run(model, x, method).input
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(run(model, x, method).input, wanted)
    with torch.inference_mode():
        made_there = x.clone()
    assert torch.equal(run(model, made_there, method).input, wanted)
    leaf = x.clone().requires_grad_()
    found = run(model, leaf, method)
    assert torch.equal(found.input, wanted)
    assert leaf.grad is None
    assert not any(value.requires_grad for value in found.maps.values())


@every_method
def test_the_form_is_lrp_s(method, model, x, target):
    found = run(model, x, method, target)
    assert isinstance(found, Relevance)
    assert found.input.shape == x.shape
    assert found.layers[0] == "input"
    assert found["input"] is found.input
    assert torch.equal(found.target, target)
    assert found.start.shape == found.logits.shape == (3, 5)
    assert found.input.abs().sum() > 0
    assert all(total.shape == (3,) for total in found.sums().values())
    assert get(method).__name__ in found.composite
    assert issubclass(get(method), Method)
    assert get(method).formula


@every_method
def test_bad_input_is_refused(method, model, x):
    with refused(InputError, "float32", "float64"):
        run(model, x.float(), method)
    with refused(InputError, "nan"):
        run(model, x * torch.nan, method)
    with refused(InputError, r"\(3, 2, 8, 8\)"):
        run(model, x[:, :2], method)
    with refused(InputError, "target", "99", "0 to 4"):
        run(model, x, method, 99)
    with refused(ModelError, "function", "Module"):
        run(lambda x: x, x, method)
    with refused(InputError, "device", "gpu"):
        attribute(model, x, method, device="gpu", **METHODS[method])


@pytest.mark.parametrize("method", [name for name in METHODS if name != "deep-taylor"])
def test_only_lrp_keeps_books(method, model, x):
    found = run(model, x, method)
    with refused(InputError, get(method).__name__, "ledger", r"lrp\.explain"):
        found.ledger  # noqa: B018
    with refused(UnknownNameError, "hidden", "input", r"lrp\.explain"):
        found["hidden"]


def test_the_names():
    gradients = {"saliency", "sensitivity", "input-x-gradient", "integrated-gradients", "grad-cam"}
    assert set(names()) == gradients | {"simple-taylor", "deep-taylor"}
    with refused(UnknownNameError, "baseline", "grad-cma", "grad-cam"):
        get("grad-cma")


def test_a_method_by_name_or_as_an_object(model, x):
    assert attribute(model, x, GradCAM("first"), device="cpu").layers == ["input", "first"]
    assert attribute(model, x, "grad-cam", layer="first", device="cpu").layers == ["input", "first"]
    assert attribute(model, x, device="cpu").composite == "Saliency()"
    assert DeepTaylor(0, 1) == DeepTaylor(torch.tensor(0.0), 1.0)
    with refused(InputError, "Saliency", "layer"):
        attribute(model, x, Saliency(), layer="first")
    with refused(UnknownNameError, "parameter of grad-cam", "layre", "layer"):
        attribute(model, x, "grad-cam", layre="first")
    for wrong in (Saliency, None, 3):
        with refused(InputError, "method", "name"):
            attribute(model, x, wrong)


def test_numbers_that_are_not_finite_are_told(x):
    class Root(nn.Module):
        def forward(self, x):
            return torch.stack([x.abs().sqrt().flatten(1).sum(1), x.flatten(1).sum(1)], 1)

    at_zero = x.clone()
    at_zero[1, 0, 0, 0] = 0.0
    with refused(NumericsError, "Saliency", "input", "1 of 576"):
        attribute(Root().eval(), at_zero, target=0, device="cpu")

    class Endless(nn.Module):
        def forward(self, x):
            return (x.flatten(1)[:, :2] * 0).log()

    with refused(NumericsError, "layer", "log"):
        attribute(Endless().eval(), x, device="cpu")


def test_a_logit_without_gradient_is_told(x):
    class Counting(nn.Module):
        def forward(self, x):
            return (x.flatten(1)[:, :4] > 0).to(x.dtype)

    for method in ("saliency", "input-x-gradient", "integrated-gradients", "simple-taylor"):
        with refused(ModelError, "choices", "scores"):
            attribute(Counting().eval(), x, method, device="cpu")


def test_without_captum_its_methods_say_what_is_missing(model, x, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    for method in ("saliency", "sensitivity", "input-x-gradient", "integrated-gradients", "grad-cam"):
        with pytest.raises(ImportError, match="pip install captum"):
            run(model, x, method)
    for method in ("simple-taylor", "deep-taylor"):
        run(model, x, method)


def test_captum_is_loaded_when_it_is_needed():
    code = "import sys, lrp_explorer.baselines; print('captum' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_shipped_model_on_its_own_data():
    model = lrp.load_model("digits-cnn")
    data = lrp.load_dataset("digits", split="test", card=model.card)
    x = torch.stack([data[i][0] for i in range(4)]).double()
    model = copy.deepcopy(model).double()
    slope = gradient(model, x, model(x).argmax(1))

    def found(method):
        return attribute(model, x, method, device="cpu")

    torch.testing.assert_close(found("saliency").input, slope.abs(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found("sensitivity").input, slope**2, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found("input-x-gradient").input, x * slope, rtol=1e-10, atol=1e-12)
    integrated = found("integrated-gradients")
    torch.testing.assert_close(integrated.sums()["input"], integrated.start.sum(1), rtol=0.01, atol=0)
    cam = found("grad-cam")
    assert (cam.layers, tuple(cam["pool2"].shape)) == (["input", "pool2"], (4, 1, 4, 4))
    taylor = found("simple-taylor")
    missing = (taylor.start.sum(1) - taylor.sums()["input"]) / taylor.start.sum(1)
    assert float(missing.abs().max()) < 0.9
    deep = found("deep-taylor")
    assert float(deep.input.min()) >= 0
    assert len(deep.layers) == len(lrp.Session(model, x, device="cpu").layers)

"""Models, devices and inputs that cannot be served are refused by name, and the advice works."""

import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.engine.memory import exhausted

ModelError, InputError = lrp.errors.ModelError, lrp.errors.InputError


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double().eval()


@pytest.fixture
def x():
    return torch.randn(2, 6, dtype=torch.float64)


def test_lazy_layers(x):
    lazy = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyBatchNorm1d(), nn.Linear(5, 3)).double().eval()
    with pytest.raises(ModelError, match=r"layer '0' \(LazyLinear\) has no weight yet.*[Rr]un the model once"):
        lrp.explain(lazy, x, device="cpu")
    with pytest.raises(ModelError, match="Run the model once"):
        lrp.coverage(lazy, x)
    wanted = lazy(x).detach()
    torch.testing.assert_close(lrp.Session(lazy, x, device="cpu").logits, wanted)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.zeros(1, 6).double())])
def test_torchscript(make, x):
    scripted = make(network())
    with pytest.raises(ModelError, match=r"the model is TorchScript.*load_state_dict"):
        lrp.explain(scripted, x, device="cpu")
    with pytest.raises(ModelError, match=r"the model's part '1' is TorchScript"):
        lrp.explain(nn.Sequential(nn.ReLU(), scripted).eval(), x, device="cpu")
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double().eval()
    module.load_state_dict(scripted.state_dict())
    torch.testing.assert_close(lrp.Session(module, x, device="cpu").logits, scripted(x).detach())


def test_exported_programs(x):
    net = network()
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    with pytest.raises(ModelError, match=r"ExportedProgram.*pass program\.module\(\)"):
        lrp.explain(program, x, device="cpu")
    with pytest.warns(UserWarning, match="training mode"):
        found = lrp.explain(program.module(), x, 1, device="cpu")
    assert torch.equal(found.input, lrp.explain(net, x, 1, device="cpu").input)


@pytest.mark.parametrize("device", ["mps", "xla", "hpu", "xpu", "meta"])
def test_devices_that_are_not_there(device, x):
    try:
        torch.empty(0, device=device)
        there = device != "meta"
    except Exception:
        there = False
    if there:
        pytest.skip("it is there")
    with pytest.raises(InputError, match=f"device.*{device}.*use 'auto' or 'cpu'"):
        lrp.explain(network(), x, device=device)


def test_token_ids():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 3)).eval()
    tokens = torch.randint(0, 10, (2, 3))
    with pytest.raises(InputError, match=r"token ids.*embeddings.*get_submodule\('0'\)"):
        lrp.explain(model, tokens, device="cpu")
    behind = model[1:].eval()
    found = lrp.explain(behind, model.get_submodule("0")(tokens).detach(), device="cpu")
    assert found.input.sum(-1).shape == tokens.shape
    torch.testing.assert_close(found.logits, model(tokens).detach())
    with pytest.raises(InputError, match=r"x\.float\(\)"):
        lrp.explain(behind, tokens, device="cpu")


# As PyTorch words them; the third is oneDNN's for an operation that it does not have.
@pytest.mark.parametrize(
    ("message", "no_memory"),
    [
        ("could not create a primitive", True),
        ("could not create a memory object", True),
        ("could not create a primitive descriptor for a convolution forward propagation primitive", False),
        ("CUDA error: out of memory", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_memory_that_ran_out_is_known_by_what_is_said(message, no_memory):
    assert exhausted(RuntimeError(message)) is no_memory

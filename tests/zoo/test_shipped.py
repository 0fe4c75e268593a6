"""Our own models: as good as their card says, whole, and described truthfully."""

import datetime
import shutil

import pytest
import torch
from safetensors.torch import load_file

from lrp_explorer import zoo
from lrp_explorer.engine import Session
from lrp_explorer.errors import WeightsError
from lrp_explorer.zoo import digits, shipped
from lrp_explorer.zoo.checkpoints import state_digest
from lrp_explorer.zoo.shipped import CHECKSUMS, SHIPPED, WEIGHTS, read_facts

NAMES = [model.name for model in SHIPPED]
OWN_PAIRS = ["two-digits-mlp", "two-digits-cnn"]
ALL_PAIRS = [*OWN_PAIRS, "two-digits-mnist-mlp"]


def share_right(model: torch.nn.Module, data) -> float:
    with torch.inference_mode():
        predicted = model(torch.stack([example for example, _ in data])).argmax(dim=1)
    return (predicted == torch.tensor(data.labels)).float().mean().item()


@pytest.fixture
def broken_weights(tmp_path, monkeypatch):
    """A copy of the packaged weights, to be damaged."""
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS, folder)
    monkeypatch.setattr(shipped, "WEIGHTS", folder)
    return folder


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn"])
def test_the_digits_models_read_held_out_digits(name):
    model = zoo.load_model(name)
    accuracy = share_right(model, zoo.load_dataset("digits", "test", model.card))
    assert accuracy >= 0.96
    assert accuracy == pytest.approx(model.card.accuracy, abs=1e-4)


def of_another(pictures: torch.Tensor) -> torch.Tensor:
    """Give each picture the lower half of another one, at random."""
    dealt = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(7))
    return torch.cat([pictures[:, :, :28], pictures[dealt, :, 28:]], dim=2)


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """Held-out pictures of two digits and their labels."""
    data = zoo.load_dataset("two-digits", "test")
    return torch.stack([example for example, _ in data]), torch.tensor(data.labels)


@pytest.mark.parametrize("name", OWN_PAIRS)
def test_the_models_of_two_digits_read_the_upper_one(name, pairs):
    model = zoo.load_model(name)
    pictures, labels = pairs
    accuracy = (model(pictures).argmax(dim=1) == labels).float().mean().item()
    assert accuracy >= 0.97
    assert accuracy == pytest.approx(model.card.accuracy, abs=1e-4)


def test_the_model_of_two_mnist_digits_reads_most_that_were_laid_out_as_mnist(pairs):
    pictures, labels = pairs
    assert (zoo.load_model("two-digits-mnist-mlp")(pictures).argmax(dim=1) == labels).float().mean() >= 0.85


def test_the_model_of_two_mnist_digits_reads_mnist(mnist_folder, monkeypatch):
    monkeypatch.setenv("LRP_EXPLORER_CACHE", str(mnist_folder))
    model = zoo.load_model("two-digits-mnist-mlp")
    accuracy = share_right(model, zoo.load_dataset("two-digits-mnist", "test", model.card))
    assert accuracy >= 0.97
    assert accuracy == pytest.approx(model.card.accuracy, abs=2e-4)


@pytest.mark.parametrize("name", OWN_PAIRS)
def test_whatever_is_below_does_not_matter(name, pairs):
    model = zoo.load_model(name)
    pictures, labels = pairs
    plain = model(pictures).argmax(dim=1)
    empty = torch.nn.functional.pad(pictures[:, :, :28], (0, 0, 0, 28))
    for changed in (of_another(pictures), empty):
        assert not torch.equal(changed, pictures)
        predicted = model(changed).argmax(dim=1)
        assert (predicted == labels).float().mean() >= 0.97
        assert (predicted == plain).float().mean() >= 0.99


@pytest.mark.parametrize("name", ALL_PAIRS)
@pytest.mark.parametrize("composite", ["epsilon-plus", "epsilon-alpha2-beta1"])
def test_the_relevance_is_in_the_upper_half(name, composite, pairs):
    relevance = Session(zoo.load_model(name), pairs[0][:100], device="cpu").relevance(composite=composite).input.abs()
    upper = relevance[:, :, :28].sum(dim=(1, 2, 3)) / relevance.sum(dim=(1, 2, 3))
    assert upper.mean() >= 0.97
    assert upper.min() >= 0.9


@pytest.mark.parametrize("name", ["mnist-mlp", "mnist-cnn"])
def test_the_mnist_models_read_most_digits_that_were_laid_out_as_mnist(name):
    model = zoo.load_model(name)
    right = [share_right(model, zoo.load_dataset("digits", split, model.card)) for split in ("train", "test")]
    sizes = [len(digits.load(split)[0]) for split in ("train", "test")]
    assert sum(share * size for share, size in zip(right, sizes, strict=True)) / sum(sizes) >= 0.85


@pytest.mark.parametrize(("name", "least"), [("mnist-mlp", 0.98), ("mnist-cnn", 0.99)])
def test_the_mnist_models_read_mnist(name, least, mnist_folder, monkeypatch):
    monkeypatch.setenv("LRP_EXPLORER_CACHE", str(mnist_folder))
    model = zoo.load_model(name)
    accuracy = share_right(model, zoo.load_dataset("mnist", "test", model.card))
    assert accuracy >= least
    assert accuracy == pytest.approx(model.card.accuracy, abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_ready_to_be_explained(name):
    model = zoo.load_model(name)
    assert not model.training
    assert model(torch.rand(3, *model.card.input_shape)).shape == (3, 10)
    assert model.input_bounds == ((0.0,), (1.0,))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.card.classes == tuple("0123456789")


def test_the_networks_are_those_of_the_papers():
    mlp, cnn = zoo.load_model("digits-mlp"), zoo.load_model("digits-cnn")
    assert [tuple(weight.shape) for weight in mlp.parameters() if weight.ndim == 2] == [
        (300, 784),
        (100, 300),
        (10, 100),
    ]
    assert list(dict(cnn.named_children())) == [
        *("conv1", "relu1", "pool1", "conv2", "relu2", "pool2"),
        *("flatten", "dense1", "relu3", "output"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_beside_the_weights_are_complete_and_true(name):
    path = WEIGHTS / f"{name}.safetensors"
    facts = read_facts(path)
    assert facts["sha256_of_tensors"] == state_digest(load_file(path))
    assert facts["command"].startswith(f"python -m lrp_explorer.zoo.train {name}")
    assert datetime.date.fromisoformat(facts["date"]).year >= 2026
    assert facts["data"] == name.rpartition("-")[0] == zoo.model_card(name).datasets[0]
    assert {"accuracy", "seed", "torch"} <= set(facts)
    assert path.stat().st_size <= 1_500_000


def test_the_checksums_are_in_the_common_format_and_name_every_file():
    listed = [line.split("  ")[1] for line in (WEIGHTS / CHECKSUMS).read_text().splitlines()]
    assert listed == sorted(path.name for path in WEIGHTS.glob("*.safetensors"))


@pytest.mark.parametrize("name", NAMES)
def test_most_neurons_do_something(name):
    source = "two-digits" if name in ALL_PAIRS else "digits"
    values = torch.stack([example for example, _ in zoo.load_dataset(source, "train", zoo.model_card(name))])
    for layer, module in zoo.load_model(name).named_children():
        values = module(values).detach()
        if layer.startswith("relu"):
            assert (values.amax(dim=0) > 0).float().mean() > 0.7, layer


@pytest.mark.parametrize("name", ["two-digits-mlp", "two-digits-mnist-mlp"])
def test_weights_of_the_lower_digits_pixels_are_near_zero(name):
    weight = zoo.load_model(name).dense1.weight.detach().view(200, 56, 28).abs().mean(dim=0)
    assert weight[28:].mean() < 0.05 * weight[:28].mean()


@pytest.mark.parametrize("name", ["digits-mlp", "mnist-mlp"])
def test_weights_of_pixels_without_ink_are_near_zero(name):
    """They would show as noise in an explanation's background, where a rule spreads by weights."""
    weight = zoo.load_model(name).dense1.weight.detach().view(300, 28, 28).abs().mean(dim=0)
    corners = torch.stack([weight[:3, :3], weight[:3, -3:], weight[-3:, :3], weight[-3:, -3:]])
    assert corners.mean() < 0.05 * weight[8:20, 8:20].mean()  # at the start both are equal


def test_a_changed_byte_is_noticed(broken_weights):
    path = broken_weights / "digits-mlp.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"'digits-mlp.safetensors' do not have the SHA-256 .* install lrp-explorer"):
        zoo.load_model("digits-mlp")


def test_a_missing_and_an_unreadable_file_are_noticed(broken_weights):
    path = broken_weights / "digits-cnn.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"'digits-cnn.safetensors' cannot be read"):
        read_facts(path)
    (broken_weights / CHECKSUMS).unlink()
    with pytest.raises(WeightsError, match=r"do not have the SHA-256 of SHA256SUMS \(None\)"):
        zoo.load_model("digits-cnn")
    path.unlink()
    with pytest.raises(WeightsError, match=r"'digits-cnn.safetensors' are missing; install lrp-explorer again"):
        zoo.load_model("digits-cnn")

"""Weights from strangers' files: data only, and refused with the reason and the next step."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lrp_explorer import zoo
from lrp_explorer.errors import UnknownNameError, WeightsError
from lrp_explorer.zoo.checkpoints import read_state, state_digest
from lrp_explorer.zoo.networks import digit_cnn, digit_mlp


class Dangerous:
    """Unpickling this runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"echo harm > {self.marker}",)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return digit_mlp().state_dict()


@pytest.fixture
def saved(tmp_path):
    """Save anything as a `.pt` file and give its path."""

    def save(content: object, name: str = "own.pt") -> Path:
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def loads(path: Path, state: dict[str, torch.Tensor], name: str = "digits-mlp") -> bool:
    loaded = zoo.load_model(name, weights=path).state_dict()
    return all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_local_file_gives_the_model_its_weights(state, tmp_path, suffix):
    path = tmp_path / f"own{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert loads(path, state)
    assert zoo.load_model("digits-mlp", weights=str(path)).card.source == f"local file own{suffix}"
    assert zoo.load_model("digits-mlp", weights=path).card.accuracy is None


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_the_state_dict_inside_a_training_checkpoint_is_found(state, saved, wrapper):
    assert loads(saved({wrapper: state, "epoch": 3, "optimizer": {"lr": 0.1}}), state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_prefixes_of_wrapped_models_are_taken_off(state, saved, prefix):
    assert loads(saved(OrderedDict((prefix + key, value) for key, value in state.items())), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(state, saved, dtype):
    loaded = zoo.load_model("digits-mlp", weights=saved({key: value.to(dtype) for key, value in state.items()}))
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[key].to(dtype).float())


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_never_run(state, tmp_path, zipped):
    marker, path = tmp_path / "marker", tmp_path / "own.pt"
    torch.save({**state, "extra": Dangerous(marker)}, path, _use_new_zipfile_serialization=zipped)
    torch.load(path, weights_only=False)
    assert marker.exists(), "the file would do harm"
    marker.unlink()
    with pytest.raises(WeightsError, match=r"'own.pt' is a pickle that asks for \w+.system; expected tensors only"):
        zoo.load_model("digits-mlp", weights=path)
    assert not marker.exists()


def test_a_bare_pickle_is_not_run_either(tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "own.pth"
    path.write_bytes(pickle.dumps(Dangerous(marker)))
    with pytest.raises(WeightsError, match=r"'own.pth' is "):
        zoo.load_model("digits-mlp", weights=path)
    assert not marker.exists()


def test_a_whole_model_in_a_file_is_refused_with_what_to_do(saved):
    with pytest.raises(WeightsError, match=r"asks for torch.nn.modules.*save model.state_dict\(\), or a .safetensors"):
        zoo.load_model("digits-mlp", weights=saved(digit_mlp()))


def test_the_file_of_another_model_is_refused_with_the_keys_and_the_model_it_fits(saved):
    torch.manual_seed(0)
    path = saved(digit_cnn().state_dict())
    with pytest.raises(WeightsError) as caught:
        zoo.load_model("digits-mlp", weights=path)
    message = str(caught.value)
    assert "'own.pt' does not fit 'digits-mlp'" in message
    assert "2 missing keys, first 'dense2.weight'" in message
    assert "4 unexpected keys, first 'conv1.weight'" in message
    assert "3 of another shape, first 'dense1.weight' with (120, 512) instead of (300, 784)" in message
    assert "as many parameters (76018) as 'digits-cnn' or 'mnist-cnn': load it there" in message


def test_a_torchvision_model_is_suggested_too(saved):
    from torchvision.models import resnet18

    with pytest.raises(WeightsError, match=r"'resnet34'.*parameters \(11689512\) as 'resnet18': load it there"):
        zoo.load_model("resnet34", weights=saved(resnet18(weights=None).state_dict()))


def test_another_number_of_classes_is_named(state, saved):
    state["output.weight"], state["output.bias"] = torch.zeros(3, 100), torch.zeros(3)
    with pytest.raises(
        WeightsError, match=r"'output.weight' with \(3, 100\) instead of \(10, 100\)\. No model of the zoo"
    ):
        zoo.load_model("digits-mlp", weights=saved(state))


def test_missing_and_additional_keys_are_refused(state, saved):
    bias = state.pop("output.bias")
    with pytest.raises(WeightsError, match=r"1 missing key, first 'output.bias'\. No model"):
        zoo.load_model("digits-mlp", weights=saved(state))
    with pytest.raises(WeightsError, match=r"1 unexpected key, first 'more'\. No model"):
        zoo.load_model("digits-mlp", weights=saved({**state, "output.bias": bias, "more": bias}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(state, saved, value):
    state["dense2.bias"][7] = value
    with pytest.raises(WeightsError, match=r"'dense2.bias' of .*'own.pt' has 1 of 100 values NaN or infinite"):
        zoo.load_model("digits-mlp", weights=saved(state))


def test_a_double_that_overflows_is_refused(state, saved):
    state["output.bias"] = torch.full((10,), 1e300, dtype=torch.float64)
    with pytest.raises(WeightsError, match=r"'output.bias' .* 10 of 10 values NaN or infinite in float32"):
        zoo.load_model("digits-mlp", weights=saved(state))


def test_whole_numbers_are_refused(state, saved):
    state["dense1.weight"] = state["dense1.weight"].mul(100).to(torch.int8)
    with pytest.raises(WeightsError, match=r"'dense1.weight' .*dtype torch.int8; expected torch.float32"):
        zoo.load_model("digits-mlp", weights=saved(state))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list; expected a state dict"),
        ({}, "holds a dict; expected a state dict"),
        ({"epoch": 3}, "holds a int under 'epoch'; expected tensors only"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(saved, content, message):
    with pytest.raises(WeightsError, match=message):
        read_state(saved(content))


@pytest.mark.parametrize("name", ["own.pt", "own.safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage that is no file of weights", b"PK\x03\x04 and then nothing"])
def test_a_damaged_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"'{name}' is damaged"):
        read_state(tmp_path / name)


def test_a_truncated_file_is_refused(state, saved):
    path = saved(state)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(WeightsError, match=r"'own.pt' is damaged"):
        read_state(path)


def test_a_missing_file_is_refused():
    with pytest.raises(WeightsError, match=r"no weights file 'IMAGENET1K_V2'; give the path of .*'random'"):
        zoo.load_model("digits-mlp", weights="IMAGENET1K_V2")


@pytest.mark.parametrize(
    ("wrong", "right"), [("digit-mlp", "digits-mlp"), ("resnet-18", "resnet18"), ("vgg_16", "vgg16")]
)
def test_an_unknown_model_is_answered_with_the_nearest(wrong, right):
    for ask in (zoo.load_model, zoo.model_card):
        with pytest.raises(UnknownNameError, match=rf"unknown model '{wrong}'\. Did you mean .*'{right}'"):
            ask(wrong)


def test_the_digest_depends_on_names_shapes_and_values(state):
    reference = state_digest(state)
    assert state_digest(dict(reversed(state.items()))) == reference
    for changed in (
        {**state, "output.bias": state["output.bias"] + 1e-3},
        {**state, "output.bias": state["output.bias"].view(2, 5)},
        {**{key: value for key, value in state.items() if key != "output.bias"}, "output.b": state["output.bias"]},
    ):
        assert state_digest(changed) != reference

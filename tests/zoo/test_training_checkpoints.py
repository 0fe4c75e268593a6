"""Checkpoints as training frames write them: whatever the file is called, wherever the state dict lies in it."""

import argparse
import datetime
import sys
import types
import warnings
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lrp_explorer import zoo
from lrp_explorer.errors import InputError, WeightsError
from lrp_explorer.zoo.networks import digit_cnn


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(7)
    return digit_cnn()


@pytest.fixture(scope="module")
def state(network) -> dict[str, torch.Tensor]:
    return network.state_dict()


@pytest.fixture(scope="module")
def averages(state) -> dict[str, torch.Tensor]:
    return {key: value * 0.5 for key, value in state.items()}


def prefixed(prefix, state) -> dict[str, torch.Tensor]:
    return OrderedDict((prefix + key, value) for key, value in state.items())


def loaded(path: Path, state, **options) -> zoo.ModelCard:
    """Load a file, see that the model has exactly these weights, and give its card."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = zoo.load_model("digits-cnn", weights=path, **options)
    found = model.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
    return model.card


@pytest.mark.parametrize("name", ["pytorch_model.bin", "last.ckpt", "best.pth.tar", "weights", "model.safetensors"])
@pytest.mark.parametrize("how", ["zip", "legacy", "safetensors"])
def test_the_content_says_what_a_file_is_not_its_name(state, tmp_path, name, how):
    path = tmp_path / name
    if how == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=how == "zip")
    assert loaded(path, state).source == f"local file {name}"


@pytest.mark.parametrize(
    "prefix",
    [
        "model.", "net.", "backbone.", "module._orig_mod.", "_orig_mod.module.", "model.module.",
        "model._orig_mod.net.", "module.module.", "network.encoder.q.",
    ],
)  # fmt: skip
def test_any_prefix_is_taken_off(state, tmp_path, prefix):
    torch.save({"epoch": 3, "state_dict": prefixed(prefix, state)}, tmp_path / "own.ckpt")
    card = loaded(tmp_path / "own.ckpt", state)
    assert card.source == f"local file own.ckpt, state_dict.{prefix.rstrip('.')}"


@pytest.mark.parametrize("average", [None, get_ema_multi_avg_fn(0.9)])
def test_averaged_models_are_read(network, state, tmp_path, average):
    averaged = AveragedModel(network, multi_avg_fn=average)
    averaged.update_parameters(network)
    torch.save(averaged.state_dict(), tmp_path / "swa.pt")
    assert loaded(tmp_path / "swa.pt", averaged.module.state_dict()).source == "local file swa.pt, module"


@pytest.mark.parametrize(
    "keys", [["net"], ["network"], ["weights"], ["params"], ["model", "weights"], ["checkpoint", "ema", "module"]]
)
def test_dictionaries_are_looked_into_whatever_their_keys(state, tmp_path, keys):
    content = prefixed("module.", state)
    for key in reversed(keys):
        content = {"epoch": 3, key: content, "acc": 0.9}
    content["optimizer"] = torch.optim.Adam([torch.zeros(3)]).state_dict()
    content["optimizer"]["state"] = {0: {"step": torch.tensor(4.0), "exp_avg": torch.zeros(784)}}
    torch.save(content, tmp_path / "own.pt")
    assert loaded(tmp_path / "own.pt", state).source == f"local file own.pt, {'.'.join(keys)}.module"


def test_what_a_lightning_module_has_beside_the_network_is_told(state, tmp_path):
    content = prefixed("model.", state) | {"criterion.weight": torch.ones(10), "metric.total": torch.zeros(())}
    torch.save({"pytorch-lightning_version": "2.4.0", "state_dict": content}, tmp_path / "last.ckpt")
    source = loaded(tmp_path / "last.ckpt", state).source
    assert source == "local file last.ckpt, state_dict.model, without 2 other tensors, criterion.weight the first"


@pytest.mark.parametrize(("own", "other"), [("model", "ema"), ("state_dict", "state_dict_ema"), ("student", "teacher")])
@pytest.mark.parametrize("nested", [True, False])
def test_of_several_sets_the_models_own_is_taken_and_told(state, averages, tmp_path, own, other, nested):
    # The averages stand first in the file.
    both = {other: averages, own: state}
    content = both if nested else prefixed(f"{other}.", averages) | prefixed(f"{own}.", state)
    path = tmp_path / "own.pt"
    torch.save(content, path)
    message = rf"2 sets of weights that fit 'digits-cnn': '{own}' is taken. For another: load_model.*part='{other}'\)"
    with pytest.warns(UserWarning, match=message):
        model = zoo.load_model("digits-cnn", weights=path)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in both[own].items())
    for name, wanted in both.items():
        assert loaded(path, wanted, part=name).source.startswith(f"local file own.pt, {name}")
    with pytest.raises(WeightsError, match=rf"no part 'best' for 'digits-cnn'; expected one of .*'{other}'"):
        zoo.load_model("digits-cnn", weights=path, part="best")


def test_equal_sets_are_no_choice(state, tmp_path):
    torch.save({"model": state, "ema": {key: value.clone() for key, value in state.items()}}, tmp_path / "own.pt")
    assert loaded(tmp_path / "own.pt", state).source == "local file own.pt, model"


@pytest.mark.parametrize("weights", [None, "random"])
def test_a_part_belongs_to_a_file(weights):
    with pytest.raises(InputError, match="part is 'ema', which names a part of a local file"):
        zoo.load_model("digits-cnn", weights, part="ema")


def test_counters_of_profilers_and_of_batch_norm_are_passed_over(state, tmp_path):
    counters = {"total_ops": torch.zeros(1, dtype=torch.float64), "conv1.total_params": torch.zeros(1)}
    torch.save(state | counters | {"bn.num_batches_tracked": torch.tensor(3)}, tmp_path / "own.pt")
    loaded(tmp_path / "own.pt", state)


class Config(dict):
    """A dictionary with attributes, as configurations often are."""


class Record:
    """A user's own class."""

    def __init__(self) -> None:
        self.history = [1.0]


@pytest.fixture
def strange(monkeypatch):
    """Modules that the reader of a file does not have."""
    module = types.ModuleType("their_project")
    for kind in (Config, Record):
        monkeypatch.setattr(kind, "__module__", "their_project")
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "their_project", module)


@pytest.mark.parametrize("zipped", [True, False])
def test_records_beside_the_weights_are_left_out_and_never_made(state, tmp_path, strange, monkeypatch, zipped):
    records = {
        "args": argparse.Namespace(lr=0.1, out=Path("runs")),
        "best": np.float64(0.93),
        "curve": np.arange(3.0),
        "began": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "log": defaultdict(list, {"loss": [1.0, 2.0]}),
        "config": Config(depth=3),
        "record": Record(),
        "scheduler": torch.optim.lr_scheduler.LambdaLR,
    }
    path = tmp_path / "own.pt"
    torch.save(records | {"state_dict": state}, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr(Record, "__setstate__", lambda *_: pytest.fail("made"), raising=False)
    loaded(path, state)
    monkeypatch.delitem(sys.modules, "their_project")
    loaded(path, state)


def test_weights_within_a_record_that_is_a_dictionary_are_found(state, tmp_path, strange):
    torch.save(Config(model=state), tmp_path / "own.pt")
    loaded(tmp_path / "own.pt", state)


@pytest.mark.parametrize("command", ["subprocess.getoutput", "builtins.eval", "os.system", "importlib.import_module"])
def test_what_can_do_harm_is_refused_even_beside_good_weights(state, tmp_path, command):
    module, _, name = command.rpartition(".")

    class Harm:
        def __reduce__(self):
            return getattr(sys.modules[module], name), ("1",)

    torch.save({"state_dict": state, "extra": Harm()}, tmp_path / "own.pt")
    with pytest.raises(WeightsError, match=rf"asks for \w+\.{name}; expected tensors only"):
        zoo.load_model("digits-cnn", weights=tmp_path / "own.pt")


def test_inference_mode_and_other_contexts_do_not_reach_the_weights(state, tmp_path):
    torch.save(state, tmp_path / "own.pt")
    for weights in (None, "random", tmp_path / "own.pt"):
        with torch.inference_mode(), torch.device("meta"):
            model = zoo.load_model("digits-cnn", weights)
            assert torch.is_inference_mode_enabled()
        assert not any(parameter.is_inference() or parameter.is_meta for parameter in model.parameters())
        model.conv1.weight.data.mul_(2)


def without(state, *keys):
    return {key: value for key, value in state.items() if key not in keys}


def test_the_nearest_key_is_named_and_the_advice_is_not_circular(state, tmp_path):
    renamed = {key.replace("dense1", "fc1"): value for key, value in state.items()}
    torch.save({"state_dict": renamed}, tmp_path / "own.pt")
    with pytest.raises(WeightsError) as caught:
        zoo.load_model("digits-cnn", weights=tmp_path / "own.pt")
    message = str(caught.value)
    assert "'own.pt' (state_dict) does not fit 'digits-cnn': 2 missing keys, first 'dense1.weight'" in message
    assert "2 unexpected keys, first 'fc1.weight'" in message
    assert "nearest to 'dense1.weight' (120, 512) is the file's 'fc1.weight' (120, 512)" in message
    assert "load it there" not in message
    # What is advised is done.
    assert "save dict(zip(load_model('digits-cnn', 'random').state_dict(), state.values()))" in message
    names = zoo.load_model("digits-cnn", "random").state_dict()
    torch.save(dict(zip(names, renamed.values(), strict=True)), tmp_path / "mended.pt")
    loaded(tmp_path / "mended.pt", state)


def test_a_part_that_lacks_a_layer_is_refused_with_its_name(state, tmp_path):
    torch.save({"net": prefixed("backbone.", without(state, "output.bias"))}, tmp_path / "own.pt")
    with pytest.raises(WeightsError, match=r"\(net.backbone\) does not fit 'digits-cnn': 1 missing key, first 'output"):
        zoo.load_model("digits-cnn", weights=tmp_path / "own.pt")


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.to_sparse(), r"has the layout torch.sparse_coo; expected a dense tensor. Save .*to_dense"),
        (lambda w: w.to("meta"), r"is on the device 'meta', where there are no values"),
        (lambda w: w.to(torch.complex64), r"has complex values \(torch.complex64\); expected torch.float32"),
        (
            lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8),
            r"has dtype torch.qint8; expected torch.float32. Quantised models are not supported",
        ),
    ],
)
def test_tensors_of_other_kinds_are_told_by_name(state, tmp_path, change, message):
    torch.save(state | {"output.weight": change(state["output.weight"])}, tmp_path / "own.pt")
    with pytest.raises(WeightsError, match=rf"'output.weight' of the weights file 'own.pt' {message}"):
        zoo.load_model("digits-cnn", weights=tmp_path / "own.pt")

"""Files that hold no state dict: each told by its name, with advice that was followed here and works."""

import gzip
import io
import json
import pickle
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lrp_explorer import zoo
from lrp_explorer.errors import WeightsError
from lrp_explorer.zoo.networks import digit_cnn


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(7)
    return digit_cnn().eval()


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        zoo.load_model("digits-cnn", weights=path)
    assert repr(path.name) in str(caught.value)
    return str(caught.value)


def followed(network, folder: Path, message: str, monkeypatch, **names) -> None:
    """Do what a message advises, word by word, and load what it has written."""
    monkeypatch.chdir(folder)
    start = message.index("torch.save(")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(message[start : message.index(", 'weights.pt')", start)] + ", 'weights.pt')", {"torch": torch} | names)
    found = zoo.load_model("digits-cnn", weights="weights.pt").state_dict()
    assert all(torch.equal(found[key], value) for key, value in network.state_dict().items())


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript(network, tmp_path, monkeypatch):
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 1, 28, 28)), tmp_path / "own.pt")
    message = refusal(tmp_path / "own.pt")
    assert "is a TorchScript archive (torch.jit.save), a program; expected a state dict" in message
    followed(network, tmp_path, message, monkeypatch)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_an_exported_program(network, tmp_path, monkeypatch):
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, 28, 28),)), tmp_path / "own.pt2")
    message = refusal(tmp_path / "own.pt2")
    assert "is an exported program (torch.export.save)" in message
    followed(network, tmp_path, message, monkeypatch)


@pytest.mark.parametrize("wrap", [lambda network: network, lambda network: {"model": network, "epoch": 3}])
def test_a_whole_model(network, tmp_path, monkeypatch, wrap):
    torch.save(wrap(network), tmp_path / "own.pt")
    message = refusal(tmp_path / "own.pt")
    assert "is a pickle that asks for torch.nn.modules" in message
    assert "It seems to be a whole model: where you trust its author" in message
    if wrap(network) is network:
        followed(network, tmp_path, message, monkeypatch)


def test_a_pickle_of_another_program(network, tmp_path, monkeypatch):
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(state))
    message = refusal(tmp_path / "own.pkl")
    assert "is a pickle that torch.save did not write" in message
    followed(network, tmp_path, message, monkeypatch, pickle=pickle)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_later_pickle_protocol(network, tmp_path, monkeypatch, zipped):
    torch.save(network.state_dict(), tmp_path / "own.pt", pickle_protocol=4, _use_new_zipfile_serialization=zipped)
    message = refusal(tmp_path / "own.pt")
    assert "pickle protocol that PyTorch's safe reader does not know; expected protocol 2" in message
    followed(network, tmp_path, message, monkeypatch)


def test_arrays_of_numpy(network, tmp_path, monkeypatch):
    np.savez(tmp_path / "own.npz", **{key: value.numpy() for key, value in network.state_dict().items()})
    message = refusal(tmp_path / "own.npz")
    assert "is an archive of NumPy arrays" in message
    followed(network, tmp_path, message, monkeypatch, numpy=np)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_an_index_of_shards(network, tmp_path, monkeypatch, kind):
    state = network.state_dict()
    shards = {f"model-{i}-of-2.{kind}": dict(list(state.items())[i::2]) for i in range(2)}
    for name, part in shards.items():
        (save_file if kind == "safetensors" else torch.save)(part, tmp_path / name)
    index = {"metadata": {}, "weight_map": {key: name for name, part in shards.items() for key in part}}
    (tmp_path / "model.index.json").write_text(json.dumps(index))
    message = refusal(tmp_path / "model.index.json")
    assert f"is an index of 2 shards ('model-0-of-2.{kind}', 'model-1-of-2.{kind}')" in message
    loader = "safetensors.torch.load_file(shard)" if kind == "safetensors" else "torch.load(shard, weights_only=True)"
    assert f"state.update({loader})" in message
    joined = {}
    for name in shards:
        joined |= (
            load_file(tmp_path / name) if kind == "safetensors" else torch.load(tmp_path / name, weights_only=True)
        )
    followed(network, tmp_path, message, monkeypatch, state=joined)


def zipped(names) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("own.pt"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), r"is a file of Keras \(HDF5\).*kernel.transpose\(3, 2, 0, 1\)"),
        (zipped(["config.json", "model.weights.h5"]), "is a file of Keras"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "is an ONNX model, which does not keep PyTorch's names"),
        (b"GGUF\x03\x00\x00\x00", "is a GGUF file"),
        (b"\x1c\x00\x00\x00TFL3", "is a TensorFlow Lite model"),
        (gzip.compress(b"weights"), "is compressed by gzip; unpack it first"),
        (tarred(), "is a tar archive; unpack it first"),
        (zipped(["weights/own.pt", "readme.md"]), r"is a zip archive of 'weights/own.pt', 'readme.md'; unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1", "is a note of Git LFS.*git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b'{"hidden_size": 3}', "is text in JSON"),
        (b"\x93NUMPY\x01\x00", "is a single NumPy array"),
        (b"", "is damaged: it has 0 bytes"),
    ],
)
def test_files_of_other_programs(tmp_path, content, message):
    for name in ("own.pt", "own.safetensors", "own"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=rf"the weights file '{name}' {message}"):
            zoo.load_model("digits-cnn", weights=tmp_path / name)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["config.json", "model.safetensors"], "give the file of weights in it: 'model.safetensors'"),
        (["saved_model.pb"], "a SavedModel of TensorFlow"),
        ([".metadata", "__0_0.distcp"], "a distributed checkpoint; torch.distributed.checkpoint.format_utils.dcp_to"),
        ([], "which is empty"),
    ],
)
def test_folders(tmp_path, files, message):
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match=rf"are a folder; .*{message}"):
        zoo.load_model("digits-cnn", weights=tmp_path)


def test_a_distributed_checkpoint_becomes_a_file_as_advised(network, tmp_path):
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"model": network.state_dict()}, checkpoint_id=str(tmp_path / "step"))
        dcp_to_torch_save(str(tmp_path / "step"), tmp_path / "weights.pt")
    found = zoo.load_model("digits-cnn", weights=tmp_path / "weights.pt").state_dict()
    assert all(torch.equal(found[key], value) for key, value in network.state_dict().items())

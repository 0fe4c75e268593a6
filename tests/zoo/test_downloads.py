"""Data sets that are downloaded: read from the cache, and without a network a message that helps."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from torchvision import datasets as tv

from lrp_explorer import zoo
from lrp_explorer.errors import DataError
from lrp_explorer.zoo.downloads import DOWNLOADS, cache_folder

KINDS = {"mnist": tv.MNIST, "fashion-mnist": tv.FashionMNIST, "kmnist": tv.KMNIST}


@pytest.mark.parametrize("name", KINDS)
def test_offline_the_missing_files_and_their_place_are_named(name, cache, offline):
    with pytest.raises(DataError) as caught:
        zoo.load_dataset(name)
    message = str(caught.value)
    assert f"the data set {name!r} is not on this machine and could not be downloaded" in message
    assert "Missing or damaged: train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images" in message
    assert f"Put them into {cache / KINDS[name].__name__ / 'raw'}" in message
    assert "LRP_EXPLORER_CACHE" in message


def test_offline_cifar10_is_named_alike(cache, offline):
    with pytest.raises(
        DataError, match=r"'cifar10' is not on this machine.*cifar-10-python.tar.gz\. Put them into"
    ) as caught:
        zoo.load_dataset("cifar10")
    assert str(cache) in str(caught.value)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LRP_EXPLORER_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"'mnist'.*name another cache folder"):
        zoo.load_dataset("mnist")


def test_the_cache_is_in_the_home_folder_unless_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LRP_EXPLORER_CACHE", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "lrp_explorer"
    monkeypatch.setenv("LRP_EXPLORER_CACHE", "~/elsewhere")
    assert cache_folder() == tmp_path / "elsewhere"


def idx(values: np.ndarray) -> bytes:
    """Write the format of MNIST's files."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def small_mnist(cache, offline):
    """Four random pictures a split, where the message says that they belong."""
    draw = np.random.default_rng(0)
    raw = cache / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    pictures = draw.integers(0, 256, (4, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(pictures))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.array([9, 0, 3, 3], np.uint8)))
    return raw, pictures


def test_files_put_there_are_read_without_a_network(small_mnist):
    data = zoo.load_dataset("fashion-mnist")
    assert data.labels == [9, 0, 3, 3]
    assert data.caption(0) == "0: ankle boot"
    np.testing.assert_array_equal(data.image(2), small_mnist[1][2])


def test_packed_files_put_there_are_unpacked(small_mnist, monkeypatch):
    raw, pictures = small_mnist
    sums = []
    for path in sorted(raw.iterdir()):
        packed = gzip.compress(path.read_bytes())
        path.with_name(path.name + ".gz").write_bytes(packed)
        path.unlink()
        sums.append((path.name + ".gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(tv.FashionMNIST, "resources", sums)
    np.testing.assert_array_equal(zoo.load_dataset("fashion-mnist").image(1), pictures[1])


def test_a_damaged_file_is_named(small_mnist):
    raw, _ = small_mnist
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03damaged")
    with pytest.raises(DataError, match=r"'fashion-mnist' in .*raw is damaged .*delete that folder and load it again"):
        zoo.load_dataset("fashion-mnist")


@pytest.mark.parametrize("split", ["train", "test"])
def test_mnist_is_read_whole(split, mnist_folder, monkeypatch):
    monkeypatch.setenv("LRP_EXPLORER_CACHE", str(mnist_folder))
    data = zoo.load_dataset("mnist", split)
    assert len(data) == {"train": 60_000, "test": 10_000}[split]
    assert data.classes[data.labels[0]] == {"train": "5", "test": "7"}[split]


def test_the_class_names_are_torchvisions_own():
    ours = {download.name: download.classes for download in DOWNLOADS}
    for name, kind in KINDS.items():
        published = [label.split(" - ")[0].removesuffix("/top").lower() for label in kind.classes]
        assert [label.lower() for label in ours[name]] == published
    assert len(ours["cifar10"]) == 10

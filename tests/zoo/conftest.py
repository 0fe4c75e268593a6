"""What the zoo's tests share: real data where they are, an unreachable network, a cache of their own."""

import gzip
import os
import shutil
import urllib.request
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs, MNIST and SqueezeNet's weights."""
    folder = os.environ.get("LRP_EXPLORER_DATA")
    if not folder:
        pytest.skip("set LRP_EXPLORER_DATA to the folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def mnist_folder(real_data, tmp_path_factory) -> Path:
    """MNIST in TorchVision's layout."""
    folder = tmp_path_factory.mktemp("mnist")
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in (real_data / "mnist").glob("*.gz"):
        with gzip.open(packed) as source, (raw / packed.stem).open("wb") as target:
            shutil.copyfileobj(source, target)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder, for data sets and for PyTorch's hub."""
    monkeypatch.setenv("LRP_EXPLORER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch) -> None:
    """No network: every request goes to a proxy that is not there, and is refused at once."""
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies of its first use

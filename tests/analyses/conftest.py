"""What the tests of the analyses share: a small model and data set, and relevance stacked the naive way."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import lrp_explorer as lrp
from lrp_explorer.zoo.downloads import CACHE_VARIABLE


@pytest.fixture(scope="session")
def model():
    return lrp.load_model("digits-cnn")


@pytest.fixture(scope="session")
def digits(model):
    return lrp.load_dataset("digits", card=model.card)


@pytest.fixture
def one_thread():
    """PyTorch in this process as in a worker: with several threads it may add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def stacked(model, digits):
    """Relevance of every test digit for its label: index → (layer → array), one explanation after the other."""
    x = torch.stack([digits[i][0] for i in range(len(digits))])
    relevance = [
        lrp.explain(model, part, target=labels)
        for part, labels in zip(x.split(49), torch.tensor(digits.labels).split(49), strict=True)
    ]
    return {
        layer: np.concatenate([part[layer].numpy() for part in relevance]) for layer in ("input", "conv2", "dense1")
    }


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    """Real MNIST in TorchVision's layout, found by the zoo."""
    folder = os.environ.get("LRP_EXPLORER_DATA")
    if not folder:
        pytest.skip("set LRP_EXPLORER_DATA to the folder of real data")
    cache = tmp_path_factory.mktemp("mnist")
    raw = cache / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in (Path(folder) / "mnist").glob("*.gz"):
        with gzip.open(packed) as source, (raw / packed.stem).open("wb") as target:
            shutil.copyfileobj(source, target)
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(cache)
    yield lrp.load_dataset("mnist", card=lrp.load_model("mnist-cnn").card)
    if before is None:
        del os.environ[CACHE_VARIABLE]
    else:
        os.environ[CACHE_VARIABLE] = before

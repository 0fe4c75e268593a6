"""What does not fit the memory is halved, or reported; tried with real limits on a process of its own."""

import os
import subprocess
import sys

import pytest
import torch
from oracles.memory import peak
from torch import nn
from torchvision import models

import lrp_explorer as lrp
from lrp_explorer.composites import EpsilonGammaBox, EpsilonPlusFlat, Uniform
from lrp_explorer.rules import Epsilon

SCRIPT = """
import gc, resource, warnings
import torch
from torch import nn
import lrp_explorer as lrp

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 8, 3, padding=1), nn.ReLU(),
                      nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()
x = torch.randn(8, 3, 128, 128)
target = torch.tensor([1, 0, 1, 2, 0, 1, 2, 0])
wanted = lrp.explain(model, x, target=target).input
before = resource.getrlimit(resource.RLIMIT_AS)


def within(allowed):
    gc.collect()
    size = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size + allowed * 2**20, before[1]))
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = lrp.explain(model, x, target=target)
        said = " ".join(str(one.message) for one in told if "does not fit" in str(one.message)) or "whole"
    except lrp.errors.OutOfMemoryError as error:
        found, said = None, f"refused: {error}"
    resource.setrlimit(resource.RLIMIT_AS, before)
    same = "" if found is None else torch.allclose(found.input, wanted, rtol=1e-4, atol=1e-7)
    print(said, "|", same, "|", "" if found is None else (found.target.equal(target), len(found.ledger)))
    return said == "whole"


enough, short = 400, 10
assert within(enough) and not within(short)
while enough - short > 8:
    middle = (enough + short) // 2
    enough, short = (middle, short) if within(middle) else (enough, middle)
within(short)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set the way of Linux")
def test_a_batch_that_does_not_fit_is_halved_and_an_example_that_does_not_is_refused():
    # Freed memory goes back at once, so that limits mean the same every time.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[0].startswith("whole")
    assert lines[1].startswith("refused")
    assert "take a smaller batch" in lines[1]
    # Just below what the whole batch needs.
    assert "a batch of 8 does not fit" in lines[-1]
    assert "parts of 4 and 4" in lines[-1]
    assert all(line.endswith("| True | (True, 7)") for line in lines if not line.startswith("refused"))


@pytest.mark.parametrize(
    "composite", [Uniform(Epsilon()), EpsilonPlusFlat(), EpsilonGammaBox(-3, 3)], ids=["epsilon", "plus", "box"]
)
def test_an_explanation_holds_at_most_twice_the_bytes_of_a_gradient(composite):
    torch.manual_seed(0)
    model = nn.Sequential(models.vgg16().features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)).eval()
    model.requires_grad_(False)
    x = torch.randn(1, 3, 224, 224)
    leaf = x.clone().requires_grad_()
    lrp.explain(model, x, composite=composite)
    gradient = peak(lambda: torch.autograd.grad(model(leaf).amax(), leaf))
    assert peak(lambda: lrp.explain(model, x, composite=composite)) <= 2 * gradient

"""What does not fit the memory is halved, or reported; tried with real limits on a process of its own."""

import subprocess
import sys

import pytest

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
for allowed in range(240, 40, -20):
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
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set the way of Linux")
def test_a_batch_that_does_not_fit_is_halved_and_an_example_that_does_not_is_refused():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    halved = [line for line in lines if "a batch of 8 does not fit" in line and "parts of 4 and 4" in line]
    refused = [line for line in lines if line.startswith("refused") and "take a smaller batch" in line]
    assert lines[0].startswith("whole")
    assert halved
    assert refused
    assert all(line.endswith("| True | (True, 7)") for line in lines if line not in refused)

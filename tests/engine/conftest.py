"""What all tests of the engine share."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Float64 convolutions of many groups take minutes where threads wait for each other on a busy processor."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

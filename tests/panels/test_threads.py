import pytest
import torch

from lrp_explorer.panels.threads import SMALL, suited


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_small_network_gets_one_thread_and_the_number_is_put_back():
    with suited(SMALL - 1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_a_large_network_keeps_them_all():
    with suited(SMALL):
        assert torch.get_num_threads() == 2


def test_an_error_puts_the_number_back_too():
    with pytest.raises(ZeroDivisionError), suited(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2

"""Fast forms of a convolution's transpose give what the ordinary one gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lrp_explorer.engine import packing
from lrp_explorer.engine.phases import by_phases, pays

SIZES = st.tuples(*[st.integers(1, 4)] * 2)


def transposed(s, weight, stride, padding, size):
    x = torch.zeros(len(s), weight.shape[1], *size, dtype=s.dtype, requires_grad=True)
    return torch.autograd.grad(functional.conv2d(x, weight, None, stride, padding), x, s)[0]


@settings(max_examples=80, deadline=None)
@given(
    stride=SIZES,
    kernel=st.tuples(*[st.integers(1, 7)] * 2),
    padding=st.tuples(*[st.integers(0, 3)] * 2),
    data=st.data(),
)
def test_phases_take_a_strided_convolution_back(stride, kernel, padding, data):
    size = tuple(
        data.draw(st.integers(max(1, k - 2 * p), 17), label="size") for k, p in zip(kernel, padding, strict=True)
    )
    weight = torch.randn(5, 3, *kernel, dtype=torch.float64)
    outputs = functional.conv2d(torch.zeros(2, 3, *size, dtype=torch.float64), weight, None, stride, padding)
    s = torch.randn_like(outputs)
    expected = transposed(s, weight, stride, padding, size)
    assert torch.allclose(by_phases(s, weight, stride, padding, size), expected, rtol=0, atol=1e-12)


def test_phases_are_for_few_channels_and_strides():
    assert pays(torch.zeros(64, 3, 7, 7), [2, 2], [1, 1], 1)
    assert not pays(torch.zeros(64, 3, 7, 7), [1, 1], [1, 1], 1)
    assert not pays(torch.zeros(64, 3, 7, 7), [2, 2], [2, 2], 1)
    assert not pays(torch.zeros(64, 64, 3, 3), [2, 2], [1, 1], 1)
    assert not pays(torch.zeros(64, 1, 3, 3), [2, 2], [1, 1], 4)


@pytest.mark.skipif(not packing.available(torch.zeros(1, 1, 1, 1)), reason="this build of torch packs no weights")
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
@pytest.mark.parametrize("size", [(9, 9), (12, 11)])
def test_packed_weights_take_a_convolution_back(stride, padding, size):
    weight = torch.randn(20, 33, 3, 5)
    outputs = functional.conv2d(torch.zeros(2, 33, *size), weight, None, stride, padding)
    s = torch.randn_like(outputs)
    ready = packing.packed(weight, stride, padding, (1, 1), (2, 33, *size), outputs.shape)
    found = packing.transpose(s, ready, stride, padding, (1, 1), (2, 33, *size))
    expected = transposed(s, weight, stride, padding, size)
    assert torch.allclose(found, expected, atol=1e-5 * expected.abs().max().item())


@pytest.mark.skipif(not packing.available(torch.zeros(1, 1, 1, 1)), reason="this build of torch packs no weights")
def test_weights_packed_for_one_size_serve_others():
    weight = torch.randn(64, 48, 3, 3)
    ready = packing.packed(weight, (1, 1), (1, 1), (1, 1), (1, 48, 7, 7), (1, 64, 7, 7))
    for batch, side in ((1, 7), (5, 7), (2, 30)):
        s = torch.randn(batch, 64, side, side)
        found = packing.transpose(s, ready, (1, 1), (1, 1), (1, 1), (batch, 48, side, side))
        expected = transposed(s, weight, (1, 1), (1, 1), (side, side))
        assert torch.allclose(found, expected, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("weight", [torch.zeros(2, 2, 3), torch.zeros(2, 2, 3, 3, dtype=torch.float64)])
def test_other_weights_are_not_packed(weight):
    assert not packing.available(weight)

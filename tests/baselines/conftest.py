"""A small network with everything that could go wrong: batch norms, an in-place ReLU, functional ones, biases."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.second, self.drop = nn.Conv2d(6, 8, 3), nn.Dropout(0.5)
        self.hidden, self.head = nn.Linear(32, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = F.max_pool2d(self.act(self.norm(self.first(x))), 2)
        x = F.relu(self.second(x))
        return self.head(torch.tanh(self.hidden(self.drop(x.flatten(1)))))


@pytest.fixture(scope="session")
def model():
    """Shared, because tracing takes long; never to be changed by a test."""
    torch.manual_seed(7)
    net = Small().double().eval()
    nn.init.uniform_(net.norm.running_var, 0.5, 2.0)
    nn.init.normal_(net.norm.running_mean)
    nn.init.normal_(net.norm.weight)
    nn.init.normal_(net.head.weight)
    return net


@pytest.fixture
def own_model(model):
    """A copy to be changed."""
    return copy.deepcopy(model)


@pytest.fixture
def x():
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.fixture
def target():
    return torch.tensor([4, 0, 2])

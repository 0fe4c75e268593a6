"""The coverage report says of every layer what the walk in a semiring does: it has edges, or it is refused."""

import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlus, Uniform
from lrp_explorer.errors import CoverageError
from lrp_explorer.semirings import Counting


class Layer(nn.Module):
    """One layer, and its values as classes."""

    def __init__(self, function, *shape):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(*shape))

    def forward(self, x):
        return self.function(x, self.weight).flatten(1)


def same(x, w):
    return F.conv2d(x, w, padding="same")


LAYERS = {
    "dense": (nn.Linear(6, 3), (6,), True),
    "dense over rows": (nn.Linear(6, 3), (4, 6), True),
    "convolution": (nn.Conv2d(2, 3, 3, padding=1), (2, 5, 5), True),
    "convolution, even padding": (Layer(same, 3, 2, 3, 3), (2, 5, 5), True),
    "convolution, uneven padding": (Layer(same, 3, 2, 2, 2), (2, 5, 5), True),
    "convolution, uneven along one axis": (Layer(same, 3, 2, 3, 2), (2, 5, 5), True),
    "convolution, dilated": (Layer(lambda x, w: F.conv1d(x, w, padding="same", dilation=2), 3, 2, 2), (2, 7), True),
    "transposed": (nn.ConvTranspose2d(2, 3, 2), (2, 4, 4), False),
    "matrix from the right": (Layer(lambda x, w: x @ w, 6, 3), (4, 6), True),
    "matrix from the left": (Layer(lambda x, w: w @ x, 3, 4), (4, 6), False),
    "matrices of groups": (Layer(lambda x, w: x @ w, 4, 6, 3), (4, 5, 6), False),
    "vector": (Layer(lambda x, w: x @ w, 6), (4, 6), False),
    "sum over an index": (Layer(lambda x, w: torch.einsum("bij,kj->bik", x, w), 3, 6), (4, 6), False),
    "weights of the input": (Layer(lambda x, w: F.linear(w, x[0]), 3, 6), (4, 6), False),
    "mean": (Layer(lambda x, w: x.mean(-1), 1), (4, 6), True),
    "pooling": (nn.MaxPool2d(2), (2, 4, 4), True),
    "maximum": (Layer(lambda x, w: x.amax(-1), 1), (4, 6), True),
    "interpolation": (nn.Upsample(scale_factor=2), (2, 3, 3), False),
    "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), (2, 3, 3), False),
    "factor": (Layer(lambda x, w: x * w, 6), (4, 6), True),
    "shift": (Layer(lambda x, w: x + w, 6), (4, 6), True),
    "padding": (nn.ZeroPad2d(1), (2, 3, 3), True),
    "choice": (Layer(lambda x, w: torch.where(x > 0, x, 0.1 * x), 1), (4, 6), True),
    "norm of a vector": (Layer(lambda x, w: x.norm(dim=-1, keepdim=True), 1), (4, 6), False),
    "softmax": (nn.Softmax(-1), (2, 6), False),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel", "ignore:.*ends in softmax")
@pytest.mark.parametrize("layer", LAYERS)
def test_coverage_and_walk_agree(layer):
    module, shape, has_edges = LAYERS[layer]
    torch.manual_seed(0)
    model = nn.Sequential(module, nn.Flatten()).double().eval()
    session = lrp.Session(
        model, torch.randn(1 if layer == "weights of the input" else 2, *shape).double(), device="cpu"
    )
    notes = [row.note for row in session.coverage("epsilon-plus", "counting")]
    assert any("no edges" in note for note in notes) != has_edges, notes
    if has_edges:
        assert session.relevance(semiring="counting", composite=EpsilonPlus()).input.shape[1:] == shape
    else:
        with refused(CoverageError, "no edges", "override"):
            session.relevance(semiring="counting", composite=EpsilonPlus())


MOVES = {
    "factor": lambda x: -0.5 * x,
    "factor of channels": lambda x: x * torch.tensor([0.5, -2.0, 0.25], dtype=x.dtype).view(3, 1, 1),
    "broadcast": lambda x: x[:, :1] * torch.ones(3, 4, 4, dtype=x.dtype),
    "padded with a constant": lambda x: F.pad(x, (1, 0, 0, 2), value=7.0),
    "padded without end": lambda x: F.pad(x, (1, 1), value=-torch.inf).relu(),
    "masked": lambda x: x.masked_fill(torch.arange(4).gt(1), 3.0),
    "chosen": lambda x: torch.where(x > 0.2, x, x.flip(2)),
    "put in": lambda x: torch.slice_scatter(x.flip(1), x[:, :, :2], 2, 1, 3),
    "stacked": lambda x: torch.stack([x, x.transpose(2, 3)], 2),
    "reflected": lambda x: F.pad(x, (1, 2, 0, 1), mode="reflect"),
    "patches": lambda x: F.unfold(x, 2, padding=1),
    "repeated": lambda x: x.repeat_interleave(2, 1),
}


@pytest.mark.parametrize("move", MOVES)
def test_moved_values_take_their_elements_along(move):
    """Where a path leads is where the gradient is not zero; paths to one place are counted together."""
    function = MOVES[move]

    class Moved(nn.Module):
        def forward(self, x):
            return function(x).flatten(1)

    torch.manual_seed(0)
    model, x = Moved().eval(), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    session = lrp.Session(model, x, device="cpu")
    leaf = x.clone().requires_grad_()
    outputs = model(leaf)
    for target in range(0, outputs.shape[1], 3):
        found = session.relevance(target=target, semiring=Counting(), composite=Uniform(rules.Epsilon())).input
        (gradient,) = torch.autograd.grad(outputs[:, target].sum(), leaf, retain_graph=True)
        assert bool((found[gradient != 0] > 0).all())
        # A rectified value passes elements on whatever its sign.
        if move != "padded without end":
            assert torch.equal(found > 0, gradient != 0)

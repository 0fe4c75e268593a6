"""Local response normalisation written by hand, in the conventions of TensorFlow, Keras and ONNX, is found as such."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform

CHANNELS = 7


def pooled(x, n, before, after):
    """Σ over a window of channels, as an average times its size."""
    flat = F.pad((x * x).flatten(2)[:, None], (0, 0, before, after))
    return F.avg_pool2d(flat, (n, 1), 1)[:, 0].view_as(x) * n


def volume(x, n, before, after):
    square = F.pad(x.pow(2).unsqueeze(1), (0, 0, 0, 0, before, after))
    return F.avg_pool3d(square, (n, 1, 1), stride=1, divisor_override=1).squeeze(1)


def slices(x, n, before, after):
    padded = F.pad(x**2, (0, 0, 0, 0, before, after))
    return sum(padded[:, i : i + x.shape[1]] for i in range(n))


def one_by_one(x, n, before, after):
    square, channels = x.square(), x.shape[1]
    window = [(max(0, c - before), min(channels, c + after + 1)) for c in range(channels)]
    return torch.stack([square[:, a:b].sum(1) for a, b in window], 1)


def convolved(x, n, before, after):
    square = F.pad((x * x).unsqueeze(1), (0, 0, 0, 0, before, after))
    return F.conv3d(square, torch.ones(1, 1, n, 1, 1, dtype=x.dtype)).squeeze(1)


def in_a_row(x, n, before, after):
    rows = F.pad((x * x).permute(0, 2, 3, 1).reshape(-1, 1, x.shape[1]), (before, after))
    total = F.conv1d(rows, torch.ones(1, 1, n, dtype=x.dtype))
    return total.reshape(x.shape[0], x.shape[2], x.shape[3], x.shape[1]).permute(0, 3, 1, 2)


def unfolded(x, n, before, after):
    return F.pad(torch.mul(x, x), (0, 0, 0, 0, before, after)).unfold(1, n, 1).sum(-1)


def banded(x, n, before, after):
    """Keras' way on other devices: a product with a band of ones."""
    c = torch.arange(x.shape[1])
    band = ((c[None] >= c[:, None] - before) & (c[None] <= c[:, None] + after)).to(x.dtype)
    return torch.einsum("bchw,dc->bdhw", x.square(), band)


SUMS = (pooled, volume, slices, one_by_one, convolved, in_a_row, unfolded)
QUOTIENTS = {
    "quotient": lambda x, base, beta: x / base**beta,
    "product": lambda x, base, beta: x * torch.pow(base, -beta),
    "power first": lambda x, base, beta: base.pow(-beta) * x,
    "reciprocal": lambda x, base, beta: x * (1.0 / base.pow(beta)),
    "roots": lambda x, base, beta: x / base.sqrt().pow(2 * beta),
    "root below": lambda x, base, beta: x * base.rsqrt().pow(2 * beta),
}
# Size, channels before and after, α of the whole sum, β, k.
TENSORFLOW = (5, 2, 2, 0.3, 0.75, 1.5)
ONNX_EVEN = (4, 1, 2, 0.5 / 4, 0.75, 1.0)
TORCH_EVEN = (4, 2, 1, 0.5 / 4, 0.5, 2.0)
NARROW = (3, 1, 1, 2.0, 1.0, 0.7)


class Together(nn.Module):
    """Functions of one value beside one another; every output is a class."""

    def __init__(self, functions):
        super().__init__()
        self.functions = functions

    def forward(self, x):
        return torch.cat([function(x).flatten(1) for function in self.functions], 1)


def written(total, quotient, settings):
    n, before, after, alpha, beta, k = settings
    return lambda x: QUOTIENTS[quotient](x, k + alpha * total(x, n, before, after), beta)


def own(settings):
    """PyTorch's own, with the parameters that mean the same."""
    n, before, after, alpha, beta, k = settings
    norm = nn.LocalResponseNorm(n, alpha * n, beta, k)
    return lambda x: norm(x.flip(1)).flip(1) if after > before else norm(x)


def example():
    return torch.randn(2, CHANNELS, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


CASES = [
    *((total, "quotient", TENSORFLOW) for total in SUMS),
    (slices, "quotient", (1, 0, 0, 0.4, 0.75, 1.0)),
    *((volume, quotient, NARROW if quotient == "roots" else TENSORFLOW) for quotient in list(QUOTIENTS)[1:]),
    *((total, "product", ONNX_EVEN) for total in (pooled, volume)),
    *((total, "quotient", TORCH_EVEN) for total in (volume, unfolded)),
]


# Products by indices are replaced by their definition, which takes long in a large network.
@pytest.mark.parametrize("cases", [CASES, [(banded, "quotient", TENSORFLOW)]], ids=["windows", "band"])
def test_it_is_shared_as_pytorchs_own(cases):
    x = example()
    hand = lrp.Session(Together([written(*case) for case in cases]).eval(), x, device="cpu")
    kinds = [node.kind for node in hand.graph if node.inputs]
    assert kinds.count("response_norm") == len(cases)
    assert set(kinds) <= {"response_norm", "reshape", "concatenation"}
    wanted = {settings: lrp.Session(Together([own(settings)]).eval(), x, device="cpu") for *_, settings in cases}
    seed = torch.randn(2, x[0].numel(), dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    for place, (total, quotient, settings) in enumerate(cases):
        said = f"{total.__name__}, {quotient}, {settings}"
        logits = hand.logits.chunk(len(cases), 1)[place]
        torch.testing.assert_close(logits, wanted[settings].logits, rtol=1e-12, atol=1e-14, msg=said)
        alone = torch.zeros_like(hand.logits)
        alone.chunk(len(cases), 1)[place].copy_(seed)
        for rule in (rules.LRNTaylor(0.0), rules.LRNTaylor(0.25), rules.LRNIdentity()):
            found, right = (
                session.relevance(
                    seed=start,
                    composite=Uniform().override(
                        {node.name: rule for node in session.graph if node.kind == "response_norm"}
                    ),
                ).input
                for session, start in ((hand, alone), (wanted[settings], seed))
            )
            torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12, msg=said)


def test_a_mirrored_window_is_shared_by_its_own_expansion():
    """One pixel: y_c with channel c alone, and each neighbour's slope at the example times its own value."""
    _, before, after, alpha, beta, k = ONNX_EVEN
    x = example()[:, :, :1, :1]
    v = x.flatten(1)
    window = torch.tensor([[c - before <= j <= c + after for c in range(CHANNELS)] for j in range(CHANNELS)])
    whole = k + alpha * (v**2) @ window.double()
    sent = -2 * alpha * beta * (v**2)[:, :, None] * (v / whole ** (beta + 1))[:, None] * window
    own = v / (k + alpha * v**2) ** beta
    sent[:, range(CHANNELS), range(CHANNELS)] = own
    seed = torch.randn(2, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    wanted = (sent / sent.sum(1, keepdim=True) * seed[:, None]).sum(2)
    session = lrp.Session(Together([written(slices, "quotient", ONNX_EVEN)]).eval(), x, device="cpu")
    composite = Uniform().override({session.layers[1]: rules.LRNTaylor(0.0)})
    found = session.relevance(seed=seed, composite=composite).input.flatten(1)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


SLOPE = torch.arange(1.0, 8.0)[:, None, None]


def kept(x, base, beta):
    """What is divided by is read once more."""
    return x / base**beta + 0.0 * base


OTHERS = {
    "all channels": lambda x: x * (x.square().mean(1, keepdim=True) + 1e-6).rsqrt(),
    "all channels in every window": lambda x: x / (1 + 0.1 * slices(x, 13, 6, 6)) ** 0.75,
    "windows in space": lambda x: x / (1 + 0.1 * F.avg_pool2d(F.pad(x * x, (1, 1, 1, 1)), 3, 1)) ** 0.75,
    "magnitudes": lambda x: x / (1 + 0.1 * slices(x.abs().sqrt(), 3, 1, 1)) ** 0.75,
    "squares of another value": lambda x: x / (1 + 0.1 * slices(x.relu(), 3, 1, 1)) ** 0.75,
    "a window with weights": lambda x: x / (1 + 0.1 * slices(x * SLOPE, 3, 1, 1)) ** 0.75,
    "to one side": lambda x: x / (1 + 0.1 * slices(x, 3, 0, 2)) ** 0.75,
    "with what is clipped": lambda x: x / (1 + 0.1 * slices(x, 3, 1, 1).clamp(max=0.5)) ** 0.75,
    "with the others' mean": lambda x: x / (1 + 0.1 * (slices(x, 3, 1, 1) + (x * x).mean())) ** 0.75,
    "over channels and space": lambda x: x / (1 + slices(x, 3, 1, 1).sum(2, keepdim=True)) ** 0.5,
    "a power that raises": lambda x: x * (1 + 0.1 * slices(x, 3, 1, 1)) ** 0.75,
    "read once more": lambda x: kept(x, 1 + 0.1 * slices(x, 3, 1, 1), 0.75),
}  # fmt: skip


def test_nothing_else_is_taken_for_it():
    model, x = Together(list(OTHERS.values())).eval(), example().abs()
    session = lrp.Session(model, x, device="cpu")
    assert not [node for node in session.graph if node.kind == "response_norm"]
    torch.testing.assert_close(session.logits, model(x), rtol=1e-12, atol=1e-12)


def test_a_window_whose_weights_may_change_is_left_as_it_is():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("ones", torch.ones(1, 1, 3, 1, 1, dtype=torch.float64))

        def forward(self, x):
            total = F.conv3d((x * x).unsqueeze(1), self.ones, padding=(1, 0, 0)).squeeze(1)
            return (x / (1 + 0.1 * total) ** 0.75).flatten(1)

    session = lrp.Session(Weighted().eval(), example(), device="cpu")
    assert not [node for node in session.graph if node.kind == "response_norm"]

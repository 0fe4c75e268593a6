"""Instance norm with running statistics is a fixed affine map: explained, to the rounding, as the equal batch norm."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlus, Uniform

INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
BATCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
# Where the norm stands, besides alone: behind a convolution, before one without padding (grouped, too), or as function.
PLACES = ("behind", "behind, no weights", "before", "before, grouped", "function", "function, no weights", "alone")


class Norms(nn.Module):
    """A branch for each place, by instance norms or by the equal batch norms."""

    def __init__(self, rank, kind):
        super().__init__()
        torch.manual_seed(rank)
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for place in PLACES:
            affine, groups = "no weights" not in place, 2 if "grouped" in place else 1
            self.convs.append(CONVOLUTION[rank](4, 4, 2, groups=groups))
            self.norms.append(kind[rank](4, affine=affine, track_running_stats=True, eps=0.01))
        self.head = nn.Linear(4 * 2**rank * len(PLACES), 3)
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point():
                nn.init.uniform_(tensor, 0.5, 1.5) if tensor.dim() == 1 else nn.init.normal_(tensor)

    def forward(self, x):
        found = [self.branch(*parts, x.relu()).relu() for parts in zip(PLACES, self.convs, self.norms, strict=True)]
        return self.head(torch.cat([branch.flatten(1) for branch in found], 1))

    def branch(self, place, conv, norm, x):
        if place == "alone":
            return norm(x)[(..., *[slice(2)] * (x.dim() - 2))]
        if place.startswith("before"):
            return conv(norm(x))
        if isinstance(norm, nn.modules.instancenorm._InstanceNorm) and place.startswith("function"):
            weights = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            return F.instance_norm(conv(x), *weights, use_input_stats=False, eps=norm.eps)
        return norm(conv(x))


def recorded(rank, dtype):
    x = torch.randn(2, 4, *[3] * rank, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype)
    nets = [Norms(rank, kind).to(dtype).eval() for kind in (INSTANCE, BATCH)]
    nets[1].load_state_dict(nets[0].state_dict(), strict=False)
    return x, nets, [lrp.Session(net, x, device="cpu") for net in nets]


@pytest.mark.parametrize(
    ("rank", "dtype"), [(1, torch.float64), (2, torch.float64), (3, torch.float64), (2, torch.float32)]
)
def test_running_statistics_make_a_batch_norm(rank, dtype):
    x, nets, sessions = recorded(rank, dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    kinds = [{row.layer: row.note for row in session.coverage("epsilon-plus")} for session in sessions]
    for place, layer in zip(PLACES, [f"norms.{i}" for i in range(len(PLACES))], strict=True):
        if not place.startswith("function"):
            assert kinds[0][layer] == kinds[1][layer], place
            assert ("folded into" in kinds[0][layer]) is (place != "alone"), place
    for composite in (EpsilonPlus(), Uniform(rules.Gamma()), Uniform(rules.Zero(stabilizer=0.0))):
        found, wanted = (session.relevance(target=1, composite=composite).input for session in sessions)
        assert wanted.abs().max() > 0
        assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(nets[0](leaf)[:, 1].sum(), leaf)[0]
    assert (found - x * gradient).abs().max() <= 10 * tolerance * (x * gradient).abs().max()
    if dtype == torch.float64:
        for semiring in ("boolean", "counting", "viterbi", "bottleneck"):
            found, wanted = (session.relevance(target=1, semiring=semiring).input for session in sessions)
            assert torch.equal(found, wanted), semiring


def test_statistics_of_the_example_stay_a_norm():
    net = nn.Sequential(nn.Conv1d(2, 4, 1), nn.InstanceNorm1d(4), nn.Flatten(), nn.Linear(12, 2)).eval()
    session = lrp.Session(net, torch.randn(1, 2, 3), device="cpu")
    assert session.graph.by_name["1"].kind == "layer_norm"


class TakesOwn(nn.Module):
    """A norm that goes by the input's own statistics, and counts them into the running ones at each call."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.norm = kind, nn.InstanceNorm2d(2, affine=True, track_running_stats=True)
        self.norm.track_running_stats = kind != "not tracked any more"
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        norm = self.norm
        if self.kind == "not tracked any more":
            return self.head(norm(x).flatten(1))
        function = F.batch_norm if self.kind == "batch norm" else F.instance_norm
        return self.head(function(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, True).flatten(1))


@pytest.mark.parametrize("kind", ["not tracked any more", "instance norm", "batch norm"])
def test_running_statistics_are_never_updated(kind):
    torch.manual_seed(0)
    model, x = TakesOwn(kind).double().eval(), torch.randn(2, 2, 2, 2, dtype=torch.float64)
    before = {name: (value.clone(), value._version) for name, value in model.state_dict(keep_vars=True).items()}
    composite = EpsilonPlus().override({"batch_norm": rules.Gradient()} if kind == "batch norm" else {})
    found = lrp.explain(model, x, composite=composite)
    lrp.attribute(model, x, "saliency")
    after = model.state_dict(keep_vars=True)
    for name, (value, version) in before.items():
        assert torch.equal(after[name], value), name
        assert after[name]._version == version, name
    assert (found.logits - model(x)).abs().max() <= 1e-12

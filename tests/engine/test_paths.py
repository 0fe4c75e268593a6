"""Relevance in semirings, through whole networks: against the ordinary engine, and against all paths one by one."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import errors, rules
from lrp_explorer.composites import EpsilonGammaBox, EpsilonPlusFlat, Uniform
from lrp_explorer.semirings import Boolean, Bottleneck, Counting, PerLayer, Quantile, Real, Semiring, Tropical, Viterbi
from lrp_explorer.semirings import kernels as table

THETAS = (1e-9, 1e-3, 0.02, 0.05, 0.1, 0.2, 0.5)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (
            nn.Conv2d(2, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Conv2d(4, 3, 3, stride=2),
        )
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(3, 3)

    def forward(self, x):
        x = self.a(x).relu()
        x = (self.norm(self.b(x)) + x).relu()
        return self.head(self.c(x).relu().mean((2, 3)))


class Joined(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 3, padding=1, stride=2), nn.Conv2d(2, 2, 2, groups=2, stride=2, dilation=1)
        self.head = nn.Linear(5 * 4, 3)

    def forward(self, x):
        x = torch.cat([self.a(x), self.b(x)], 1).relu()
        return self.head(nn.functional.avg_pool2d(x.permute(0, 1, 3, 2), 2, ceil_mode=True).flatten(1))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def cnn():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 2, bias=False),
        nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


NETWORKS = {"mlp": mlp, "cnn": cnn, "residual": Residual, "joined": Joined}


def recorded(name):
    torch.manual_seed(3)
    model = NETWORKS[name]().double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    return lrp.Session(model, torch.randn(2, 2, 6, 6, dtype=torch.float64))


@pytest.fixture(params=["reference", "numba"])
def kernel(request, monkeypatch):
    """Every kernel of the CPU in turn."""
    if request.param == "reference":
        monkeypatch.setattr(table, "_FUSED", {})
    return request.param


@dataclass(frozen=True)
class ByPaths(Real):
    """The real semiring as a user would write it: it takes the way of paths instead of that of the ordinary engine."""


@pytest.mark.parametrize("composite", [
    EpsilonGammaBox(-4, 4), EpsilonPlusFlat(), Uniform(rules.AlphaBeta()), Uniform(rules.Epsilon(0.3, "std")),
    Uniform(rules.Gamma(0.5, bias="ignore")), Uniform(rules.WSquare()), Uniform(rules.Zero(), split="magnitude"),
])  # fmt: skip
@pytest.mark.parametrize("name", NETWORKS)
def test_real_relevance_over_paths_is_that_of_the_ordinary_engine(name, composite):
    session = recorded(name)
    wanted = session.relevance(target=1, composite=composite, seed="one")
    found = session.relevance(target=1, composite=composite, semiring=ByPaths())
    for layer in session.layers:
        torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-10, atol=1e-12)


def coefficients(session, composite, layer):
    """Real coefficients of a layer, by handing down 1 at each of its outputs: (example, input, output)."""
    from lrp_explorer.engine.cache import forgetful
    from lrp_explorer.engine.propagate import step

    node = session.graph.by_name[layer]
    rule = composite.assign(session.graph)[layer]
    outputs = session.record.value(layer)
    found = []
    for k in range(outputs[0].numel()):
        unit = torch.zeros_like(outputs).flatten(1)
        unit[:, k] = 1.0
        (part,) = step(node, rule, session.record, unit.reshape(outputs.shape), forgetful)
        found.append(part.flatten(1))
    return torch.stack(found, -1)


def along_all_paths(session, composite, target, join, chain, one, annotate):
    """Elements of the input, path by path, in plain Python."""
    layers = [name for name in session.layers if name != "input"]
    matrices = [
        [[annotate(float(d)) for d in row] for row in coefficients(session, composite, name)[0]] for name in layers
    ]
    found = []
    for start in range(len(matrices[0])):
        elements = []
        for path in itertools.product(*(range(len(matrix[0])) for matrix in matrices[:-1])):
            nodes = (start, *path, target)
            edges = [matrix[j][k] for matrix, j, k in zip(matrices, nodes, nodes[1:], strict=False)]
            total = one
            for edge in edges:
                total = chain(total, edge)
            elements.append(total)
        found.append(join(elements))
    return found


@pytest.mark.parametrize(
    ("semiring", "join", "chain", "one", "annotate"),
    [
        (Boolean(theta=0.01), any, lambda a, b: a and b, True, lambda d: d >= 0.01),
        (Counting(theta=0.01), sum, lambda a, b: a * b, 1.0, lambda d: float(d >= 0.01)),
        (Counting(theta=0.01, absolute=True), sum, lambda a, b: a * b, 1.0, lambda d: float(abs(d) >= 0.01)),
        (Bottleneck(), max, min, math.inf, lambda d: max(d, 0.0)),
        (Viterbi(normalise="sum"), max, lambda a, b: a * b, 1.0, abs),
        (Tropical(normalise="sum"), min, lambda a, b: a + b, 0.0, lambda d: -math.log(abs(d)) if d else math.inf),
    ],
)
@pytest.mark.parametrize("kind", ["dense", "convolutions"])
def test_a_small_network_path_by_path(kind, semiring, join, chain, one, annotate, kernel):
    torch.manual_seed(5)
    if kind == "dense":
        model, shape = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), (4,)
    else:
        layers = (nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Conv2d(3, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2))
        model, shape = nn.Sequential(*layers), (1, 3, 3)
    session = lrp.Session(model.double().eval(), torch.randn(1, *shape, dtype=torch.float64) * 2)
    composite = Uniform(rules.Gamma(0.25))
    found = session.relevance(target=0, composite=composite, semiring=semiring).input.flatten().double()
    wanted = along_all_paths(session, composite, 0, join, chain, one, annotate)
    wanted = torch.tensor([float(value) for value in wanted], dtype=torch.float64)
    assert float(found.max()) > 0
    if isinstance(semiring, (Boolean, Counting)):
        assert torch.equal(found, wanted)
    else:
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("pooling", ["average", "winner", "activation"])
def test_boolean_is_bottleneck_compared_bit_for_bit(name, pooling, kernel):
    session = recorded(name)
    every = session.relevance(semiring=Bottleneck(pooling=pooling))
    thetas = [*THETAS, *every.input[every.input > 0].flatten()[:3].tolist()]
    for theta in thetas:
        one = session.relevance(semiring=Boolean(theta=theta, pooling=pooling))
        for layer in session.layers:
            assert torch.equal(every.at(theta)[layer], one[layer]), (layer, theta)
    shares = every.influence(thetas)
    for layer in session.layers:
        wanted = [float((every[layer] >= theta).double().mean()) for theta in thetas]
        assert shares[layer].tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("theta", [{"0": 0.05, "3": 0.2}, "auto", "size"])
def test_a_profile_divides_every_layer_by_its_own_threshold(theta, kernel):
    session = recorded("cnn")
    every = session.relevance(semiring=Bottleneck(theta=theta))
    one = session.relevance(semiring=Boolean(theta=theta))
    for layer in session.layers:
        assert torch.equal(every.at(1.0)[layer], one[layer])


def test_thresholds_of_a_layer_let_pass_what_reaches_them():
    session = recorded("mlp")
    d = coefficients(session, Uniform(rules.Epsilon()), "5")[:, :, 1]
    theta = 0.99 * float(d[d > 0].median())
    named = session.relevance(target=1, composite=Uniform(rules.Epsilon()), semiring=Boolean(theta={"5": theta}))
    assert torch.equal(named["4"], d >= theta)
    assert bool(named["4"].any())
    assert not bool(named["4"].all())


@pytest.mark.parametrize("name", NETWORKS)
def test_tropical_is_minus_the_logarithm_of_viterbi(name, kernel):
    session = recorded(name)
    best, cost = (session.relevance(semiring=kind()) for kind in (Viterbi, Tropical))
    for layer in session.layers:
        torch.testing.assert_close(cost[layer], -best[layer].log(), rtol=1e-10, atol=1e-10)
        assert float(best[layer].amax()) <= 1.0 + 1e-12


@pytest.mark.parametrize("semiring", [Boolean, Counting])
@pytest.mark.parametrize("name", NETWORKS)
def test_signs_alone_take_ordinary_convolutions(name, semiring, monkeypatch):
    session = recorded(name)
    by_convolution = session.relevance(semiring=semiring(theta=0, strict=True))
    monkeypatch.setattr(table.convolution, "covers", lambda *given: False)
    by_pairs = session.relevance(semiring=semiring(theta=0, strict=True))
    for layer in session.layers:
        assert torch.equal(by_convolution[layer], by_pairs[layer])


def test_separate_edges_are_activations_and_weights_by_themselves(kernel):
    model = nn.Linear(4, 3).double().eval()
    x = torch.tensor([[0.5, -1.0, 2.0, 0.1]], dtype=torch.float64)
    session = lrp.Session(model, x)
    a, w = x[0], model.weight[2].detach()
    found = {
        kind: session.relevance(target=2, semiring=kind).input[0]
        for kind in (
            Boolean(theta=0.2, edge="separate"),
            Counting(theta=0.2, edge="separate"),
            Bottleneck(edge="separate"),
        )
    }
    both = (a >= 0.2) & (w >= 0.2)
    wanted = [both, both.double(), torch.minimum(a.clamp(min=0), w.clamp(min=0))]
    for got, want in zip(found.values(), wanted, strict=True):
        assert torch.equal(got, want)


def test_counts_beyond_double_precision_are_refused():
    model = nn.Sequential(*(nn.Linear(30, 30, bias=False) for _ in range(220))).double().eval()
    with torch.no_grad():
        for layer in model:
            layer.weight.fill_(1 / 30)
    x = torch.ones(1, 30, dtype=torch.float64)
    with refused(errors.NumericsError, "1.8e308", "Tropical"):
        lrp.explain(model, x, semiring="counting", composite=Uniform(rules.Zero()))
    assert float(lrp.explain(model, x, semiring="tropical", composite=Uniform(rules.Zero())).input.max()) == 0.0


def test_the_logarithm_of_counts_and_the_kernels_are_told():
    session = recorded("cnn")
    counts = session.relevance(semiring="counting")
    assert torch.equal(counts.log10("0"), counts["0"].log10())
    notes = {row.layer: row.note for row in session.coverage(semiring=Boolean(theta={"3": 0.2}))}
    assert "numba" in notes["3"]
    assert "θ = 0.2" in notes["3"]
    assert "θ = 1e-09" in notes["0"]
    assert "pooling: average" in notes["2"]
    assert "reference" in {row.layer: row.note for row in session.coverage(semiring=ByPaths())}["3"]
    assert "Quantile" in {row.layer: row.note for row in session.coverage(semiring=Bottleneck(theta="auto"))}["3"]


def test_bad_settings_are_refused():
    session = recorded("cnn")
    for theta in (-1.0, float("nan"), 0, "often", {"0": -2.0}):
        with refused(errors.LrpError, "theta|threshold"):
            Boolean(theta=theta)
    with refused(errors.InputError, "Real", "theta"):
        Real(theta={"0": 0.1})  # type: ignore[arg-type]
    with refused(errors.InputError, "Bottleneck", "every threshold"):
        Bottleneck(theta=0.1)
    with refused(errors.UnknownNameError, "layer", "nowhere"):
        session.relevance(semiring=Boolean(theta={"nowhere": 0.1}))
    with refused(errors.InputError, "seed"):
        session.relevance(semiring="boolean", seed="contrast")
    with refused(errors.UnknownNameError, "semiring", "viterbi"):
        session.relevance(semiring="viterby")
    with refused(errors.InputError, "further threshold", "bottleneck"):
        session.relevance(semiring="boolean").at(0.1)
    with refused(errors.InputError, "positive"):
        session.relevance(semiring="bottleneck").at(float("nan"))
    with refused(errors.InputError, "not conserved"):
        _ = session.relevance(semiring="boolean").ledger


def test_a_layer_without_edges_is_refused_with_advice():
    model = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1), nn.Linear(4, 2)).eval()
    with refused(errors.CoverageError, "'1'", "no edges", "override"):
        lrp.explain(model, torch.randn(1, 4), semiring="boolean")


@dataclass(frozen=True)
class BestTwo(Semiring):
    """The two best paths: an element is two numbers."""

    name = "best-two"
    zero = (0.0, 0.0)
    one = (1.0, 0.0)

    def add(self, a, b):
        return torch.cat([a, b], -1).sort(-1, descending=True).values[..., :2]

    def mul(self, a, b):
        return (a.unsqueeze(-1) * b.unsqueeze(-2)).flatten(-2).sort(-1, descending=True).values[..., :2]

    def encode(self, d):
        return torch.stack([d.abs(), torch.zeros_like(d)], -1)


@pytest.mark.parametrize("name", NETWORKS)
def test_elements_of_several_numbers_go_through_whole_networks(name):
    session = recorded(name)
    composite = Uniform(rules.Epsilon())
    best = session.relevance(semiring=Viterbi(normalise="sum", pooling="winner"), composite=composite)
    two = session.relevance(semiring=BestTwo(), composite=composite)
    for layer in session.layers:
        assert two[layer].shape == (*best[layer].shape, 2)
        torch.testing.assert_close(two[layer][..., 0], best[layer], rtol=1e-10, atol=1e-14)
    assert bool((two.input[..., 1] <= two.input[..., 0]).all())
    assert float(two.input[..., 1].max()) > 0


def test_profiles_are_values():
    assert Boolean(theta={"a": 0.1}) == Boolean(theta={"a": 0.1})
    assert hash(Boolean(theta="auto")) == hash(Boolean(theta=Quantile()))
    assert isinstance(Boolean(theta="vgg16").theta, PerLayer)


@pytest.mark.parametrize("semiring", [Viterbi(), Viterbi(normalise="sum", pooling="winner"), Viterbi(edge="separate")])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_best_path_goes_from_the_input_to_the_target_by_the_edges_that_made_it(name, semiring):
    session = recorded(name)
    found = session.relevance(target=1, semiring=semiring)
    index = tuple(int(i) for i in (found.input[1] == found.input[1].max()).nonzero()[0])
    path = session.best_path(index, example=1, target=1, semiring=semiring)
    assert path[0].layer == "input"
    assert path[0].index == index
    assert (path[-1].layer, path[-1].index, path[-1].edge) == (session.graph.output, (1,), 1.0)
    users = session.graph.consumers
    for step, onward in itertools.pairwise(path):
        assert onward.layer in [user.name for user in users[step.layer]]
        assert step.strength == pytest.approx(float(found[step.layer][(1, *step.index)]), rel=1e-9)
    product = math.prod(step.edge for step in path)
    assert product == pytest.approx(path[0].strength / path[-1].strength, rel=1e-9)


def test_a_best_path_that_is_not_there_is_refused():
    session = recorded("mlp")
    with refused(errors.InputError, "index"):
        session.best_path((0, 0))
    with refused(errors.InputError, "example"):
        session.best_path((0, 0, 0), example=7)
    with refused(errors.InputError, "Viterbi"):
        session.best_path((0, 0, 0), semiring="boolean")
    with refused(errors.InputError, "no path"):
        zeros = lrp.Session(session._reading.model, torch.zeros(1, 2, 6, 6, dtype=torch.float64))
        zeros.best_path((0, 0, 0))

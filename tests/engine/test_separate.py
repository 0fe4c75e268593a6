"""Edges that are activations and weights by themselves, each with a threshold of its own; relevance put in, too."""

from functools import cache

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import errors
from lrp_explorer.semirings import Apart, Boolean, Bottleneck, Counting, PerLayer, Quantile, Size, Viterbi

NAMES = ("0", "2", "4")


def build():
    torch.manual_seed(4)
    layers = (nn.Conv2d(2, 3, 2), nn.ReLU(), nn.AvgPool2d(2, 1, 1), nn.Flatten(), nn.Linear(75, 3))
    model = nn.Sequential(*layers).double().eval()
    with torch.no_grad():
        model[4].weight *= 4
        model[4].bias += 2
    return model


@pytest.fixture(scope="module")
def session():
    return lrp.Session(build(), 2 * torch.randn(2, 2, 5, 5, dtype=torch.float64), device="cpu")


@cache
def matrices(session):
    """Activations of every layer with edges, and its weights as a matrix (inputs, outputs); ones for the pooling."""
    model, found = build(), {}
    value = session.record.value
    for name, source in (("0", "input"), ("2", "1"), ("4", "3")):
        x = value(source)
        leaf = torch.zeros(x.shape[1:], dtype=torch.float64)
        module = model[int(name)]
        jacobian = torch.autograd.functional.jacobian(lambda a, m=module: m(a[None])[0] - m(a[None] * 0)[0], leaf)
        matrix = jacobian.flatten(leaf.dim() * -1).flatten(0, -2).T
        found[name] = (x.flatten(1), matrix)
    return found


def by_equation(session, target, activation, weight, relevance, size=lambda v: v):
    """R_j = ⊕_k Θ_a(a_j) ⊗ Θ_w(w_jk) ⊗ R_k, counted: with numbers for each layer, path by path in matrices."""
    logits = session.logits
    r = torch.zeros_like(logits)
    r[:, target] = (size(logits[:, target]) >= relevance).double()
    for name in reversed(NAMES):
        a, w = matrices(session)[name]
        edges = (w != 0) if name == "2" else size(w) >= weight[name]
        r = (size(a) >= activation[name]) * (r @ edges.double().T)
    return r


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("semiring", [Boolean, Counting])
def test_by_the_equation_in_matrices(session, semiring, absolute):
    size = torch.abs if absolute else lambda v: v
    f = float(size(session.logits[0, 1]))
    cases = [
        ((0.1, 0.02, None), {"activation": 0.1, "weight": 0.02},
         dict.fromkeys(NAMES, 0.1), dict.fromkeys(NAMES, 0.02), -9.0),
        (({"0": 0.3}, 0.05, f), {"activation": {"0": 0.3}, "weight": 0.05, "relevance": f},
         {"0": 0.3, "2": 1e-9, "4": 1e-9}, dict.fromkeys(NAMES, 0.05), f),
        ((0.2, {"4": 0.04}, f + 1e-9), {"activation": 0.2, "weight": {"4": 0.04}, "relevance": f + 1e-9},
         dict.fromkeys(NAMES, 0.2), {"0": 1e-9, "4": 0.04}, f + 1e-9),
    ]  # fmt: skip
    for triple, named, activation, weight, relevance in cases:
        wanted = by_equation(session, 1, activation, weight, relevance, size)
        for theta in (triple, named, list(triple)):
            algebra = semiring(theta=theta, edge="separate", absolute=absolute)
            found = session.relevance(target=1, semiring=algebra).input.flatten(1).double()
            assert torch.equal(found, wanted if semiring is Counting else (wanted > 0).double())
    assert bool((by_equation(session, 1, *cases[0][2:], size) > 0).any())
    # The logit of the first example is just below the threshold of relevance.
    assert not bool(wanted[0].any())


def test_one_number_serves_activations_and_weights(session):
    for theta in (0.05, {"4": 0.04}, "size", Quantile(0.2)):
        one = session.relevance(target=1, semiring=Counting(theta=theta, edge="separate", absolute=True))
        three = session.relevance(
            target=1, semiring=Counting(theta=(theta, theta, None), edge="separate", absolute=True)
        )
        assert all(torch.equal(one[layer], three[layer]) for layer in session.layers)
        assert float(one.input.max()) > 0


def test_signs_alone(session):
    found = session.relevance(target=1, semiring=Counting(theta=(0, 0, 0), strict=True, edge="separate")).input
    tiny = dict.fromkeys(NAMES, 1e-300)
    assert torch.equal(found.flatten(1), by_equation(session, 1, tiny, tiny, 1e-300))


def test_weakest_edges_are_compared_afterwards(session):
    for theta in ((0.1, 0.02, 0.25), ({"0": 0.3}, 0.05, None), (Quantile(0.3), {"0": 0.02}, None)):
        every = session.relevance(target=1, semiring=Bottleneck(theta=theta, edge="separate"))
        one = session.relevance(target=1, semiring=Boolean(theta=theta, edge="separate"))
        assert all(torch.equal(every.at(1.0)[layer], one[layer]) for layer in session.layers)
        assert bool(one.input.any())
        assert not bool(one.input.all())
    every = session.relevance(target=1, semiring=Bottleneck(theta=(0.1, 0.02, 0.25), edge="separate"))
    doubled = session.relevance(target=1, semiring=Boolean(theta=(0.2, 0.04, 0.5), edge="separate"))
    assert torch.equal(every.at(2.0).input, doubled.input)


def test_quantiles_are_of_the_layers_own_activations_and_weights(session):
    algebra = Counting(theta=(Quantile(0.2), Quantile(0.3), None), edge="separate")
    found = session.relevance(target=1, semiring=algebra).input.flatten(1)
    for example in range(2):
        activation, weight = {"2": 1e-9}, {}
        for name in ("0", "4"):
            a, _ = matrices(session)[name]
            w = build()[int(name)].weight.detach()
            activation[name] = float(torch.quantile(a[example][a[example] > 0], 0.2))
            weight[name] = float(torch.quantile(w[w > 0], 0.3))
        wanted = by_equation(session, 1, activation, weight, -9.0)
        assert torch.equal(found[example], wanted[example])
        assert float(found[example].max()) > 0


def test_a_batch_norm_by_itself_compares_its_factor():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([0.3, -0.5, 0.8, 0.1]))
        model[0].bias.fill_(2.0)
        model[2].weight.fill_(1.0)
    x = torch.tensor([[1.0, 1.0, 0.2, 1.0]], dtype=torch.float64)
    for absolute, wanted in ((False, [1, 0, 0, 0]), (True, [1, 1, 0, 0])):
        algebra = Counting(theta=(0.4, 0.25, None), edge="separate", absolute=absolute)
        found = lrp.explain(model, x, target=0, semiring=algebra, device="cpu").input
        assert found.tolist() == [wanted]


def test_the_thresholds_are_told(session):
    semiring = Boolean(theta=({"0": 0.3}, 0.05, 0.7), edge="separate")
    notes = {row.layer: row.note for row in session.coverage(semiring=semiring)}
    assert "θ of activations = 0.3, of weights = 0.05" in notes["0"]
    assert "θ of activations = 1e-09" in notes["2"]
    assert "weights" not in notes["2"]
    assert "θ of relevance = 0.7" in notes["4"]


def test_thresholds_apart_are_values():
    one = Boolean(theta={"weight": 0.1, "activation": "auto"}, edge="separate")
    assert one == Boolean(theta=("auto", 0.1, None), edge="separate") == Boolean(theta=one.theta, edge="separate")
    assert hash(one) == hash(Boolean(theta=(Quantile(), 0.1, None), edge="separate"))
    assert one.theta == Apart(Quantile(), 0.1, None)
    assert Boolean(theta=("size", {"a": 0.1}, 2), edge="separate").theta == Apart(Size(), PerLayer((("a", 0.1),)), 2.0)


@pytest.mark.parametrize(
    ("theta", "words"),
    [
        ((0.1, 0.2), ["three", "activation, weight, relevance"]),
        ((0.1, -0.2, 0.3), ["weight", "-0.2", "positive"]),
        ((float("nan"), 0.2, None), ["activation", "nan"]),
        ((0.1, 0, None), ["weight", "is 0", "strict"]),
        ((0.1, True, None), ["weight", "True"]),
        ((0.1, None, None), ["weight", "None"]),
        ((0.1, "often", None), ["profile", "often"]),
        ((0.1, 0.1, "auto"), ["relevance", "one output", "logit"]),
        ((0.1, 0.1, {"4": 0.1}), ["relevance", "one output"]),
        ((0.1, 0.1, -1.0), ["relevance", "-1.0"]),
        ({"activation": {"0": -1.0}}, ["activation", "'0'", "-1.0"]),
        ((0.1, (0.1, 0.1, None), None), ["weight", "positive number"]),
    ],
)
def test_thresholds_that_are_refused(theta, words):
    for kind in (Boolean, Counting, Bottleneck):
        with refused(errors.LrpError, *words):
            kind(theta=theta, edge="separate")


def test_thresholds_that_belong_elsewhere_are_refused(session):
    for theta in ((0.1, 0.1, None), [0.1, 0.1, None], Apart(0.1, 0.1)):
        with refused(errors.InputError, "activation, weight, relevance", "edge='separate'"):
            Boolean(theta=theta)
    with refused(errors.UnknownNameError, "layer", "nowhere"):
        session.relevance(semiring=Boolean(theta=(0.1, {"nowhere": 0.1}, None), edge="separate"))
    with refused(errors.InputError, "Bottleneck", "every threshold"):
        Bottleneck(theta=0.1, edge="separate")
    with refused(TypeError, "theta"):
        Viterbi(theta=(0.1, 0.1, None))  # type: ignore[call-arg]


def test_a_threshold_that_precision_rounds_to_nothing_is_refused():
    model, x = build().float(), torch.randn(1, 2, 5, 5)
    for semiring in (
        Boolean(theta=1e-50), Counting(theta={"0": 1e-60}), Bottleneck(theta={"0": 1e-60}),
        Boolean(theta=(0.1, 1e-50, None), edge="separate"), Counting(theta=(0.1, 0.1, 1e-50), edge="separate"),
    ):  # fmt: skip
        with refused(errors.InputError, "theta is 1e-[56]0", "float32", "rounds", "float64"):
            lrp.explain(model, x, semiring=semiring, device="cpu")
        assert lrp.explain(model.double(), x.double(), semiring=semiring, device="cpu").input.shape == x.shape
        model.float()
    strict = lrp.explain(model, x, semiring=Boolean(theta=1e-50, strict=True), device="cpu")
    assert torch.equal(strict.input, lrp.explain(model, x, semiring=Boolean(theta=0, strict=True), device="cpu").input)

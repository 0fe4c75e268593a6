"""Every rule equals its dense-matrix oracle, layer by layer, on whole random networks."""

import copy
import inspect
from functools import cache

import numpy as np
import pytest
import torch
from oracles.dense import ORACLES
from oracles.nets import Case, conv_case, dense_case
from oracles.products import Attend, Gated, Product
from oracles.walk import Branches, Folded, Sum, explain
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules

TOLERANCE = 1e-12
RULES = {
    "Zero": [rules.Zero(), rules.Zero(1e-2, bias="ignore")],
    "Epsilon": [
        rules.Epsilon(),
        rules.Epsilon(0.1, bias="ignore"),
        rules.Epsilon(0.3, relative="std"),
        rules.Epsilon(0.25, relative="rms"),
        rules.Epsilon(0.3, relative="std", bias="ignore"),
    ],
    "Gamma": [rules.Gamma(), rules.Gamma(1.5), rules.Gamma(0.0), rules.Gamma(0.4, bias="ignore")],
    "AlphaBeta": [rules.AlphaBeta(), rules.AlphaBeta(1.0, 0.0), rules.AlphaBeta(3.5, 2.5, bias="ignore")],
    "ZPlus": [rules.ZPlus(), rules.ZPlus(bias="ignore")],
    "WSquare": [rules.WSquare(), rules.WSquare(bias="ignore")],
    "Flat": [rules.Flat()],
}
EVERYWHERE = [rule for found in RULES.values() for rule in found]
# Networks in which no neuron cancels so far that rounding alone would be more than the tolerance.
CONV_SEEDS, DENSE_SEEDS = (0, 8, 15, 20, 27, 28), (1, 12)
CASES = [("conv", seed) for seed in CONV_SEEDS] + [("dense", seed) for seed in DENSE_SEEDS]


def has(seed, kind):
    return any(isinstance(module, kind) for module in drawn("conv", seed).net.modules())


@cache
def drawn(kind, seed):
    return (conv_case if kind == "conv" else dense_case)(seed)


@cache
def recorded(kind, seed, signed):
    case = drawn(kind, seed)
    case = case if signed else case._replace(x=case.x.abs())
    return case, lrp.Session(case.net, case.x, device="cpu")


def at(target):
    """Seed relevance: the logit of each example's target, 0 elsewhere."""

    def seed(logits):
        start = np.zeros_like(logits)
        rows = np.arange(len(logits))
        start[rows, target] = logits[rows, target]
        return start

    return seed


def uniform(rule):
    """Rules by module: `rule` where there are weights; LRP-0 and ε in the other linear layers too."""
    shares = rule if isinstance(rule, rules.Zero | rules.Epsilon) else rules.Epsilon(1e-6)

    def rule_of(name, module):
        if isinstance(module, nn.MaxPool2d | Gated):
            return rules.Winner() if isinstance(module, nn.MaxPool2d) else rules.Signal()
        if isinstance(module, Sum) and shares is not rule:
            # None of the networks has a ReLU behind a sum, which would make the split a signed one.
            return rules.Magnitude(1e-6)
        return rule if isinstance(module, nn.Linear | nn.Conv2d | Folded) else shares

    return rule_of


def weighted(net):
    return [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def first(net):
    return weighted(net)[0]


def overridden(rule_of, others):
    return lambda name, module: others.get(name) or rule_of(name, module)


def assert_equal(case, session, composite, rule_of):
    expected, logits = explain(case.net, case.x, at(case.target.numpy()), rule_of)
    found = session.relevance(target=case.target, composite=composite)
    np.testing.assert_allclose(found.logits.numpy(), logits, rtol=1e-12)
    assert torch.equal(found.input, found["input"])
    for name, wanted in expected.items():
        if name not in found.layers and isinstance(case.net.get_submodule(name), nn.Dropout | nn.Identity):
            continue
        got = found[name].numpy()
        assert got.shape == wanted.shape, name
        scale = np.abs(wanted).max()
        assert scale > 0, f"{name}: no relevance arrives, so nothing is compared"
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE * scale, err_msg=name)


@pytest.mark.parametrize("signed", [False, True], ids=["non-negative", "signed"])
@pytest.mark.parametrize(("kind", "seed"), CASES)
@pytest.mark.parametrize("rule", EVERYWHERE, ids=repr)
def test_one_rule_everywhere(rule, kind, seed, signed):
    case, session = recorded(kind, seed, signed)
    assert_equal(case, session, lrp.composites.Uniform(rule), uniform(rule))


@pytest.mark.parametrize("signed", [False, True], ids=["non-negative", "signed"])
@pytest.mark.parametrize(("kind", "seed"), CASES)
@pytest.mark.parametrize("rule", [rules.ZBox(-4.0, 4.5), rules.ZBox(0.0, 5.0)], ids=repr)
def test_a_box_on_the_first_layer(rule, kind, seed, signed):
    case, session = recorded(kind, seed, signed)
    others = rules.Epsilon(0.01)
    composite = lrp.composites.Uniform(others).override({first(case.net): rule})
    assert_equal(case, session, composite, overridden(uniform(others), {first(case.net): rule}))


@pytest.mark.parametrize("bound", ["channels", "pixels"])
def test_a_box_with_bounds_per_channel_or_pixel(bound):
    case, session = recorded("conv", 0, True)
    low, high = case.x.amin((0, 2, 3)) - 0.1, case.x.amax((0, 2, 3)) + 0.1
    if bound == "pixels":
        low, high = case.x.amin(0), case.x.amax(0)
    else:
        low, high = tuple(low.tolist()), tuple(high.tolist())
    rule, others = rules.ZBox(low, high), rules.ZPlus()
    composite = lrp.composites.Uniform(others).override({first(case.net): rule})
    assert_equal(case, session, composite, overridden(uniform(others), {first(case.net): rule}))


MIXED = {"conv": (20, 28), "dense": (1, 12)}


@pytest.mark.parametrize("kind", MIXED)
@pytest.mark.parametrize("turn", range(6))
def test_a_different_rule_in_every_layer(kind, turn):
    found = [
        rules.Gamma(0.7),
        rules.Flat(),
        rules.AlphaBeta(),
        rules.WSquare(),
        rules.Gamma(2.0),
        rules.ZBox(-5.0, 6.0),
    ]
    for seed in MIXED[kind]:
        case, session = recorded(kind, seed, True)
        mixed = dict(zip(weighted(case.net), found[turn:] + found[:turn], strict=False))
        default = rules.Epsilon(0.2, relative="rms")
        composite = lrp.composites.Uniform(default).override(mixed)
        assert_equal(case, session, composite, overridden(uniform(default), mixed))


# A stabiliser too small to matter: whether it is added to a window's sum or to its mean makes no difference.
AVERAGE = rules.Average(1e-15)


@pytest.mark.parametrize("seed", [seed for seed in CONV_SEEDS if has(seed, nn.MaxPool2d)])
def test_max_pooling_as_average_pooling(seed):
    case, session = recorded("conv", seed, False)
    pools = {name: AVERAGE for name, m in case.net.named_modules() if isinstance(m, nn.MaxPool2d)}
    others = rules.ZPlus()
    composite = lrp.composites.Uniform(others).override(pools)
    assert_equal(case, session, composite, overridden(uniform(others), pools))


@pytest.mark.parametrize("rule", [rules.Winner(), AVERAGE], ids=repr)
def test_max_pooling_over_spread_windows(rule):
    torch.manual_seed(2)
    net = nn.Sequential(nn.MaxPool2d((2, 3), stride=1, dilation=2, padding=(1, 0)), nn.Flatten(), nn.Linear(24, 4))
    case = Case(net.double().eval(), torch.rand(3, 1, 6, 8, dtype=torch.float64), torch.tensor([2, 0, 3]))
    session = lrp.Session(case.net, case.x, device="cpu")
    others = rules.Epsilon()
    assert_equal(
        case, session, lrp.composites.Uniform(others).override({"0": rule}), overridden(uniform(others), {"0": rule})
    )


@pytest.mark.parametrize("rule", [rules.Pass(), rules.Gamma(0.5), rules.ZPlus(bias="ignore")], ids=repr)
def test_a_batch_norm_that_stands_alone(rule):
    seed = next(seed for seed in CONV_SEEDS if has(seed, Sum))
    case, session = recorded("conv", seed, True)
    norms = {f"{n}.branch.0": rule for n, m in case.net.named_modules() if isinstance(m, Sum)}
    others = rules.Epsilon(0.01)
    composite = lrp.composites.Uniform(others).override(norms)
    assert_equal(case, session, composite, overridden(uniform(others), norms))


def test_single_precision_agrees_with_double():
    case, _ = recorded("conv", 20, True)
    session = lrp.Session(conv_case(20).net.float(), case.x.float(), device="cpu")
    for rule in (rules.Epsilon(0.01), rules.Gamma(), rules.ZPlus()):
        expected, _ = explain(case.net, case.x, at(case.target.numpy()), uniform(rule))
        found = session.relevance(target=case.target, composite=lrp.composites.Uniform(rule)).input
        assert found.dtype == torch.float32
        scale = np.abs(expected["input"]).max()
        np.testing.assert_allclose(found.numpy() / scale, expected["input"] / scale, rtol=0, atol=1e-4)


def pictures(*layers):
    return nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.Tanh(), *layers, nn.Flatten(), nn.Linear(96, 4))


def vectors(width, layer, wide):
    return nn.Sequential(nn.Linear(11, width), nn.Tanh(), layer, nn.Linear(wide, 4))


@pytest.mark.parametrize("split", ["signed", "magnitude", "auto"])
@pytest.mark.parametrize("behind", [nn.ReLU(), nn.Tanh()], ids=repr)
def test_the_split_of_a_sum(split, behind):
    torch.manual_seed(9)
    net = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), Sum(nn.Linear(7, 7)), behind, nn.Linear(7, 4)).double().eval()
    case = Case(net.requires_grad_(False), torch.randn(3, 6, dtype=torch.float64), torch.tensor([2, 0, 3]))
    signed = split == "signed" or (split == "auto" and isinstance(behind, nn.ReLU))
    shared = rules.Epsilon(1e-6) if signed else rules.Magnitude(1e-6)
    composite = lrp.composites.Uniform(rules.ZPlus(), split=split)
    session = lrp.Session(case.net, case.x, device="cpu")
    assert_equal(case, session, composite, overridden(uniform(rules.ZPlus()), {"2": shared}))


ACTIVATIONS = [
    *(nn.ReLU(), nn.ReLU(True), nn.ReLU6(), nn.Hardtanh(0.0, 1.0), nn.Hardtanh(), nn.Hardtanh(0.5, 3.0), nn.ELU()),
    *(nn.Softplus(), nn.Sigmoid(), nn.GELU(), nn.Hardswish(), nn.PReLU(), nn.Softshrink(), nn.Hardsigmoid()),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_what_is_known_of_an_activation_changes_no_number(activation):
    """Shortcuts, such as terms left out because an input cannot be negative, must be allowed where they are taken."""
    torch.manual_seed(10)
    layers = nn.Linear(6, 9), activation, nn.Linear(9, 9), copy.deepcopy(activation), nn.Linear(9, 4)
    net = nn.Sequential(*layers).double().eval().requires_grad_(False)
    net[0].weight.mul_(8.0)
    case = Case(net, torch.randn(3, 6, dtype=torch.float64), torch.tensor([2, 0, 3]))
    session = lrp.Session(net, case.x, device="cpu")
    for rule in (rules.Gamma(), rules.Gamma(bias="ignore"), rules.ZPlus(), rules.AlphaBeta()):
        for top in (rule, rules.Flat(), rules.Epsilon(0.1, relative="rms")):
            composite = lrp.composites.Uniform(rule).override({"4": top})
            assert_equal(case, session, composite, overridden(uniform(rule), {"4": top}))


OTHER_LAYERS = {
    "one axis": (nn.Conv1d(3, 4, 3, stride=2, padding=1), (3, 9)),
    "three axes": (nn.Conv3d(2, 3, 2, padding=(1, 0, 1)), (2, 3, 4, 3)),
    "same, even kernel": (nn.Conv2d(2, 3, (2, 3), padding="same", dilation=(1, 2)), (2, 5, 6)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), (4, 5, 5)),
    "transposed": (nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1), (3, 3, 4)),
    "transposed, grouped": (nn.ConvTranspose1d(4, 6, 3, groups=2, bias=False), (4, 6)),
    "transposed, normed": (Folded(nn.ConvTranspose2d(2, 3, 2), nn.BatchNorm2d(3)), (2, 4, 4)),
    "dense, normed": (Folded(nn.Linear(7, 5, bias=False), nn.BatchNorm1d(5, affine=False)), (7,)),
    "dense over rows": (nn.Linear(4, 5), (3, 4)),
}
LAYER_RULES = [
    *(rules.Epsilon(0.3, relative="std"), rules.Gamma(0.8), rules.AlphaBeta(), rules.ZPlus(bias="ignore")),
    *(rules.ZBox(-4.0, 4.5), rules.WSquare(), rules.Flat()),
]


@pytest.mark.parametrize("layer", OTHER_LAYERS)
def test_other_linear_layers(layer):
    torch.manual_seed(7)
    module, shape = OTHER_LAYERS[layer]
    x = torch.randn(3, *shape, dtype=torch.float64)
    net = nn.Sequential(module.double().eval(), nn.Tanh(), nn.Flatten())
    net = nn.Sequential(*net, nn.Linear(net(x).shape[1], 4).double()).eval().requires_grad_(False)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    case, session = Case(net, x, torch.tensor([2, 0, 3])), lrp.Session(net, x, device="cpu")
    name, others = "0.0" if isinstance(module, Folded) else "0", rules.Epsilon(0.01)
    for rule in LAYER_RULES:
        composite = lrp.composites.Uniform(others).override({name: rule})
        assert_equal(case, session, composite, overridden(uniform(others), {name: rule}))


# Rules of layers of one kind, each on the third layer of a network that holds such a layer there.
PARTICULAR = [
    (rules.LRNTaylor(1e-3), pictures(nn.LocalResponseNorm(4, alpha=3.0, beta=0.6, k=1.5))),
    (rules.LRNTaylor(), pictures(nn.LocalResponseNorm(1, alpha=0.5, beta=1.0, k=2.0))),
    (rules.LRNIdentity(), pictures(nn.LocalResponseNorm(5))),
    (rules.Magnitude(1e-3), pictures(Sum(nn.Conv2d(6, 6, 3, padding=1)))),
    (rules.Gradient(), pictures(nn.Conv2d(6, 6, 3, padding=1))),
    (rules.Gradient(), pictures(nn.AvgPool2d(3, 1, 1))),
    (rules.NormIdentity(), vectors(9, nn.LayerNorm(9), 9)),
    (rules.SoftmaxTaylor(), vectors(9, nn.Softmax(1), 9)),
    (rules.EqualSplit(1e-3), vectors(18, Product(2, 3, 4), 8)),
    (rules.Attention(), vectors(24, Attend(4, 2), 8)),
    (rules.Attention(through_softmax=False), vectors(24, Attend(4, 2), 8)),
]


@pytest.mark.parametrize(("rule", "net"), PARTICULAR, ids=[repr(rule) for rule, _ in PARTICULAR])
def test_rules_of_one_kind_of_layer(rule, net):
    torch.manual_seed(5)
    net = net.double().eval().requires_grad_(False)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(3, *((3, 10, 9) if isinstance(net[0], nn.Conv2d) else (11,)), dtype=torch.float64)
    case = Case(net, x, torch.tensor([2, 0, 3]))
    others, session = rules.Epsilon(0.01), lrp.Session(net, x, device="cpu")
    # What a module does in several operations has the rule on one of them.
    ops = {Sum: "add", Product: "matmul", Attend: "scaled_dot_product_attention"}
    op = ops.get(type(net[2]))
    layer = "2" if op is None else next(row.layer for row in session.coverage("epsilon-plus") if row.op == op)
    composite = lrp.composites.Uniform(others).override({layer: rule})
    assert_equal(case, session, composite, overridden(uniform(others), {"2": rule}))


def test_the_networks_hold_every_kind_of_layer():
    kinds = [nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.ReLU, nn.LeakyReLU]
    for kind in [*kinds, nn.SiLU, nn.BatchNorm2d, Branches, Folded, Sum, Gated]:
        assert any(has(seed, kind) for seed in CONV_SEEDS), kind
    convs = [m for seed in CONV_SEEDS for m in drawn("conv", seed).net.modules() if isinstance(m, nn.Conv2d)]
    for trait in ("stride", "dilation", "groups", "padding"):
        assert len({getattr(conv, trait) for conv in convs}) > 1, trait


def test_every_public_rule_has_an_oracle_and_is_tested():
    public = {entry for entry in vars(rules).values() if inspect.isclass(entry) and issubclass(entry, rules.Rule)}
    # Abstract or final: what others derive from is no rule of its own.
    final = {rule.__name__ for rule in public if not rule.__subclasses__()}
    assert final == set(ORACLES)
    assert {*RULES, "ZBox", "Pass", "Winner", "Average", "Signal", *(type(r).__name__ for r, _ in PARTICULAR)} == set(
        ORACLES
    )

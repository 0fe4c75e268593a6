"""Norms by the example's own statistics: R_j = x_j [Jᵀ (R / S(y))]_j with J the Jacobian at constant deviation."""

import copy

import pytest
import torch
from oracles.eager import Recipe, explain
from oracles.steps import epsilon, gamma
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlus, Uniform

ZERO = Uniform(rules.Zero(stabilizer=0.0))


def standardised(x, axes, eps=1e-5):
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.pow(2).mean(axes, keepdim=True) + eps).sqrt()


def moved(norm, x):
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def group_by_hand(norm, x):
    grouped = x.reshape(x.shape[0], norm.num_groups, -1)
    mean, var = grouped.mean(2, keepdim=True), grouped.var(2, unbiased=False, keepdim=True)
    return _channels((grouped - mean) / torch.sqrt(var + norm.eps), norm, x)


def instance_by_hand(norm, x):
    centred = x - x.mean((2, 3)).unsqueeze(-1).unsqueeze(-1)
    return _channels(centred * torch.rsqrt(centred.square().mean((2, 3), True) + norm.eps), norm, x)


def _channels(y, norm, x):
    y = y.reshape(x.shape)
    return y if norm.weight is None else y * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)


def first_axis_by_hand(norm, x):
    mean = x.mean(1, keepdim=True)
    y = (x - mean) * (1 / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + norm.eps))
    return norm.weight[:, None, None] * y + norm.bias[:, None, None]


# The module, the function that it computes written out, and how the module is called if not plainly.
SHAPE = (4, 3, 5)
NORMS = {
    "last axis": (nn.LayerNorm(5), lambda m, x: standardised(x, -1) * m.weight + m.bias),
    "all axes": (nn.LayerNorm(SHAPE, eps=0.1), lambda m, x: standardised(x, (1, 2, 3), 0.1) * m.weight + m.bias),
    "two axes, no bias": (nn.LayerNorm((3, 5), bias=False), lambda m, x: standardised(x, (-2, -1)) * m.weight),
    "without weights": (nn.LayerNorm(5, elementwise_affine=False), lambda m, x: standardised(x, -1)),
    "function": (nn.LayerNorm(5), lambda m, x: standardised(x, -1) * m.weight + m.bias,
                 lambda m, x: F.layer_norm(x, (5,), m.weight, m.bias)),
    "channels last": (nn.LayerNorm(4), first_axis_by_hand, moved),
    "groups": (nn.GroupNorm(2, 4), group_by_hand),
    "groups, without weights": (nn.GroupNorm(2, 4, affine=False), group_by_hand),
    "one group": (nn.GroupNorm(1, 4), group_by_hand),
    "instance": (nn.InstanceNorm2d(4, affine=True), instance_by_hand),
    "instance, without weights": (nn.InstanceNorm2d(4), instance_by_hand),
    "root mean square": (nn.RMSNorm(5, eps=1e-3),
                         lambda m, x: m.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3))),
    "root mean square, its inverse": (nn.RMSNorm(5, eps=1e-3),
                                      lambda m, x: x * (1 / (x.square().mean(-1, True) + 1e-3).sqrt()) * m.weight),
}  # fmt: skip


class Norms(nn.Module):
    """Every norm behind a layer of its own, all of them joined; as modules or written out."""

    def __init__(self, written):
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList(nn.Conv2d(2, 4, 1) for _ in NORMS)
        self.norms = nn.ModuleList(copy.deepcopy(norm) for norm, *_ in NORMS.values())
        self.head, self.written = nn.Linear(60 * len(NORMS), 3), written
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, x):
        found = []
        for conv, norm, (_, by_hand, *called) in zip(self.convs, self.norms, NORMS.values(), strict=True):
            apply = by_hand if self.written else called[0] if called else lambda m, x: m(x)
            found.append(apply(norm, conv(x)).flatten(1))
        return self.head(torch.cat(found, 1))


@pytest.fixture(scope="module")
def sessions():
    x = torch.randn(2, 2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return [lrp.Session(Norms(written).double().eval(), x, device="cpu") for written in (False, True)]


def norms():
    """Modules as those of the sessions are."""
    return Norms(False).double().eval().norms


def close(found, wanted, tolerance=1e-10):
    assert wanted.abs().max() > 0
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


# Sums may be shared in any way: a value less its own mean is one linear map, and no sum of branches.
SPLITS = [ZERO, *(EpsilonPlus(0.0, split=split) for split in ("auto", "signed", "magnitude"))]


@pytest.mark.parametrize("composite", SPLITS, ids=repr)
def test_a_norm_and_its_formula_are_explained_alike(sessions, composite):
    module, written = (session.relevance(target=1, composite=composite) for session in sessions)
    torch.testing.assert_close(module.logits, written.logits, rtol=1e-12, atol=0)
    for place, name in enumerate(NORMS):
        found, wanted = module[f"convs.{place}"], written[f"convs.{place}"]
        assert wanted.abs().max() > 0, name
        assert (found - wanted).abs().max() <= 1e-10 * wanted.abs().max(), name
    close(module.input, written.input)


CONSTANT = [
    rules.Epsilon(),
    rules.Epsilon(0.3),
    rules.Epsilon(0.3, bias="ignore"),
    rules.Epsilon(0.2, relative="std"),
    rules.Epsilon(0.2, relative="rms", bias="ignore"),
    rules.Zero(stabilizer=0.0),
]


@pytest.mark.parametrize("rule", CONSTANT, ids=repr)
def test_norms_share_by_the_jacobian_at_constant_deviation(sessions, rule):
    session = sessions[0]
    found = session.relevance(
        target=torch.tensor([2, 0]), composite=EpsilonPlus() if rule == CONSTANT[0] else Uniform(rule)
    )
    layers = [node for node in session.graph if node.kind == "layer_norm"]
    assert len(layers) == len(NORMS)
    for node, norm in zip(layers, norms(), strict=True):
        x = session.record.value(node.inputs[0])
        close(found[node.inputs[0]], by_jacobian(norm, x, found[node.name], rule), 1e-12)


def by_jacobian(norm, x, upper, rule):
    """The rule written down, pair of neurons by pair, example by example."""
    if isinstance(norm, nn.RMSNorm):
        return upper
    rows = []
    for a, r in zip(x.split(1), upper.split(1), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda a: at_constant_deviation(norm, a), a)
        contributions = jacobian.reshape(a.numel(), a.numel()) * a.flatten()
        bias = (norm(a) - at_constant_deviation(norm, a)).flatten().detach()
        z = contributions.sum(1) + (bias if rule.bias == "absorb" else 0.0)
        size = {None: 1.0, "std": z.std(correction=0), "rms": z.square().mean().sqrt()}[rule.relative]
        stable = z + rule.stabilizer * size * torch.where(z < 0, -1.0, 1.0).double()
        rows.append((contributions / stable[:, None] * r.flatten()[:, None]).sum(0).reshape(a.shape))
    return torch.cat(rows)


def at_constant_deviation(norm, a):
    """What a norm computes of one example ``(1, ...)`` without its bias, its deviation no function of the example."""
    if isinstance(norm, nn.LayerNorm):
        split, axes, weight = a.shape, tuple(range(-len(norm.normalized_shape), 0)), norm.weight
    else:
        split, axes = (1, getattr(norm, "num_groups", 4), -1), 2
        weight = None if norm.weight is None else norm.weight.view(-1, 1, 1)
    grouped = a.reshape(split)
    deviation = (grouped.var(axes, correction=0, keepdim=True) + norm.eps).sqrt().detach()
    y = ((grouped - grouped.mean(axes, keepdim=True)) / deviation).reshape(a.shape)
    return y if weight is None else y * weight.detach()


# Written out in a form that is recognised whole, weight and bias included.
WHOLE = ("last axis", "all axes", "two axes, no bias", "without weights", "function", "channels last")


@pytest.mark.parametrize("composite", [EpsilonPlus(), Uniform(rules.Epsilon(0.3, bias="ignore"))], ids=repr)
def test_a_formula_that_is_recognised_has_one_stabiliser_as_the_module_has(sessions, composite):
    module, written = (session.relevance(target=1, composite=composite) for session in sessions)
    kinds = [node.op for node in sessions[1].graph].count("standardise")
    assert kinds == len(WHOLE) + 3
    for place, name in enumerate(NORMS):
        if name in WHOLE:
            close(module[f"convs.{place}"], written[f"convs.{place}"])


@pytest.mark.parametrize("bias", ["absorb", "ignore"])
def test_the_ledger_of_a_norm_adds_up(sessions, bias):
    found = sessions[0].relevance(target=1, composite=Uniform(rules.Epsilon(0.1, bias=bias)))
    rows = [row for row in found.ledger if row.kind == "layer_norm"]
    assert len(rows) == len(NORMS)
    for row, (name, (norm, *_)) in zip(rows[::-1], NORMS.items(), strict=True):
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert abs(missing) <= 1e-12 * max(row.magnitude, 1.0), name
        assert (row.to_bias != 0.0) is (bias == "absorb" and getattr(norm, "bias", None) is not None), name
        assert (row.to_epsilon != 0.0) is not isinstance(norm, nn.RMSNorm), name


def test_a_norm_can_be_passed_over(sessions):
    names = [node.name for node in sessions[0].graph if node.kind == "layer_norm"]
    composite = EpsilonPlus().override(dict.fromkeys(names, rules.NormIdentity()))
    found = sessions[0].relevance(target=1, composite=composite)
    for node in sessions[0].graph:
        if node.kind == "layer_norm":
            assert torch.equal(found[node.inputs[0]], found[node.name])


class Rectified(nn.Sequential):
    """ReLUs right before and right behind norms, where steps are spared: nothing flows where a ReLU is zero."""

    def __init__(self):
        rms, group = nn.RMSNorm(8, eps=1e-3), nn.GroupNorm(2, 8)
        norms = [nn.LayerNorm(8), nn.ReLU(), rms, nn.ReLU(), group, nn.ReLU(), nn.LayerNorm(8, bias=False), rms]
        pairs = [
            layer for norm in norms for layer in ((nn.Linear(8, 8), nn.ReLU(), norm) if norm is not rms else (rms,))
        ]
        super().__init__(*pairs, nn.Linear(8, 3))


@pytest.mark.parametrize("step", ["gamma", "epsilon"])
def test_relevance_around_a_relu_and_a_norm(step):
    torch.manual_seed(0)
    net = Rectified().double().eval().requires_grad_(False)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.7)
    x, target = torch.randn(4, 8, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    rule, oracle = {"gamma": (rules.Gamma(), gamma()), "epsilon": (rules.Epsilon(), epsilon(1e-6))}[step]
    wanted = explain(net, x, target, Recipe(oracle, oracle))
    found = lrp.explain(net, x, target, Uniform(rule), device="cpu")
    close(found.input, wanted.input, 1e-11)


NOT_NORMS = {
    "another value's mean": lambda x: (x - x.flip(1).mean(1, keepdim=True)) / (x.var(1, False, True) + 1e-5).sqrt(),
    "another value's deviation": lambda x: standard(x, x.flip(1) * 2),
    "over other axes": lambda x: (x - x.mean(1, keepdim=True)) / (x.var((1, 2), False, True) + 1e-5).sqrt(),
    "divided by n - 1": lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt(),
    "over the batch": lambda x: (x - x.mean(0, keepdim=True)) / (x.var(0, False, True) + 1e-5).sqrt(),
    "no root": lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, False, True) + 1e-5),
    "multiplied": lambda x: (x - x.mean(1, keepdim=True)) * (x.var(1, False, True) + 1e-5).sqrt(),
}


def standard(x, other):
    centred = other - other.mean(1, keepdim=True)
    return (x - x.mean(1, keepdim=True)) * torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-5)


class Each(nn.Module):
    """Functions of the input, one beside another."""

    def __init__(self, functions):
        super().__init__()
        self.functions = functions

    def forward(self, x):
        return torch.cat([function(x).flatten(1) for function in self.functions], 1)


def test_only_a_norm_is_taken_for_one():
    x = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = Each(list(NOT_NORMS.values())).eval()
    session = lrp.Session(model, x, device="cpu")
    assert "standardise" not in {node.op for node in session.graph}
    torch.testing.assert_close(session.logits, model(x), rtol=1e-12, atol=0)


def test_parts_of_a_norm_that_are_read_elsewhere_stay():
    def both(x):
        centred = x - x.mean(1, keepdim=True)
        return centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5).sqrt() + centred.sigmoid()

    x = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    session = lrp.Session(Each([both]).eval(), x, device="cpu")
    assert [node.op for node in session.graph if node.op in ("standardise", "sub", "pow")] == ["sub", "standardise"]
    torch.testing.assert_close(session.logits, both(x).flatten(1), rtol=1e-12, atol=0)

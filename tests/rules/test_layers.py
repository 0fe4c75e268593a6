"""Layers and rules of one kind, each against its oracle: other convolutions, sums, products, norms, activations."""

import copy

import pytest
import torch
from oracles.compare import AVERAGE, assert_equal, overridden, uniform
from oracles.nets import Case
from oracles.products import Attend, Product, SoftMaximum
from oracles.walk import Folded, Sum
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules


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


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
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


def pictures(*layers):
    return nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.Tanh(), *layers, nn.Flatten(), nn.Linear(96, 4))


def vectors(width, layer, wide):
    return nn.Sequential(nn.Linear(11, width), nn.Tanh(), layer, nn.Linear(wide, 4))


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
    (rules.SoftmaxShare(), vectors(12, SoftMaximum(3), 4)),
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
    ops = {Sum: "add", Product: "matmul", Attend: "scaled_dot_product_attention", SoftMaximum: "logsumexp"}
    op = ops.get(type(net[2]))
    layer = "2" if op is None else next(row.layer for row in session.coverage("epsilon-plus") if row.op == op)
    composite = lrp.composites.Uniform(others).override({layer: rule})
    assert_equal(case, session, composite, overridden(uniform(others), {"2": rule}))


class Heads(nn.Module):
    """Attention of four heads of queries; keys and values have two, repeated by hand or by the operation."""

    def __init__(self, grouped, causal):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(5, 12), nn.Linear(5, 6), nn.Linear(5, 6)
        self.head, self.grouped, self.causal = nn.Linear(12, 4), grouped, causal

    def forward(self, x):
        query, key, value = (
            layer(x).unflatten(-1, (-1, 3)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        if not self.grouped:
            key, value = key.repeat_interleave(2, 1), value.repeat_interleave(2, 1)
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=self.causal, enable_gqa=self.grouped
        )
        return self.head(attended.transpose(1, 2).flatten(2).mean(1))


@pytest.mark.parametrize("through_softmax", [True, False])
@pytest.mark.parametrize("causal", [False, True])
def test_grouped_queries_are_keys_and_values_repeated(causal, through_softmax):
    x = torch.randn(3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for grouped in (False, True):
        torch.manual_seed(5)
        session = lrp.Session(Heads(grouped, causal).double().eval(), x, device="cpu")
        rule = {"scaled_dot_product_attention": rules.Attention(through_softmax=through_softmax)}
        found.append(session.relevance(target=1, composite=lrp.composites.EpsilonPlus().override(rule)))
    for layer in ("input", "query", "key", "value"):
        torch.testing.assert_close(found[0][layer], found[1][layer], rtol=1e-10, atol=1e-13)
    for row in found[1].ledger:
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert abs(missing) <= 1e-10 * max(abs(row.relevance_in), row.magnitude), row


class Biased(nn.Module):
    """Attention whose scores are moved by a mask, in one operation or by hand."""

    def __init__(self, whole, from_input):
        super().__init__()
        self.query, self.bias, self.head = nn.Linear(5, 12), nn.Linear(5, 6), nn.Linear(12, 4)
        self.fixed = nn.Parameter(torch.randn(6, 6))
        self.whole, self.from_input = whole, from_input

    def forward(self, x):
        query, key, value = self.query(x), self.query(x).flip(1), self.query(x).relu()
        mask = self.bias(x) if self.from_input else self.fixed
        if self.whole:
            attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:
            scores = torch.matmul(query * 12**-0.5, key.transpose(1, 2)) + mask
            attended = torch.matmul(scores.softmax(-1), value)
        return self.head(attended.mean(1))


@pytest.mark.parametrize("from_input", [False, True])
def test_attention_with_a_mask_is_its_parts_one_after_the_other(from_input):
    x = torch.randn(3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for whole in (False, True):
        torch.manual_seed(5)
        session = lrp.Session(Biased(whole, from_input).double().eval(), x, device="cpu")
        composite = lrp.composites.EpsilonPlus(split="signed")
        found.append(session.relevance(target=1, composite=composite))
    for layer in ("input", "query", *(["bias"] if from_input else [])):
        torch.testing.assert_close(found[0][layer], found[1][layer], rtol=1e-9, atol=1e-12)
    for row in found[1].ledger:
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert abs(missing) <= 1e-10 * max(abs(row.relevance_in), row.magnitude), row


@pytest.mark.parametrize("relative", ["rms", "std"])
def test_a_layer_that_says_nothing_hands_nothing_down(relative):
    """ε relative to zeros is zero: nothing is divided, and the ledger says where relevance stayed."""
    net = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3)).double().eval()
    x = torch.zeros(2, 4, dtype=torch.float64)
    x[1] = 1.0
    rule = rules.Epsilon(0.25, relative=relative)
    found = lrp.explain(net, x, target=0, composite=lrp.composites.Uniform(rule))
    assert torch.equal(found.input[0], torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(
        found.input[1:], lrp.explain(net, x[1:], target=0, composite=lrp.composites.Uniform(rule)).input
    )
    for row in found.ledger:
        lost = row.to_bias + row.to_epsilon + row.other
        assert row.relevance_in - row.relevance_out == pytest.approx(lost, abs=1e-12)

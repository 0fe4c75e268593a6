"""Convolutions padded by more on one side than on the other: their edges, pair by pair, in every algebra."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform
from lrp_explorer.semirings import Boolean, Bottleneck, Counting, Quantile, Real, Tropical, Viterbi
from lrp_explorer.semirings import kernels as table

EPSILON = 0.125
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@dataclass(frozen=True)
class ByPaths(Real):
    """The real semiring by the way of paths."""


LAYERS = {
    "two axes": (lambda: nn.Conv2d(2, 3, 2, padding="same"), (2, 3, 4)),
    "one of two axes": (lambda: nn.Conv2d(2, 3, (3, 4), padding="same", bias=False), (2, 3, 4)),
    "dilated": (lambda: nn.Conv2d(2, 2, (2, 4), padding="same", dilation=(3, 1)), (2, 4, 3)),
    "groups": (lambda: nn.Conv2d(4, 4, 2, padding="same", groups=2), (4, 3, 2)),
    "one axis": (lambda: nn.Conv1d(2, 3, 4, padding="same"), (2, 6)),
    "one axis, dilated": (lambda: nn.Conv1d(2, 5, 2, padding="same", dilation=3), (2, 7)),
    "three axes": (lambda: nn.Conv3d(1, 2, (2, 1, 2), padding="same"), (1, 2, 3, 2)),
}


def recorded(name):
    build, shape = LAYERS[name]
    torch.manual_seed(3)
    model = nn.Sequential(build(), nn.ReLU(), build_back(shape, build()), nn.Flatten()).double().eval()
    x = torch.randn(2, *shape, dtype=torch.float64)
    return model, lrp.Session(model, x, device="cpu")


def build_back(shape, layer):
    """A second layer of the same kind, back to the channels of the input."""
    kind = type(layer)
    return kind(layer.out_channels, 2, layer.kernel_size, padding="same", dilation=layer.dilation)


def edges(session, model, rule):
    """d_jk of both layers by the rule, written out in matrices ``(example, inputs, outputs)``."""
    found = []
    for layer, source in (("0", "input"), ("2", "1")):
        module, a = model[int(layer)], session.record.value(source)
        leaf = torch.zeros_like(a[0])
        jacobian = torch.autograd.functional.jacobian(lambda v, m=module: m(v[None])[0], leaf)
        w = jacobian.flatten(-leaf.dim()).flatten(0, -2).T
        c, b = a.flatten(1)[:, :, None] * w, module(leaf[None]).detach().flatten(1)[:, None]
        if rule == "epsilon":
            z = c.sum(1, keepdim=True) + b
            found.append(c / (z + torch.where(z < 0, -EPSILON, EPSILON)))
        else:
            plus = c.clamp(min=0)
            found.append(plus / (plus.sum(1, keepdim=True) + b.clamp(min=0) + 1e-9))
    return found


ALGEBRAS = {
    "boolean": (Boolean(theta=0.01), any, lambda a, b: a and b, 1.0, lambda d: d >= 0.01),
    "counting": (Counting(theta=0.01), sum, lambda a, b: a * b, 1.0, lambda d: float(d >= 0.01)),
    "bottleneck": (Bottleneck(), max, min, math.inf, lambda d: max(d, 0.0)),
    "viterbi": (Viterbi(normalise="sum"), max, lambda a, b: a * b, 1.0, abs),
    "tropical": (Tropical(normalise="sum"), min, lambda a, b: a + b, 0.0,
                 lambda d: -math.log(abs(d)) if d else math.inf),
}  # fmt: skip


def along_all_paths(first, second, target, join, chain, one, annotate):
    """Elements of the input, path by path, in plain Python."""
    lower = [[annotate(d) for d in row] for row in first.tolist()]
    upper = [chain(annotate(row[target]), one) for row in second.tolist()]
    return [float(join([chain(d, r) for d, r in zip(row, upper, strict=True)])) for row in lower]


@pytest.mark.parametrize("name", LAYERS)
def test_uneven_padding_path_by_path(name, monkeypatch):
    model, session = recorded(name)
    for rule, composite in (
        ("epsilon", Uniform(rules.Epsilon(EPSILON))),
        ("plus", Uniform(rules.ZPlus(stabilizer=1e-9))),
    ):
        first, second = edges(session, model, rule)
        # The output that the most is to be said of in both examples.
        target = int((first.clamp(min=0) @ second.clamp(min=0)).amax(1).amin(0).argmax())
        real = session.relevance(target=target, seed="one", composite=composite)
        paths = session.relevance(target=target, semiring=ByPaths(), composite=composite)
        for layer in session.layers:
            torch.testing.assert_close(paths[layer], real[layer], rtol=0, atol=1e-12)
        for algebra, fused in itertools.product(ALGEBRAS, (True, False)):
            semiring, *operations = ALGEBRAS[algebra]
            with monkeypatch.context() as patch:
                if not fused:
                    patch.setattr(table, "_FUSED", {})
                found = session.relevance(target=target, semiring=semiring, composite=composite).input
            for example in range(2):
                wanted = along_all_paths(first[example], second[example], target, *operations)
                wanted = torch.tensor(wanted, dtype=torch.float64)
                torch.testing.assert_close(found[example].flatten().double(), wanted, rtol=1e-12, atol=1e-12)
            assert algebra != "viterbi" or float(found.amax()) > 0


def test_uneven_padding_with_rules_of_the_first_layer():
    _, session = recorded("dilated")
    for rule in (rules.ZBox(-4.0, 4.0), rules.Flat(), rules.WSquare()):
        composite = Uniform(rules.Epsilon(EPSILON)).override({"0": rule})
        real = session.relevance(target=3, seed="one", composite=composite).input
        paths = session.relevance(target=3, semiring=ByPaths(), composite=composite).input
        torch.testing.assert_close(paths, real, rtol=1e-10, atol=1e-12)


def test_uneven_padding_in_all_else_that_reads_edges():
    """The strongest edge, quantiles, activations and weights apart, signs alone, and the best path."""
    model, session = recorded("two axes")
    composite, target = Uniform(rules.Epsilon(EPSILON)), int(session.logits.amin(0).argmax())
    first, second = edges(session, model, "epsilon")
    drawn = session.relevance(target, composite, Counting(theta=Quantile(0.5, sample=100_000)))
    # Half of the edges with d > 0 that lead to outputs that the ReLU leaves; drawn, so a few more or less.
    alive = session.record.value("1").flatten(1) > 0
    for example in range(2):
        d = torch.where(alive[example], first[example], 0.0)
        theta = [float(torch.quantile(d[d > 0], q)) for q in (0.46, 0.54)]
        r = drawn["1"][example].flatten()
        most, least = ((first[example] >= t).double() @ r for t in theta)
        found = drawn.input[example].flatten()
        assert bool(((least <= found) & (found <= most)).all())
    signs = session.relevance(target, composite, Counting(theta=0, strict=True)).input.flatten(1)
    wanted = torch.einsum("bjk,bk->bj", (first > 0).double(), (second[:, :, target] > 0).double())
    assert torch.equal(signs, wanted)
    apart = session.relevance(target, composite, Counting(theta=(0.1, 0.05, None), edge="separate")).input.flatten(1)
    r = torch.zeros_like(session.logits)
    r[:, target] = 1.0
    for layer, source in (("2", "1"), ("0", "input")):
        a = session.record.value(source)
        leaf = torch.zeros_like(a[0])
        jacobian = torch.autograd.functional.jacobian(lambda v, m=model[int(layer)]: m(v[None])[0], leaf)
        w = jacobian.flatten(-leaf.dim()).flatten(0, -2).T
        r = (a.flatten(1) >= 0.1) * (r @ (w >= 0.05).double().T)
    assert torch.equal(apart, r)
    best = session.relevance(target, composite, Viterbi())
    index = tuple(int(i) for i in (best.input[1] == best.input[1].max()).nonzero()[0])
    path = session.best_path(index, 1, target, composite, Viterbi())
    assert math.prod(step.edge for step in path) == pytest.approx(float(best.input[1].max()), rel=1e-9)

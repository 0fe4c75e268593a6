"""Bad settings of an explanation are refused: targets, seeds, names, composites, parameters of rules."""

import math
import re
from collections import OrderedDict

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.errors import InputError, LrpError, UnknownNameError


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
    names = [("features", features), ("flat", nn.Flatten()), ("head", nn.Linear(16, 5))]
    return lrp.Session(nn.Sequential(OrderedDict(names)).eval(), torch.randn(2, 3, 8, 8), device="cpu")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (5, [r"\b5\b", "class"]),
        (-1, ["-1", "class"]),
        ([1, 7], [r"\b7\b", "class"]),
        ([1, 2, 3], [r"\b3\b", r"\b2\b"]),
        (torch.zeros(2, 5, dtype=torch.int64), ["target", r"\(2, 5\)"]),
        (torch.tensor([0.5, 1.5]), ["target", "int"]),
        (1.5, ["target", r"1\.5"]),
        ("cat", ["target", "cat"]),
        (True, ["target", "True"]),
        (["cat", "dog"], ["target", "cat"]),
        ([[1], [2, 3]], ["target"]),
    ],
)
def test_a_bad_target(session, target, words):
    with refused(InputError, *words):
        session.relevance(target=target)


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        (torch.zeros(2, 4), ["seed", r"\(2, 4\)", r"\(2, 5\)"]),
        (torch.zeros(5), ["seed", r"\(5,\)", r"\(2, 5\)"]),
        (torch.full((2, 5), math.nan), ["seed", "nan"]),
        (torch.full((2, 5), math.inf), ["seed", "inf"]),
    ],
)
def test_a_bad_seed(session, seed, words):
    with refused(InputError, *words):
        session.relevance(seed=seed)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"composite": "epsilon-pluss-flat"}, ["composite", "epsilon-pluss-flat", "mean.*'epsilon-plus-flat'"]),
        ({"seed": "logits"}, ["seed", "'logits'", "mean.*'logit'"]),
        ({"semiring": "reals"}, ["semiring", "'reals'", "mean.*'real'"]),
    ],
    ids=str,
)
def test_an_unknown_name_suggests_the_nearest(session, settings, words):
    with refused(UnknownNameError, *words):
        session.relevance(**settings)


def test_an_unknown_layer_suggests_the_nearest(session):
    with refused(UnknownNameError, "layer", "feature.0", r"'features\.0'"):
        session.relevance()["feature.0"]
    with refused(UnknownNameError, "layer", "heads", "'head'"):
        session.relevance(composite=lrp.composites.EpsilonPlus().override({"heads": rules.Flat()}))


def test_an_unknown_composite_by_name():
    with refused(UnknownNameError, "composite", "epsilon-box", "epsilon-gamma-box"):
        lrp.composites.get("epsilon-box")


def test_a_name_that_needs_parameters_says_which(session):
    with refused(LrpError, "epsilon-gamma-box", "low", "high"):
        session.relevance(composite="epsilon-gamma-box")


@pytest.mark.parametrize("composite", [rules.ZPlus(), 3, None], ids=repr)
def test_something_that_is_no_composite(session, composite):
    with refused(LrpError, "composite", re.escape(repr(composite))):
        session.relevance(composite=composite)


def test_a_uniform_composite_of_something_that_is_no_rule():
    with refused(LrpError, "rule", "flat"):
        lrp.composites.Uniform("flat")


@pytest.mark.parametrize("rules_by_layer", ["features.0", [("features.0", rules.Flat())]], ids=str)
def test_an_override_that_is_no_mapping(rules_by_layer):
    with refused(LrpError, "override", type(rules_by_layer).__name__):
        lrp.composites.EpsilonPlus().override(rules_by_layer)


def test_an_override_with_something_that_is_no_rule():
    with refused(LrpError, "features.0", "'flat'", "rule"):
        lrp.composites.EpsilonPlus().override({"features.0": "flat"})


NAN = math.nan


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: rules.Epsilon(-1e-3), ["epsilon", "-0.001"]),
        (lambda: rules.Epsilon(NAN), ["epsilon", "nan"]),
        (lambda: rules.Epsilon(math.inf), ["epsilon", "inf"]),
        (lambda: rules.Epsilon("0.1"), ["epsilon", "0.1"]),
        (lambda: rules.Epsilon(relative="max"), ["relative", "max", "std", "rms"]),
        (lambda: rules.Epsilon(bias="drop"), ["bias", "drop", "absorb", "ignore"]),
        (lambda: rules.Gamma(-0.1), ["gamma", "-0.1"]),
        (lambda: rules.Gamma(NAN), ["gamma", "nan"]),
        (lambda: rules.Gamma(math.inf), ["gamma", "inf"]),
        (lambda: rules.AlphaBeta(2, 2), ["alpha", "beta", "1"]),
        (lambda: rules.AlphaBeta(NAN, 1), ["alpha", "nan"]),
        (lambda: rules.AlphaBeta(0, -1), ["alpha", "0"]),
        (lambda: rules.AlphaBeta(1, -0.5), ["beta", "-0.5"]),
        (lambda: rules.ZBox(1.0, -1.0), ["low", "high"]),
        (lambda: rules.ZBox((0.0, 2.0, 0.0), (1.0, 1.0, 1.0)), ["low", "high"]),
        (lambda: rules.ZBox(NAN, 1.0), ["bound", "nan"]),
        (lambda: lrp.composites.EpsilonPlus(epsilon=-1.0), ["epsilon", "-1"]),
        (lambda: lrp.composites.EpsilonGammaBox(-1, 1, gamma=-2.0), ["gamma", "-2"]),
        (lambda: lrp.composites.EpsilonGammaBox(1, -1), ["low", "high"]),
    ],
)
def test_a_parameter_out_of_range(build, words):
    with refused(InputError, *words):
        build()


def test_box_bounds_that_do_not_fit_the_input(session):
    with refused(InputError, "bound", r"\(2,\)", r"\(3, 8, 8\)"):
        session.relevance(composite=lrp.composites.EpsilonGammaBox((-9.0, -9.0), (9.0, 9.0)))


def test_pass_where_the_shape_changes(session):
    with refused(LrpError, "Pass", "head"):
        session.relevance(composite=lrp.composites.EpsilonPlus().override({"head": rules.Pass()}))


def test_a_seed_that_is_neither_a_name_nor_a_tensor(session):
    with refused(LrpError, "seed", "3", "logit"):
        session.relevance(seed=3)


def test_after_an_error_the_session_goes_on(session):
    with pytest.raises(LrpError):
        session.relevance(target=99)
    assert session.relevance(target=1).input.isfinite().all()


def test_paths_in_a_precision_that_their_factors_leave():
    half = nn.Sequential(nn.Linear(8, 3), nn.ReLU()).half().eval()
    with refused(InputError, "float16", "bfloat16"):
        lrp.explain(half, torch.ones(1, 8, dtype=torch.float16), semiring="bottleneck", device="cpu")


class TestNumbersAndTruthValues:
    @pytest.mark.parametrize("value", [True, 1j, NAN, -math.inf, 10**400, -1, "1", None, [1.0]], ids=repr)
    @pytest.mark.parametrize(
        ("build", "owner", "name"),
        [
            (lambda v: rules.Epsilon(v), "Epsilon", "epsilon"),
            (lambda v: rules.Zero(stabilizer=v), "Zero", "stabilizer"),
            (lambda v: rules.Gamma(v), "Gamma", "gamma"),
            (lambda v: rules.AlphaBeta(1, v), "AlphaBeta", "beta"),
            (lambda v: rules.Flat(v), "Flat", "stabilizer"),
            (lambda v: rules.Magnitude(v), "Magnitude", "stabilizer"),
            (lambda v: rules.Attention(v), "Attention", "stabilizer"),
            (lambda v: lrp.composites.EpsilonPlus(v), "EpsilonPlus", "epsilon"),
            (lambda v: lrp.composites.EpsilonGammaBox(-1, 1, gamma=v), "EpsilonGammaBox", "gamma"),
            (lambda v: lrp.composites.DeepTaylor(-1, 1, epsilon=v), "DeepTaylor", "epsilon"),
            (lambda v: lrp.composites.LayeredLRP(gamma=v), "LayeredLRP", "gamma"),
        ],
        ids=lambda v: v if isinstance(v, str) else "",
    )
    def test_what_is_no_number_is_refused_with_owner_field_and_what_is_valid(self, build, owner, name, value):
        with refused(InputError, rf"^{owner}: {name} is {re.escape(repr(value))}", "a number at least 0 is expected"):
            build(value)

    @pytest.mark.parametrize(
        ("build", "words"),
        [
            (lambda v: rules.Attention(through_softmax=v), "Attention: through_softmax"),
            (lambda v: lrp.semirings.Bottleneck(absolute=v), "Bottleneck: absolute"),
            (lambda v: lrp.semirings.Boolean(strict=v), "Boolean: strict"),
        ],
    )
    @pytest.mark.parametrize("value", [1, 0, "yes", None, torch.tensor([True, False])], ids=str)
    def test_what_is_no_truth_value_is_refused(self, build, words, value):
        with refused(InputError, words, re.escape(repr(value)), "False, True"):
            build(value)

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda s: s.relevance(1j), ["target", "1j"]),
            (lambda s: s.relevance(torch.tensor([1j, 0j])), ["target", "complex"]),
            (lambda s: s.relevance([True, False]), ["target", "bool"]),
            (lambda s: s.relevance(seed=torch.ones(2, 5, dtype=torch.complex64)), ["seed", "complex64", "real"]),
            (lambda s: s.relevance(seed=torch.ones(2, 5, dtype=torch.bool)), ["seed", "bool", "real"]),
            (lambda s: s.sweep("target", [0, 1], progress=1), ["progress", "1", "True or False"]),
            (lambda s: s.best_path((0, 0, 0), example=True), ["example", "True"]),
            (lambda s: s.best_path((0, 0, 0), example=0.0), ["example", r"0\.0"]),
            (lambda s: s.another(torch.randn(2, 3, 8, 8), memory=True), ["memory", "True", "bytes"]),
            (lambda s: s.another(torch.randn(2, 3, 8, 8), memory=-1), ["memory", "-1", "bytes"]),
        ],
    )
    def test_arguments_of_a_session(self, session, call, words):
        with refused(InputError, *words):
            call(session)


class TestSplitOfSums:
    def assigned(self, composite):
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

            def forward(self, x):
                return self.b((self.a(x) + x).relu())

        torch.manual_seed(0)
        model, x = Block().double().eval(), torch.randn(2, 4, dtype=torch.float64)
        found = lrp.explain(model, x, 1, composite, seed="one", device="cpu")
        with torch.no_grad():
            parts = model.a(x), x
        return found["add"], found["a"], parts

    @pytest.mark.parametrize("rule", [rules.Epsilon(1e-12), rules.Zero(0.0), rules.ZPlus()], ids=repr)
    def test_is_obeyed_by_every_composite(self, rule):
        for split in ("magnitude", "signed", "auto"):
            arrived, branch, (a, x) = self.assigned(lrp.composites.Uniform(rule, split=split))
            share = a.abs() / (a.abs() + x.abs()) if split == "magnitude" else a / (a + x)
            # The stabiliser is 1e-6 where the rule has none for sums.
            torch.testing.assert_close(branch, arrived * share, rtol=1e-3, atol=1e-5)
        other, default = (
            lrp.composites.Uniform(rules.Epsilon(0.5), split="signed"),
            lrp.composites.Uniform(rules.Epsilon(0.5)),
        )
        assert torch.equal(self.assigned(other)[1], self.assigned(default)[1])

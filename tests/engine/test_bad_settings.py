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

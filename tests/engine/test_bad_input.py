"""Bad input is refused before anything is computed, in words that name the value, what was expected, what to do."""

import math
import re

import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.errors import InputError, LrpError, ModelError, UnknownNameError


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def x():
    return torch.randn(2, 3, 8, 8)


@pytest.fixture(scope="module")
def session(model, x):
    return lrp.Session(model, x, device="cpu")


def refused(error, *words):
    """Expect an error of the house whose message holds each of the words (regular expressions, any case, any order)."""
    return pytest.raises(error, match="(?is)" + "".join(f"(?=.*{word})" for word in words))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 1, 8, 8), [r"\(2, 1, 8, 8\)", r"\b3\b"]),
        ((3, 8, 8), [r"\(3, 8, 8\)", "batch"]),
        ((2, 3, 2, 2), [r"\(2, 3, 2, 2\)"]),
        ((2, 3), [r"\(2, 3\)"]),
        ((), [r"\(\)"]),
    ],
    ids=str,
)
def test_a_wrong_shape(model, shape, words):
    with refused(LrpError, *words):
        lrp.explain(model, torch.randn(shape), device="cpu")


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 3, 0, 8)])
def test_an_empty_batch(model, shape):
    with refused(InputError, "empty", re.escape(str(shape))):
        lrp.explain(model, torch.randn(shape), device="cpu")


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (torch.uint8, ["uint8", "float"]),
        (torch.int64, ["int64", "float"]),
        (torch.bool, ["bool", "float"]),
        (torch.float64, ["float64", "float32"]),
        (torch.complex64, ["complex64", "float"]),
    ],
)
def test_a_wrong_dtype(model, x, dtype, words):
    with refused(InputError, *words):
        lrp.explain(model, x.to(dtype), device="cpu")


@pytest.mark.parametrize("given", [[[1.0, 2.0]], None, "picture.png"], ids=str)
def test_something_that_is_no_tensor(model, given):
    with refused(InputError, "tensor", type(given).__name__):
        lrp.explain(model, given, device="cpu")


@pytest.mark.parametrize(("value", "word"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "inf")])
def test_values_that_are_no_numbers_are_located(model, x, value, word):
    bad = x.clone()
    bad[1, 2, 5, 3] = value
    with refused(InputError, word, r"1, 2, 5, 3"):
        lrp.explain(model, bad, device="cpu")


def test_something_that_is_no_model(x):
    with refused(ModelError, "Module", "function"):
        lrp.explain(lambda a: a, x, device="cpu")


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


def test_box_bounds_that_do_not_fit_the_input(session, model, x):
    with refused(InputError, "bound", r"\(2,\)", r"\(3, 8, 8\)"):
        session.relevance(composite=lrp.composites.EpsilonGammaBox((-9.0, -9.0), (9.0, 9.0)))


def test_pass_where_the_shape_changes(session):
    with refused(LrpError, "Pass", "head"):
        session.relevance(composite=lrp.composites.EpsilonPlus().override({"head": rules.Pass()}))


class Branching(Small):
    def forward(self, x):
        logits = super().forward(x)
        if logits.sum() > 0:  # the offending line
            return logits
        return -logits


class Counting(Small):
    def forward(self, x):
        return super().forward(x) * float(x.max())  # a number taken out of a tensor


def line_of(text):
    with open(__file__, encoding="utf-8") as source:
        return next(number for number, line in enumerate(source, 1) if text in line and "line_of" not in line)


@pytest.mark.parametrize(
    ("build", "text", "advice"),
    [(Branching, "if logits.sum() > 0:  # the", r"torch\.where"), (Counting, "* float(x.max())  # a", "tensor")],
)
def test_a_model_that_cannot_be_exported_names_the_line(build, text, advice, x):
    with refused(ModelError, rf"test_bad_input\.py\D+{line_of(text)}\b", re.escape(text.split("  #")[0]), advice):
        lrp.explain(build().eval(), x, device="cpu")


class Wrapped(Small):
    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(super().forward(x))


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda y: {"logits": y}, ["dict", "logits", "tensor"]),
        (lambda y: (y, y * 2), ["tuple", "tensor"]),
        (lambda y: [y], ["list", "tensor"]),
        (lambda y: y.sum(), [r"\(\)", "classes"]),
        (lambda y: y[:, :, None], [r"\(2, 5, 1\)", "classes"]),
        (lambda y: y.argmax(1), ["classes"]),
    ],
    ids=["dict", "tuple", "list", "scalar", "map", "labels"],
)
def test_a_model_that_returns_something_else_than_logits(wrap, words, x):
    with refused(ModelError, *words):
        lrp.explain(Wrapped(wrap).eval(), x, device="cpu")


def test_a_model_whose_logits_are_no_numbers(x):
    with refused(LrpError, "nan", "mul|div|log|head|layer"):
        lrp.explain(Wrapped(lambda y: y * math.nan).eval(), x, device="cpu")


def test_an_operation_without_a_rule_is_named(x):
    with refused(LrpError, "cumsum"):
        lrp.explain(Wrapped(lambda y: y.cumsum(1)).eval(), x, device="cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", 7])
def test_an_unknown_device(model, x, device):
    with refused(LrpError, "device", str(device)):
        lrp.explain(model, x, device=device)


def test_a_seed_that_is_neither_a_name_nor_a_tensor(session):
    with refused(LrpError, "seed", "3", "logit"):
        session.relevance(seed=3)


def test_after_an_error_the_session_goes_on(session):
    with pytest.raises(LrpError):
        session.relevance(target=99)
    assert session.relevance(target=1).input.isfinite().all()

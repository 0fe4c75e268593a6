"""Bad input is refused before anything is computed, in words that name the value, what was expected, what to do."""

import copy
import math
import re

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.errors import InputError, LrpError, ModelError


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


@pytest.mark.parametrize("words", [("sparse", "to_dense"), ("meta", "x is")])
def test_tensors_without_values_in_a_row(model, x, words):
    with refused(InputError, *words):
        lrp.explain(model, x.to_sparse() if "sparse" in words else x.to("meta"), device="cpu")


def test_a_model_without_values(model, x):
    with refused(ModelError, "weight", "meta", "load"):
        lrp.explain(copy.deepcopy(model).to("meta"), x, device="cpu")


def test_an_output_that_no_input_reaches(x):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.bias.expand(len(x), 3) * 2.0

    with refused(ModelError, "Fixed", "does not depend on its input"):
        lrp.explain(Fixed().eval(), x, device="cpu")


def test_a_start_in_another_library(model, x):
    logits = model(x).detach()
    with refused(InputError, "ndarray", "tensor"):
        lrp.explain(model, x, seed=logits.numpy(), device="cpu")
    half = lrp.explain(model, x, seed=logits.bfloat16(), device="cpu")
    assert torch.equal(half.start, logits.bfloat16().float())


def test_something_that_is_no_model(x):
    with refused(ModelError, "Module", "function"):
        lrp.explain(lambda a: a, x, device="cpu")


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
        (lambda y: y.argmax(1), ["argmax", "scores"]),
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
    with refused(LrpError, "cumprod"):
        lrp.explain(Wrapped(lambda y: y.cumprod(1)).eval(), x, device="cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", 7])
def test_an_unknown_device(model, x, device):
    with refused(LrpError, "device", str(device)):
        lrp.explain(model, x, device=device)


class OfFour(nn.Module):
    """Says nothing of why it refuses."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        if x.shape[-1] != 4:
            raise AssertionError
        return self.layer(x)


def test_a_model_that_refuses_without_a_word_is_named_all_the_same():
    with refused(InputError, "OfFour does not take x of shape", "AssertionError", "'layer'"):
        lrp.explain(OfFour(), torch.zeros(1, 5))

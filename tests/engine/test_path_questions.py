"""What is asked of relevance over paths: a neuron, thresholds, one line of text; what cannot be meant is refused."""

import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer.composites import EpsilonGammaBox
from lrp_explorer.errors import InputError
from lrp_explorer.semirings import Bottleneck, Quantile


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
    return lrp.Session(model, torch.rand(2, 1, 3, 3), device="cpu")


@pytest.fixture(scope="module")
def every(session):
    return session.relevance(semiring="bottleneck")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ((0, 1.7, 0), ["1.7", "axis 1", "0 to 2", "whole numbers"]),
        ((0, 1.0, 0), ["1.0", "axis 1"]),
        ((0, True, 0), ["True", "axis 1"]),
        ((False, 0, 0), ["False", "axis 0", "0 to 0"]),
        ((0, -1, 0), ["-1", "axis 1"]),
        ((0, 0, 3), ["axis 2", "0 to 2"]),
        ((1, 1), [r"\(1, 1\)", r"\(1, 3, 3\)"]),
        ((0, 1, 1, 0), [r"\(0, 1, 1, 0\)", r"\(1, 3, 3\)"]),
        ((1.7,), [r"\(1.7,\)", r"\(1, 3, 3\)"]),
        ((0, "1", 1), ["'1'", "axis 1"]),
        ((0, None, 1), ["None", "axis 1"]),
        ((0, float("nan"), 1), ["nan", "axis 1"]),
        ((), [r"index is \(\)"]),
        (4, ["index is 4"]),
        (None, ["index is None"]),
        ("011", ["index is '011'"]),
        (torch.tensor([0.0, 1.0, 1.0]), ["0.0", "axis 0"]),
        (np.array([0.0, 1.5, 1.0]), ["0.0", "axis 0"]),
        (torch.tensor([True, False, True]), ["True", "axis 0"]),
    ],
)
def test_an_index_that_is_no_neuron(index, words, session):
    with refused(InputError, "index", *words):
        session.best_path(index)


@pytest.mark.parametrize("example", [0.5, True, -1, 2, None, "0"])
def test_an_example_that_is_none_of_the_batch(example, session):
    with refused(InputError, "example", repr(example).replace("'", ""), "0 to 1"):
        session.best_path((0, 1, 1), example=example)


def test_an_index_in_any_form_of_whole_numbers(session):
    best = session.relevance(semiring="viterbi").input[0]
    index = (best == best.max()).nonzero()[0]
    forms = (tuple(index.tolist()), index.tolist(), index, index.numpy(), tuple(index.numpy()))
    paths = [session.best_path(form).to_frame() for form in forms]
    assert all(path.equals(paths[0]) for path in paths)
    assert paths[0]["index"][0] == tuple(index.tolist())


@pytest.mark.parametrize("theta", [float("nan"), float("inf"), -0.5, 0, -0.0, True, "0.1", None, 10**400, [0.1]])
def test_a_threshold_that_is_no_positive_number(theta, every):
    with refused(InputError, "theta is", "positive number"):
        every.at(theta)
    with refused(InputError, r"thetas\[1\] is", "positive number"):
        every.influence([0.1, theta])


@pytest.mark.parametrize("thetas", ["0.1", b"1", 0.1, None, [], (), np.zeros(0)])
def test_thresholds_that_are_no_sequence(thetas, every):
    with refused(InputError, "thetas is"):
        every.influence(thetas)


def test_thresholds_in_any_form_and_order(every):
    thetas = [0.2, 0.01, 0.2, 1e-9]
    wanted = {name: [float((value >= t).double().mean()) for t in thetas] for name, value in every.maps.items()}
    for form in (thetas, tuple(thetas), np.array(thetas), torch.tensor(thetas, dtype=torch.float64)):
        assert {name: share.tolist() for name, share in every.influence(form).items()} == wanted
    assert torch.equal(every.at(np.float64(0.2)).input, every.at(0.2).input)


def test_a_threshold_that_precision_rounds_to_nothing(session, every):
    assert every.input.dtype == torch.float32
    assert float(every.input.min()) == 0.0
    for theta in (1e-50, 5e-324):
        with refused(InputError, f"theta is {theta!r}", "float32", "rounds to 0", "float64"):
            every.at(theta)
        with refused(InputError, r"thetas\[0\]", "float32"):
            every.influence([theta])
    # The least number of single precision: whatever is not 0 reaches it.
    assert torch.equal(every.at(1e-45).input, every.input > 0)
    model, x = session._reading.model, session.record.values["input"]
    exact = lrp.explain(nn.Sequential(*model).eval().double(), x.double(), semiring="bottleneck", device="cpu")
    assert torch.equal(exact.at(1e-50).input, exact.input > 0)
    model.float()


def test_relevance_over_paths_is_shown_in_one_line(session, every):
    shown = repr(every)
    assert shown.startswith("PathRelevance(5 layers, input (2, 1, 3, 3), Bottleneck, EpsilonPlusFlat(")
    assert "Bottleneck at 0.25, " in repr(every.at(0.25))
    profile = Bottleneck(theta={f"{i}": 0.1 + i for i in (0, 1, 2, 3)})
    box = EpsilonGammaBox(low=torch.zeros(1, 3, 3), high=1.0)
    for found in (
        every, every.at(0.1), session.relevance(semiring=profile), session.relevance(semiring=profile).at(2.0),
        session.relevance(semiring="viterbi", composite=box), session.relevance(semiring=Bottleneck(theta=Quantile())),
    ):  # fmt: skip
        assert "\n" not in repr(found)
        assert "tensor" not in repr(found)
        assert "_resolve" not in repr(found)
        assert len(repr(found)) < 200

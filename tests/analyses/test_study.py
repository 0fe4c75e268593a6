"""The page of masks of MNIST: its blocks run as they stand, give its tables, and bear out what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

import lrp_explorer as lrp

PAGE = (Path(__file__).parents[2] / "docs" / "masks.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found(mnist):
    """Everything that the blocks of the page leave behind."""
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "docs/masks.md", "exec"), names)
    return names


def table(head):
    """The numbers of the table whose head begins with some words, per cent as shares."""
    rows = re.search(rf"\| {head}.*?\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE)[1].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {float(first): [float(one.rstrip(" %")) / 100 for one in rest] for first, *rest in cells}


def test_and_collapses_or_fills_and_a_vote_keeps_its_form(found):
    said = table("θ . AND 5")
    assert list(said) == list(found["shares"])
    for theta, shares in found["shares"].items():
        np.testing.assert_allclose(shares, said[theta], atol=2e-3)
        and_few, and_many, or_few, or_many, _, _ = shares
        assert and_many <= and_few / 10
        assert or_many > or_few
    few, many = found["few"].at(0.03), found["many"].at(0.03)
    where = np.argwhere(many["and"][:10, 0])
    assert {int(one) for one, _, _ in where} == {1}
    assert (abs(where[:, 1:] - 13.5) < 7).all()
    both = (few["vote(0.5)"] & many["vote(0.5)"])[:10].sum() / (few["vote(0.5)"] | many["vote(0.5)"])[:10].sum()
    assert both > 0.5


def test_one_pass_answers_for_every_threshold(found):
    boolean = lrp.aggregate(
        "mnist-mlp", "mnist", limit=5, reduce=["and", "or", "vote(0.5)"], semiring=lrp.semirings.Boolean(theta=0.03),
        **found["settings"],
    )  # fmt: skip
    for name in boolean.reductions:
        np.testing.assert_array_equal(found["few"].at(0.03)[name], boolean[name])


def test_of_all_classes_the_minimum_is_nothing_and_the_mean_holds(found):
    for masks, pixels in ((found["half"], 478), (found["whole"], 600)):
        assert not masks["min"][-1].any()
        assert (masks["max"][-1] > 0).sum() == (masks["mean"][-1] > 0).sum() == pytest.approx(pixels, abs=3)
    assert found["half"].counts[-1] == 50
    assert found["whole"].counts[-1] == 1000
    assert found["alike"] == pytest.approx(0.987, abs=0.005)


def test_relevance_follows_the_ink_but_not_all_of_it(found):
    correlation = found["correlation"]
    assert correlation.argmax(1).tolist() == list(range(10))
    assert (correlation.diagonal() > 0.45).all()
    assert (correlation.diagonal() < 0.85).all()
    difference = found["apart"]["difference"][:10]
    assert (difference < 0).sum() > 3 * (difference > 0).sum()
    assert 0.03 < min(found["against"]) < max(found["against"]) < 0.3


def test_of_two_digits_the_lower_one_is_ignored(found):
    said = table("θ . of all OR masks")
    assert list(said) == list(found["upper"])
    for theta, shares in found["upper"].items():
        np.testing.assert_allclose(shares, said[theta], atol=0.02)
    assert found["upper"][0.06][0] >= 0.95
    assert min(found["upper"][0.08]) >= 0.95
    assert found["lower"] == 0


@pytest.mark.parametrize("name", re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE))
def test_figures_are_there_and_small(name):
    path = Path(__file__).parents[2] / "docs" / name
    assert 5_000 < path.stat().st_size < 200_000

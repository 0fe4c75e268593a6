"""The monoids against stacking everything: to the bit where they compare, to rounding where they add up."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from lrp_explorer.analyses import reductions
from lrp_explorer.analyses.accumulators import Sample
from lrp_explorer.analyses.base import Layout, State, merged
from lrp_explorer.analyses.masks import Rows, finish
from lrp_explorer.analyses.relevant import Criterion
from lrp_explorer.errors import InputError, UnknownNameError

EXACT = ("and", "or", "min", "max", "count", "vote(0.3)", "vote(1)", "quantile(0.9)", "quantile(0)")
ROUNDED = ("mean", "std")
SHAPE = (2, 3, 4)


def naive(name, stack, theta=None):
    relevant = stack > 0 if theta is None else stack >= np.float32(theta)
    wide = stack.astype(np.float64)
    q = float(name[name.index("(") + 1 : -1]) if "(" in name else 0.0
    answers = {
        "and": lambda: relevant.all(0),
        "or": lambda: relevant.any(0),
        "min": lambda: stack.min(0),
        "max": lambda: stack.max(0),
        "count": lambda: relevant.sum(0),
        "vote": lambda: relevant.sum(0) >= q * len(stack),
        "quantile": lambda: np.quantile(wide, q, axis=0),
        "mean": lambda: wide.mean(0),
        "std": lambda: wide.std(0),
    }
    return answers[name.split("(")[0]]()


def fold(values, classes, pieces, names, criterion):
    """Fold `pieces` (index arrays) each into a state of its own, then merge them in their order."""
    made = reductions.parse(names, criterion)
    layout = Layout(("here",), reductions.accumulators(made))
    states = []
    for piece in pieces:
        state = State(layout)
        for batch in np.array_split(piece, max(1, len(piece) // 5)):
            if len(batch):
                ids = torch.from_numpy(batch)
                state.add({"here": torch.from_numpy(values)[ids]}, torch.from_numpy(classes)[ids], ids)
        states.append(state)
    present = tuple(int(one) for one in np.unique(classes))
    rows = Rows(present, tuple(map(str, present)), tuple(int((classes == one).sum()) for one in present), True)
    masks = finish(merged(layout, states), rows, made, {})
    assert masks is not None
    return masks


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    pieces=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    theta=st.sampled_from([None, 0.0, 0.25, -0.5]),
)
def test_any_order_and_any_split_is_as_stacking_everything(n, pieces, seed, theta):
    random = np.random.default_rng(seed)
    # Rounded, so that values meet each other and the threshold exactly.
    values = (random.normal(size=(n, *SHAPE)) * 4).round().astype(np.float32) / 4
    classes = random.integers(0, 3, n)
    order = np.array_split(random.permutation(n), pieces)
    masks = fold(values, classes, order, (*EXACT, *ROUNDED), Criterion(theta))
    groups = [values[classes == one] for one in masks.classes[:-1]] + [values]
    assert masks.counts == tuple(len(group) for group in groups)
    for row, group in enumerate(groups):
        for name in EXACT:
            np.testing.assert_array_equal(masks[name][row], naive(name, group, theta), err_msg=name)
        for name in ROUNDED:
            np.testing.assert_allclose(masks[name][row], naive(name, group), rtol=1e-12, atol=1e-13, err_msg=name)


def test_the_spread_of_large_close_values_keeps_its_digits():
    values = (1e4 + np.random.default_rng(0).normal(size=(5000, *SHAPE))).astype(np.float32)
    masks = fold(values, np.zeros(5000, int), np.array_split(np.arange(5000), 7), ("mean", "std"), Criterion())
    np.testing.assert_allclose(masks["std"][0], values.astype(np.float64).std(0), rtol=1e-11)
    np.testing.assert_allclose(masks["mean"][0], values.astype(np.float64).mean(0), rtol=1e-14)


def test_truth_values_are_taken_as_they_are():
    values = np.random.default_rng(1).random((30, *SHAPE)) < 0.9
    masks = fold(values, np.zeros(30, int), [np.arange(30)], ("and", "or", "min", "max", "mean", "count"), Criterion())
    np.testing.assert_array_equal(masks["and"][0], values.all(0))
    np.testing.assert_array_equal(masks["min"][0], values.all(0))
    np.testing.assert_array_equal(masks["max"][0], values.any(0))
    np.testing.assert_array_equal(masks["count"][0], values.sum(0))
    np.testing.assert_allclose(masks["mean"][0], values.mean(0), rtol=1e-15)
    assert masks.levels == {}
    with refused(InputError, "no thresholds"):
        masks.at(0.5)


def test_a_cost_is_relevant_when_it_is_small():
    values = np.array([[0.0, 1.0, np.inf], [2.0, np.inf, np.inf]], np.float32)
    names = ("and", "or", "count", "vote(1)", "min")
    masks = fold(values, np.zeros(2, int), [np.arange(2)], names, Criterion(cost=True))
    assert masks["and"][0].tolist() == [True, False, False]
    assert masks["or"][0].tolist() == [True, True, False]
    assert masks["count"][0].tolist() == [2, 1, 0]
    assert masks["vote(1)"][0].tolist() == [True, False, False]
    low = masks.at(1.0)
    assert low["and"][0].tolist() == [False, False, False]
    assert low["or"][0].tolist() == [True, True, False]


def test_and_and_or_and_votes_at_every_threshold_are_those_of_each_example():
    random = np.random.default_rng(2)
    values = random.random((101, *SHAPE)).astype(np.float32)
    made = reductions.parse(("and", "or", "vote(0.25)", "vote(0.5)", "mean"), Criterion(), everywhere=True)
    layout = Layout(("here",), reductions.accumulators(made))
    state = State(layout)
    for batch in np.array_split(np.arange(101), 4):
        ids = torch.from_numpy(batch)
        state.add({"here": torch.from_numpy(values)[ids]}, torch.zeros(len(ids), dtype=torch.long), ids)
    masks = finish(state, Rows((0,), ("0",), (101,), False), made, {})
    assert masks is not None
    # Values that occur, too: there ≥ and > differ.
    for theta in (0.01, 0.3, 0.5, 0.99, *map(float, values[:5].flat)):
        then = masks.at(theta)
        assert then.reductions == ("and", "or", "vote(0.25)", "vote(0.5)")
        for name in then.reductions:
            np.testing.assert_array_equal(then[name][0], naive(name, values, theta), err_msg=f"{name} at {theta}")


def test_infinite_relevance_stays_a_number_where_it_is_one_and_is_told_where_not():
    """Costs are infinite where there is no path."""
    values = np.array([[1.0, 1.0, np.inf], [2.0, np.inf, np.inf], [4.0, np.inf, np.inf]], np.float32)
    names = ("mean", "std", "quantile(0.5)", "quantile(0.25)", "quantile(0)", "max")
    masks = fold(values, np.zeros(3, int), [np.arange(3)], names, Criterion(cost=True))
    assert masks["mean"][0].tolist() == [7 / 3, np.inf, np.inf]
    assert masks["quantile(0.5)"][0].tolist() == [2, np.inf, np.inf]
    assert masks["quantile(0.25)"][0].tolist() == [1.5, np.inf, np.inf]
    assert masks["quantile(0)"][0].tolist() == [1, 1, np.inf]
    assert np.isnan(masks["std"][0]).tolist() == [False, True, True]
    assert masks.notes == ("std of layer 'here' is NaN where relevance is infinite",)


def test_a_class_without_examples_has_no_number_also_beside_whole_numbers():
    """An algebra of one's own may count in integers."""
    made = reductions.parse(("min", "max", "mean", "count"), Criterion())
    state = State(Layout(("here",), reductions.accumulators(made)))
    ids = torch.arange(2)
    state.add({"here": torch.tensor([[3, 0], [5, 2]])}, torch.ones_like(ids), ids)
    masks = finish(state, Rows((0, 1), ("0", "1"), (4, 4), False), made, {}, complete=False)
    assert masks is not None
    assert np.isnan(masks["min"][0]).all()
    assert masks["min"][1].tolist() == [3, 0]
    assert masks["max"][1].tolist() == [5, 2]
    assert masks["count"].tolist() == [[0, 0], [2, 1]]


def test_numbers_of_examples_beyond_a_byte():
    """On the CPU they are added up in bytes, 255 examples at a time."""
    relevant = np.arange(700)[:, None] < np.array([0, 254, 255, 256, 511, 700])
    made = reductions.parse("count", Criterion(theta=0.5))
    state = State(Layout(("here",), reductions.accumulators(made)))
    ids = torch.arange(700)
    state.add({"here": torch.from_numpy(relevant.astype(np.float32))}, torch.zeros_like(ids), ids)
    masks = finish(state, Rows((0,), ("0",), (700,), False), made, {})
    assert masks is not None
    assert masks["count"][0].tolist() == [0, 254, 255, 256, 511, 700]


class TestSample:
    def test_it_is_exact_up_to_its_size_and_bounded_beyond(self):
        random = np.random.default_rng(3)
        values = random.normal(size=(20_000, 50)).astype(np.float32)
        made = reductions.parse("quantile(0.9)", Criterion())
        sample = Sample(reductions.SAMPLE)
        for batch in np.array_split(random.permutation(20_000), 40):
            sample.add(torch.from_numpy(values[batch]), torch.from_numpy(batch))
            held = sum(rows.untyped_storage().nbytes() for rows in sample._rows) / values[0].nbytes
            assert held <= 2 * reductions.SAMPLE + len(batch)
        found = made[0].finish({(Sample, reductions.SAMPLE): sample}, 20_000)
        ranks = (values <= found).mean(0)
        # 5 % of the neurons may be off by more; none by twice as much (P < 1e-6 each).
        assert (np.abs(ranks - 0.9) > 0.030).mean() <= 0.05
        assert np.abs(ranks - 0.9).max() < 0.06
        assert "uniform sample of 2048 of 20000" in made[0].note(20_000)
        assert made[0].note(2048) == ""

    def test_it_depends_on_the_examples_alone(self):
        values = torch.arange(300.0)[:, None]
        ids = torch.arange(300)

        def drawn(order, cuts):
            parts = []
            for piece in np.array_split(order, cuts):
                part = Sample(20)
                for batch in np.array_split(piece, 3):
                    part.add(values[batch], ids[batch])
                parts.append(part)
            total = Sample(20)
            for part in parts:
                total.merge(part)
            return total

        forwards, backwards = drawn(np.arange(300), 1), drawn(np.arange(300)[::-1].copy(), 7)
        assert forwards.count == backwards.count == 300
        assert torch.equal(forwards.values, backwards.values)
        assert len(forwards.values) == 20
        # Uniform over the indices: neither the first nor the last are preferred.
        assert 80 < float(forwards.values.mean()) < 220


def test_a_sampled_quantile_is_the_same_in_any_order_and_any_split(monkeypatch):
    monkeypatch.setattr(reductions, "SAMPLE", 15)
    random = np.random.default_rng(4)
    values = random.normal(size=(200, *SHAPE)).astype(np.float32)
    classes = random.integers(0, 2, 200)
    one = fold(values, classes, [np.arange(200)], "quantile(0.5)", Criterion())
    two = fold(values, classes, np.array_split(random.permutation(200), 6), "quantile(0.5)", Criterion())
    np.testing.assert_array_equal(one["quantile(0.5)"], two["quantile(0.5)"])
    assert any("sample of 15 of 200" in note for note in one.notes)


class TestNames:
    def test_they_are_written_in_one_way(self):
        made = reductions.parse(("Quantile( 0.90 )", "vote(.5)", "AND"), Criterion())
        assert [one.name for one in made] == ["quantile(0.9)", "vote(0.5)", "and"]

    def test_those_that_share_what_they_need_fold_it_once(self):
        keys = reductions.accumulators(
            reductions.parse(("and", "min", "mean", "std", "vote(.1)", "count"), Criterion())
        )
        assert [key[0].__name__ for key in keys] == ["Extreme", "Moments", "Hits"]

    @pytest.mark.parametrize(
        ("names", "error", "words"),
        [
            ("avarage", UnknownNameError, ["avarage", "quantile\\(q\\)"]),
            ("quantile(1.5)", InputError, ["1.5", "between 0 and 1"]),
            ("quantile()", InputError, ["missing"]),
            ("vote(0)", InputError, ["q is 0"]),
            ("vote(many)", InputError, ["many"]),
            ((), InputError, ["empty"]),
            (("min", "MIN"), InputError, ["min", "twice"]),
        ],
    )
    def test_wrong_ones_are_refused(self, names, error, words):
        with refused(error, *words):
            reductions.parse(names, Criterion())

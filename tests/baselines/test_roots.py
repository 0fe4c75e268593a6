"""Roots on segments: the first of several, all of a batch at once, with few evaluations."""

import math

import torch

from lrp_explorer.baselines.roots import first_root


class Counted:
    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, at):
        self.calls += 1
        return self.f(at)


def test_a_batch_of_segments():
    level = torch.tensor([0.5, -2.0, 3.0, 30.0, 0.0], dtype=torch.float64)
    # The first four fall or rise by 1 for each unit of length; the last begins at its root.
    f = Counted(lambda at: level - level.sign() * at)
    found = first_root(f, level, 10.0, 25)
    torch.testing.assert_close(found.at, torch.tensor([0.5, 2.0, 3.0, 10.0, 0.0]).double(), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.value, torch.tensor([0.0, 0.0, 0.0, 20.0, 0.0]).double(), rtol=0, atol=1e-12)


def test_the_first_of_many():
    start = torch.ones(1, dtype=torch.float64)
    found = first_root(lambda at: torch.cos(7 * at), start, 10.0, 50)
    torch.testing.assert_close(found.at, torch.tensor([math.pi / 14], dtype=torch.float64), rtol=1e-10, atol=0)


def test_the_search_ends_when_all_are_found():
    f = Counted(lambda at: 1 - at)
    first_root(f, torch.ones(2, dtype=torch.float64), 10.0, 1000)
    assert f.calls <= 105


def test_an_end_that_stays_does_not_hold_the_search_up():
    # Nearly flat up to the root, steep behind it: plain regula falsi creeps along the flat.
    f = Counted(lambda at: 1 - (at / 1.5) ** 30)
    found = first_root(f, torch.ones(1, dtype=torch.float64), 2.0, 1)
    torch.testing.assert_close(found.at, torch.tensor([1.5]).double(), rtol=1e-10, atol=0)
    assert f.calls <= 62


def test_a_jump_has_no_root_to_close_in_on():
    found = first_root(lambda at: torch.where(at < 1, 1.0, -0.5).double(), torch.ones(1, dtype=torch.float64), 3.0, 7)
    assert found.value.tolist() == [-0.5]

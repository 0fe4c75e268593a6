"""Random small networks, by modules and functions, in three precisions and two modes, explained as they are.

More of them, and longer ones: ``python tests/compat/random_networks.py``.
"""

import pytest
from oracles.random_checks import check
from oracles.random_nets import case


@pytest.mark.parametrize("first", range(1000, 1060, 10))
def test_ten_networks_hold(first):
    """Logits are the model's, the model is as before, ledgers add up, LRP-0 is input × gradient where it must be."""
    for seed in range(first, first + 10):
        drawn = case(seed, longest=2)
        try:
            check(drawn)
        except Exception as error:
            error.add_note(f"seed {seed}, {drawn.x.dtype}: {', '.join(drawn.steps)}")
            raise

"""How many threads an explanation gets: a small network is faster on one, above all beside a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 1_000_000
"""Activations below which one thread is enough: a layer takes microseconds, waiting for a second core milliseconds."""


@contextmanager
def suited(activations: int) -> Iterator[None]:
    """Compute on one thread if the network has fewer than `SMALL` activations; the user's number is put back."""
    before = torch.get_num_threads()
    if activations >= SMALL or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

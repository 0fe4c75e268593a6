"""Compiled loops over examples."""

from __future__ import annotations

import numpy as np

from lrp_explorer.semirings.kernels.cpu_sweeps import compiled


@compiled
def moments(values, total, squares):
    """Fill in the sum of each column, and that of its squared deviations from its mean, in double precision.

    Parameters
    ----------
    values : ndarray
        ``(examples, neurons)``.
    total, squares : ndarray of float64
        ``(neurons,)``; overwritten.
    """
    count, neurons = values.shape
    total[:] = 0.0
    squares[:] = 0.0
    # Row by row, as the memory lies: neurons next to each other go together in one vector.
    for i in range(count):
        for j in range(neurons):
            total[j] += values[i, j]
    mean = total / count
    for i in range(count):
        for j in range(neurons):
            apart = np.float64(values[i, j]) - mean[j]
            squares[j] += apart * apart

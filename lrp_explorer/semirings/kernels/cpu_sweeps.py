"""Innermost loops: several edges at a time over a stretch of neurons, each compiled to vector instructions.

Plain slices rather than index arithmetic, a handful of streams a loop and one array written: what lets LLVM vectorise.
Products are rounded in the order of the reference, x · (w · F); maximum, minimum and sums of counts are exact in any
order, and go in pairs, so that none waits for the one before. The value in place is not among the last two compared:
LLVM would write only where it changes, with masks, and the next sweep would wait for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from lrp_explorer.semirings.kernels.kept_code import SealedFile

# Bundles are padded to a multiple of this.
BUNDLE = 8


def _sources() -> str:
    """What all compiled loops are made from: they contain each other, across files."""
    files = sorted(Path(__file__).parent.glob("cpu_*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


SOURCES = _sources()


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile without the GIL, and keep the machine code on disk where some cache folder is writable.

    Numba looks for changes in a function's own file only, and would run old code when those that it calls have changed;
    where it cannot be told better, nothing is kept.
    """
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        kept: Any = numba.njit(cache=True, **options)(function)
        file = kept._cache._cache_file
        file._source_stamp = (file._source_stamp, SOURCES)
        file.__class__ = SealedFile
    except (RuntimeError, AttributeError, TypeError):
        return numba.njit(**options)(function)
    return kept


def borrowing(function: Callable[..., Any], **options: Any) -> Any:
    """Compile without counting references: such functions take slices, many times a microsecond, but allocate nothing.

    Counters are atomic, and those of shared arrays would be fought over by all threads.
    """
    return compiled(function, _nrt=False, **options)


@borrowing
def strongest(result, plane, at, weight, start):
    """Result ← max(result, w · plane) for eight edges."""
    n = result.shape[0]
    a0, a1, a2, a3 = at[start], at[start + 1], at[start + 2], at[start + 3]
    a4, a5, a6, a7 = at[start + 4], at[start + 5], at[start + 6], at[start + 7]
    p0 = plane[a0 : a0 + n]
    p1 = plane[a1 : a1 + n]
    p2 = plane[a2 : a2 + n]
    p3 = plane[a3 : a3 + n]
    p4 = plane[a4 : a4 + n]
    p5 = plane[a5 : a5 + n]
    p6 = plane[a6 : a6 + n]
    p7 = plane[a7 : a7 + n]
    w0, w1, w2, w3 = weight[start], weight[start + 1], weight[start + 2], weight[start + 3]
    w4, w5, w6, w7 = weight[start + 4], weight[start + 5], weight[start + 6], weight[start + 7]
    for i in range(n):
        a, b, c, d = w0 * p0[i], w1 * p1[i], w2 * p2[i], w3 * p3[i]
        e, f, g, h = w4 * p4[i], w5 * p5[i], w6 * p6[i], w7 * p7[i]
        a, b, c, d = b if b > a else a, d if d > c else c, f if f > e else e, h if h > g else g
        a, b, c = b if b > a else a, d if d > c else c, result[i]
        a = a if a > c else c
        result[i] = b if b > a else a


@borrowing
def cheapest(result, plane, at, weight, start):
    """Result ← max(result, w + plane) for eight edges."""
    n = result.shape[0]
    a0, a1, a2, a3 = at[start], at[start + 1], at[start + 2], at[start + 3]
    a4, a5, a6, a7 = at[start + 4], at[start + 5], at[start + 6], at[start + 7]
    p0 = plane[a0 : a0 + n]
    p1 = plane[a1 : a1 + n]
    p2 = plane[a2 : a2 + n]
    p3 = plane[a3 : a3 + n]
    p4 = plane[a4 : a4 + n]
    p5 = plane[a5 : a5 + n]
    p6 = plane[a6 : a6 + n]
    p7 = plane[a7 : a7 + n]
    w0, w1, w2, w3 = weight[start], weight[start + 1], weight[start + 2], weight[start + 3]
    w4, w5, w6, w7 = weight[start + 4], weight[start + 5], weight[start + 6], weight[start + 7]
    for i in range(n):
        a, b, c, d = w0 + p0[i], w1 + p1[i], w2 + p2[i], w3 + p3[i]
        e, f, g, h = w4 + p4[i], w5 + p5[i], w6 + p6[i], w7 + p7[i]
        a, b, c, d = b if b > a else a, d if d > c else c, f if f > e else e, h if h > g else g
        a, b, c = b if b > a else a, d if d > c else c, result[i]
        a = a if a > c else c
        result[i] = b if b > a else a


@borrowing
def widest(result, x, plane, relevance, at, weight, start):
    """Result ← max(result, min(x · (w · plane), relevance)) for four edges."""
    n = result.shape[0]
    a0, a1, a2, a3 = at[start], at[start + 1], at[start + 2], at[start + 3]
    p0 = plane[a0 : a0 + n]
    p1 = plane[a1 : a1 + n]
    p2 = plane[a2 : a2 + n]
    p3 = plane[a3 : a3 + n]
    r0 = relevance[a0 : a0 + n]
    r1 = relevance[a1 : a1 + n]
    r2 = relevance[a2 : a2 + n]
    r3 = relevance[a3 : a3 + n]
    w0, w1, w2, w3 = weight[start], weight[start + 1], weight[start + 2], weight[start + 3]
    for i in range(n):
        y = x[i]
        a, b, c, d = y * (w0 * p0[i]), y * (w1 * p1[i]), y * (w2 * p2[i]), y * (w3 * p3[i])
        e, f, g, h = r0[i], r1[i], r2[i], r3[i]
        a, b, c, d = e if e < a else a, f if f < b else b, g if g < c else c, h if h < d else d
        a, b, c = b if b > a else a, d if d > c else c, result[i]
        a = a if a > c else c
        result[i] = b if b > a else a


@borrowing
def count(result, x, plane, relevance, level, at, weight, start):
    """Result ← result + [x · (w · plane) ≥ level] · relevance for four edges."""
    n = result.shape[0]
    a0, a1, a2, a3 = at[start], at[start + 1], at[start + 2], at[start + 3]
    p0 = plane[a0 : a0 + n]
    p1 = plane[a1 : a1 + n]
    p2 = plane[a2 : a2 + n]
    p3 = plane[a3 : a3 + n]
    r0 = relevance[a0 : a0 + n]
    r1 = relevance[a1 : a1 + n]
    r2 = relevance[a2 : a2 + n]
    r3 = relevance[a3 : a3 + n]
    w0, w1, w2, w3 = weight[start], weight[start + 1], weight[start + 2], weight[start + 3]
    for i in range(n):
        y = x[i]
        a = r0[i] if y * (w0 * p0[i]) >= level else 0.0
        b = r1[i] if y * (w1 * p1[i]) >= level else 0.0
        c = r2[i] if y * (w2 * p2[i]) >= level else 0.0
        d = r3[i] if y * (w3 * p3[i]) >= level else 0.0
        result[i] += (a + b) + (c + d)

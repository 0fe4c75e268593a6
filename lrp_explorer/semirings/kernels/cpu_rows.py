"""Dense layers: rows of the weights as they lie in memory, four outputs at a time over a block of inputs."""

from __future__ import annotations

import numpy as np

from lrp_explorer.semirings.kernels.cpu_loops import claim
from lrp_explorer.semirings.kernels.cpu_sweeps import borrowing, compiled

# |w| times the factor for its sign is max(w · P, −w · N), exactly, as P and N are never negative.


@borrowing
def strongest_rows(result, weight, four, p, q, start, stop):
    """Result ← max(result, |w| · F) for four outputs."""
    part = result[start:stop]
    w0, w1 = weight[four[0], start:stop], weight[four[1], start:stop]
    w2, w3 = weight[four[2], start:stop], weight[four[3], start:stop]
    p0, p1, p2, p3, q0, q1, q2, q3 = p[0], p[1], p[2], p[3], -q[0], -q[1], -q[2], -q[3]
    for i in range(part.shape[0]):
        best = part[i]
        value, other = w0[i] * p0, w0[i] * q0
        value = value if value > other else other
        best = value if value > best else best
        value, other = w1[i] * p1, w1[i] * q1
        value = value if value > other else other
        best = value if value > best else best
        value, other = w2[i] * p2, w2[i] * q2
        value = value if value > other else other
        best = value if value > best else best
        value, other = w3[i] * p3, w3[i] * q3
        value = value if value > other else other
        part[i] = value if value > best else best


@borrowing
def cheapest_rows(result, weight, logs, four, p, q, start, stop):
    """Result ← min(result, logs of w + logs of F) for two outputs of the four, twice."""
    part = result[start:stop]
    for pair in range(0, 4, 2):
        w0, w1 = weight[four[pair], start:stop], weight[four[pair + 1], start:stop]
        c0, c1 = logs[four[pair], start:stop], logs[four[pair + 1], start:stop]
        p0, p1, q0, q1 = p[pair], p[pair + 1], q[pair], q[pair + 1]
        for i in range(part.shape[0]):
            best = part[i]
            value = c0[i] + (p0 if w0[i] > 0 else q0)
            best = value if value > best else best
            value = c1[i] + (p1 if w1[i] > 0 else q1)
            part[i] = value if value > best else best


@borrowing
def widest_rows(result, x, weight, four, p, q, relevance, start, stop):
    """Result ← max(result, min(x · (|w| · F), relevance)) for four outputs."""
    part, inputs = result[start:stop], x[start:stop]
    w0, w1 = weight[four[0], start:stop], weight[four[1], start:stop]
    w2, w3 = weight[four[2], start:stop], weight[four[3], start:stop]
    p0, p1, p2, p3, q0, q1, q2, q3 = p[0], p[1], p[2], p[3], -q[0], -q[1], -q[2], -q[3]
    r0, r1, r2, r3 = relevance[0], relevance[1], relevance[2], relevance[3]
    for i in range(part.shape[0]):
        best, xi = part[i], inputs[i]
        value, other = w0[i] * p0, w0[i] * q0
        value = xi * (value if value > other else other)
        value = value if value < r0 else r0
        best = value if value > best else best
        value, other = w1[i] * p1, w1[i] * q1
        value = xi * (value if value > other else other)
        value = value if value < r1 else r1
        best = value if value > best else best
        value, other = w2[i] * p2, w2[i] * q2
        value = xi * (value if value > other else other)
        value = value if value < r2 else r2
        best = value if value > best else best
        value, other = w3[i] * p3, w3[i] * q3
        value = xi * (value if value > other else other)
        value = value if value < r3 else r3
        part[i] = value if value > best else best


@borrowing
def count_rows(result, x, weight, four, p, q, relevance, level, start, stop):
    """Result ← result + [x · (|w| · F) ≥ level] · relevance for four outputs."""
    part, inputs = result[start:stop], x[start:stop]
    w0, w1 = weight[four[0], start:stop], weight[four[1], start:stop]
    w2, w3 = weight[four[2], start:stop], weight[four[3], start:stop]
    p0, p1, p2, p3, q0, q1, q2, q3 = p[0], p[1], p[2], p[3], -q[0], -q[1], -q[2], -q[3]
    r0, r1, r2, r3 = relevance[0], relevance[1], relevance[2], relevance[3]
    for i in range(part.shape[0]):
        total, xi = part[i], inputs[i]
        value, other = w0[i] * p0, w0[i] * q0
        total += r0 if xi * (value if value > other else other) >= level else 0.0
        value, other = w1[i] * p1, w1[i] * q1
        total += r1 if xi * (value if value > other else other) >= level else 0.0
        value, other = w2[i] * p2, w2[i] * q2
        total += r2 if xi * (value if value > other else other) >= level else 0.0
        value, other = w3[i] * p3, w3[i] * q3
        total += r3 if xi * (value if value > other else other) >= level else 0.0
        part[i] = total


@compiled
def rows(counter, result, x, weight, logs, positive, negative, relevance, level, block):
    """Work on tasks (example, block of inputs) until none is left; which algebra is told as in `cpu_loops.planes`.

    Shapes: result and x ``(batch, inputs)``; weight and logs ``(outputs, inputs)``; the others ``(batch, outputs)``.
    """
    blocks = (result.shape[1] + block - 1) // block
    blank = 0.0 if logs is None else -np.inf
    four = np.empty(4, np.int64)
    p, q, r = np.empty(4, positive.dtype), np.empty(4, positive.dtype), np.empty(4, result.dtype)
    while True:
        task = claim(counter)
        if task >= result.shape[0] * blocks:
            break
        b, start = task // blocks, task % blocks * block
        stop = min(start + block, result.shape[1])
        found = 0
        for k in range(weight.shape[0] + 3):
            last = k >= weight.shape[0]
            if last and found == 0:
                break
            if last or positive[b, k] != blank or negative[b, k] != blank:
                four[found] = four[0] if last else k
                p[found] = blank if last else positive[b, k]
                q[found] = blank if last else negative[b, k]
                if relevance is not None:
                    r[found] = 0.0 if last else relevance[b, k]
                found += 1
            if found == 4:
                found = 0
                if logs is not None:
                    cheapest_rows(result[b], weight, logs, four, p, q, start, stop)
                elif relevance is None:
                    strongest_rows(result[b], weight, four, p, q, start, stop)
                elif level is None:
                    widest_rows(result[b], x[b], weight, four, p, q, r, start, stop)
                else:
                    count_rows(result[b], x[b], weight, four, p, q, r, level, start, stop)


@compiled
def largest_rows(counter, result, x, weight):
    """Work on tasks (block of outputs): result ``(batch, outputs)`` ← max_j x_j · |w_kj|, until none is left."""
    lanes = np.empty(256, x.dtype)
    while True:
        start = claim(counter) * 16
        if start >= weight.shape[0]:
            break
        for b in range(x.shape[0]):
            for k in range(start, min(start + 16, weight.shape[0])):
                lanes[:] = 0
                for j in range(0, weight.shape[1], 256):
                    _keep(lanes, x[b, j : j + 256], weight[k, j : j + 256])
                result[b, k] = lanes.max()


@borrowing
def _keep(lanes, x, weight):
    for i in range(x.shape[0]):
        value = x[i] * abs(weight[i])
        lanes[i] = value if value > lanes[i] else lanes[i]

"""Products of two values that both depend on the input, and the softmax between them: the oracles of attention.

Each module below reads its factors from one vector, so that a share is a matrix here as everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from oracles.dense import Array, Dense, over, replicates
from torch import nn
from torch.nn import functional


class Gated(nn.Module):
    """The input times a gate computed from it."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.gate(x))


class Product(nn.Module):
    """The matrix product of the first rows × inner values with the last inner × columns ones."""

    def __init__(self, rows: int, inner: int, columns: int) -> None:
        super().__init__()
        self.rows, self.inner, self.columns = rows, inner, columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cut = self.rows * self.inner
        left, right = x[:, :cut].reshape(-1, self.rows, self.inner), x[:, cut:].reshape(-1, self.inner, self.columns)
        return torch.matmul(left, right).flatten(1)


class Attend(nn.Module):
    """Scaled dot-product attention of a few tokens; queries, keys and values side by side."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens, self.width = tokens, width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = x.reshape(-1, 3, self.tokens, self.width).unbind(1)
        return functional.scaled_dot_product_attention(query, key, value).flatten(1)


@replicates("Signal")
def signal(rule: Any, layer: Dense, a: Array) -> Array:
    """All to the signal; the gate's own way down receives nothing."""
    return np.eye(len(a))


@replicates("SoftmaxTaylor")
def softmax_taylor(rule: Any, layer: Dense, a: Array) -> Array:
    """R_j = x_j (R_j − s_j Σ_k R_k): share[k, j] = x_j (δ_jk − s_j)."""
    s = np.exp(a - a.max())
    s /= s.sum()
    return a * (np.eye(len(a)) - s)


class SoftMaximum(nn.Module):
    """log Σ exp over groups of neighbours."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(1, (-1, self.size)).logsumexp(2)


@replicates("SoftmaxShare")
def softmax_share(rule: Any, layer: Dense, a: Array) -> Array:
    """Each group's maximum sends to its own inputs, by their softmax."""
    source = layer.source
    assert isinstance(source, SoftMaximum)
    groups = np.exp(a.reshape(-1, source.size))
    shares = groups / groups.sum(1, keepdims=True)
    return np.kron(np.eye(len(groups)), np.ones(source.size)) * shares.reshape(-1)


@replicates("EqualSplit")
def equal_split(rule: Any, layer: Dense, a: Array) -> Array:
    """Every term A_ji V_ip of an output sends half of its share to each of its factors."""
    product = layer.source
    assert isinstance(product, Product)
    cut = product.rows * product.inner
    left, right = a[:cut].reshape(product.rows, product.inner), a[cut:].reshape(product.inner, product.columns)
    return _halves(left, right, rule.stabilizer)


def _halves(left: Array, right: Array, epsilon: float, factor: float = 2.0) -> Array:
    rows, inner, columns = *left.shape, right.shape[1]
    to_left, to_right = np.zeros((rows, columns, rows, inner)), np.zeros((rows, columns, inner, columns))
    for j, p, i in np.ndindex(rows, columns, inner):
        to_left[j, p, j, i] = to_right[j, p, i, p] = left[j, i] * right[i, p]
    terms = np.concatenate([to_left.reshape(rows * columns, -1), to_right.reshape(rows * columns, -1)], 1)
    return over(terms, factor * (left @ right).reshape(-1), epsilon)


@replicates("Attention")
def attention(rule: Any, layer: Dense, a: Array) -> Array:
    """The product with the values, the softmax, the product of queries and keys: one share after the other."""
    source = layer.source
    assert isinstance(source, Attend)
    query, key, value = a.reshape(3, source.tokens, source.width)
    scores = query @ key.T / np.sqrt(source.width)
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    if not rule.through_softmax:
        to_value = _halves(weights, value, rule.stabilizer, 1.0)[:, weights.size :]
        return np.concatenate([np.zeros((value.size, query.size + key.size)), to_value], 1)
    upper = _halves(weights, value, rule.stabilizer)
    rows = [softmax_taylor(rule, layer, row) for row in scores]
    through = np.zeros((source.tokens,) * 4)
    for j, share in enumerate(rows):
        through[j, :, j, :] = share
    lower = _halves(query / np.sqrt(source.width), key.T, rule.stabilizer)
    to_query, to_key = lower[:, : query.size], lower[:, query.size :]
    order = np.arange(key.size).reshape(key.T.shape).T.reshape(-1)
    down = upper[:, : weights.size] @ through.reshape(weights.size, weights.size)
    return np.concatenate([down @ to_query, down @ to_key[:, order], upper[:, weights.size :]], 1)

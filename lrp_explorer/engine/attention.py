"""One step down through products of matrices, softmax and attention (AttnLRP, arXiv:2402.05602)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.account import Account, divide, per_example, unaccounted
from lrp_explorer.engine.maps import vjp
from lrp_explorer.engine.passing import called, fit, value_of
from lrp_explorer.engine.record import Record
from lrp_explorer.graph import Node, Ref
from lrp_explorer.graph.spectra import RealMap
from lrp_explorer.rules import Attention, EqualSplit


def split_product(
    left: Tensor, right: Tensor, product: Tensor, relevance: Tensor, epsilon: float, account: Account | None
) -> tuple[Tensor, Tensor]:
    """Share relevance of ``left @ right`` between both factors, by contribution (prop. 3.3)."""
    doubled = 2.0 * product
    s = divide(relevance, doubled, epsilon)
    if account is not None:
        account.book(relevance, s, doubled, epsilon)
    return (
        fit(torch.matmul(s, right.transpose(-1, -2)), left) * left,
        fit(torch.matmul(left.transpose(-1, -2), s), right) * right,
    )


def through_softmax(x: Tensor, softmax: Tensor, axis: int, relevance: Tensor, account: Account | None) -> Tensor:
    """Take relevance through a softmax by its Taylor expansion (prop. 3.1)."""
    received = relevance - softmax * relevance.sum(axis, keepdim=True)
    # Masked scores are minus infinity, and take no part.
    result = torch.where(torch.isfinite(x), x, 0.0) * received
    if account is not None:
        account.to_bias = account.to_bias + per_example(relevance) - per_example(result)
    return result


def matmul_step(
    node: Node, rule: EqualSplit, record: Record, relevance: Tensor, account: Account | None
) -> list[Tensor]:
    """Execute `EqualSplit` at a node that is linear in each of its inputs, or of some degree in its only one.

    By Euler's theorem the contributions x ∂y/∂x add up to degree times y, and a constant bias takes its part.
    """
    values = [record.value(name) for name in node.inputs]
    y = record.value(node.name)
    bias = node.static(2, node.kwargs.get("bias")) if node.op.startswith(("conv", "linear")) else None
    constant = y - called(node, record, dict(enumerate(values)), without_bias=True) if bias is not None else None
    degree = _degree(node, values, y)
    total = degree * y if constant is None else degree * (y - constant) + constant
    s = divide(relevance, total, rule.stabilizer)
    parts = [vjp(value_of(node, record, i), value, s) * value for i, value in enumerate(values)]
    if account is not None:
        account.book(relevance, s, total, rule.stabilizer)
        if constant is not None:
            account.to_bias = per_example(s * constant)
        if isinstance(node.target, RealMap):
            # Constants may have been added to a spectrum anywhere on the way.
            account.to_bias = unaccounted(s * total, parts)
    return parts


def _degree(node: Node, values: list[Tensor], y: Tensor) -> float:
    """Degree of an operation in its inputs, all taken together."""
    if isinstance(node.target, RealMap):
        return float(node.target.degree)
    if node.op == "prod":
        return values[0].numel() / max(y.numel(), 1)
    return 2.0 if node.op == "var" else float(len(values))


def softmax_step(node: Node, record: Record, relevance: Tensor, account: Account | None) -> list[Tensor]:
    """Execute `SoftmaxTaylor` at a node."""
    axis = node.kwargs.get("dim", node.static(1, -1))
    x = record.value(node.inputs[0])
    return [through_softmax(x, record.value(node.name), axis, relevance, account)]


def attention_step(
    node: Node, rule: Attention, record: Record, relevance: Tensor, account: Account | None
) -> list[Tensor]:
    """Execute `Attention` at a node."""
    args, kwargs = record.arguments(node)
    query, key, value = args[:3]
    # Grouped-query attention: several heads of queries read one head of keys and values.
    heads = query.shape[-3] // key.shape[-3] if kwargs.get("enable_gqa") else 1
    key, value = _for_every_head(key, heads), _for_every_head(value, heads)
    scores, mask = _scores(query, key, args, kwargs)
    masked = scores if mask is None else scores + mask
    weights = masked.softmax(-1)
    output = record.value(node.name)
    if not rule.through_softmax:
        s = divide(relevance, output, rule.stabilizer)
        if account is not None:
            account.book(relevance, s, output, rule.stabilizer)
        parts = {2: _shared_heads(fit(torch.matmul(weights.transpose(-1, -2), s), value) * value, heads)}
    else:
        to_weights, to_value = split_product(weights, value, output, relevance, rule.stabilizer, account)
        to_masked = through_softmax(masked, weights, -1, to_weights, account)
        to_scores, to_mask = _past_mask(scores, masked, mask, to_masked, rule.stabilizer)
        data = _mask_given(node)
        if account is not None and to_mask is not None:
            # A mask that is a constant absorbs its part, as a bias does.
            received = per_example(to_scores) + (per_example(to_mask) if data else 0.0)
            account.to_bias = account.to_bias + per_example(to_masked) - received
        scaled = query * _scale(query, kwargs)
        to_query, to_key = split_product(scaled, key.transpose(-1, -2), scores, to_scores, rule.stabilizer, account)
        parts = {0: to_query, 1: _shared_heads(to_key.transpose(-1, -2), heads), 2: _shared_heads(to_value, heads)}
        parts |= {3: to_mask} if data and to_mask is not None else {}
    given = [*node.args[:3], _mask_argument(node)]
    sources = [
        (i, record.value(ref.name)) for i, ref in enumerate(given) if isinstance(ref, Ref) and ref.name in node.inputs
    ]
    return [fit(parts[i], x) if i in parts else torch.zeros_like(x, dtype=query.dtype) for i, x in sources]


def _mask_argument(node: Node) -> Any:
    return node.kwargs.get("attn_mask", node.static(3))


def _mask_given(node: Node) -> bool:
    """Whether the mask itself depends on the model's input, as relative positions of queries do."""
    mask = _mask_argument(node)
    return isinstance(mask, Ref) and mask.name in node.inputs


def _for_every_head(x: Tensor, heads: int) -> Tensor:
    return x if heads == 1 else x.repeat_interleave(heads, -3)


def _shared_heads(relevance: Tensor, heads: int) -> Tensor:
    """Relevance of keys or values that several heads of queries read."""
    return relevance if heads == 1 else relevance.unflatten(-3, (-1, heads)).sum(-3)


def _scores(query: Tensor, key: Tensor, args: Any, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
    """Scores Q·Kᵀ·scale without mask, and the mask as numbers to add."""
    mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
    causal = kwargs.get("is_causal", args[5] if len(args) > 5 else False)
    scores = torch.matmul(query * _scale(query, kwargs), key.transpose(-1, -2))
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -torch.inf)
    return scores, mask


def _scale(query: Tensor, kwargs: dict[str, Any]) -> float:
    return kwargs.get("scale") or 1.0 / math.sqrt(query.shape[-1])


def _past_mask(
    scores: Tensor, masked: Tensor, mask: Tensor | None, relevance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor | None]:
    """Share relevance between scores and an additive mask."""
    if mask is None:
        return relevance, None
    kept = torch.isfinite(masked)
    z = torch.where(kept, masked, 1.0)
    s = torch.where(kept, divide(relevance, z, epsilon), 0.0)
    return s * scores, s * torch.where(torch.isfinite(mask), mask, 0.0)

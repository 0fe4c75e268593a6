"""One step down through products of matrices, softmax and attention (AttnLRP, arXiv:2402.05602)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.engine.account import Account, divide, per_example
from lrp_explorer.engine.maps import vjp
from lrp_explorer.engine.passing import fit, value_of
from lrp_explorer.engine.record import Record
from lrp_explorer.errors import CoverageError
from lrp_explorer.graph import Node
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
    """Execute `EqualSplit` at a node that is linear in each of its two inputs."""
    doubled = 2.0 * record.value(node.name)
    s = divide(relevance, doubled, rule.stabilizer)
    if account is not None:
        account.book(relevance, s, doubled, rule.stabilizer)
    values = [record.value(name) for name in node.inputs]
    return [vjp(value_of(node, record, i), value, s) * value for i, value in enumerate(values)]


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
    scores, mask = _scores(node, query, key, args, kwargs)
    masked = scores if mask is None else scores + mask
    weights = masked.softmax(-1)
    output = record.value(node.name)
    if not rule.through_softmax:
        s = divide(relevance, output, rule.stabilizer)
        if account is not None:
            account.book(relevance, s, output, rule.stabilizer)
        parts = {2: fit(torch.matmul(weights.transpose(-1, -2), s), value) * value}
    else:
        to_weights, to_value = split_product(weights, value, output, relevance, rule.stabilizer, account)
        to_masked = through_softmax(masked, weights, -1, to_weights, account)
        to_scores = _past_mask(scores, masked, to_masked, rule.stabilizer, account)
        scaled = query * _scale(query, kwargs)
        to_query, to_key = split_product(scaled, key.transpose(-1, -2), scores, to_scores, rule.stabilizer, account)
        parts = {0: to_query, 1: to_key.transpose(-1, -2), 2: to_value}
    given = [position for position, ref in enumerate(node.args[:3]) if getattr(ref, "name", None) in node.inputs]
    return [parts.get(position, torch.zeros_like(args[position])) for position in given]


def _scores(node: Node, query: Tensor, key: Tensor, args: Any, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
    """Scores Q·Kᵀ·scale without mask, and the mask as numbers to add."""
    mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
    causal = kwargs.get("is_causal", args[5] if len(args) > 5 else False)
    if kwargs.get("enable_gqa"):
        raise CoverageError(
            f"layer {node.name!r}: grouped-query attention (enable_gqa) at {node.source} has no rule; "
            "repeat keys and values for every query head before the call, by repeat_interleave"
        )
    scores = torch.matmul(query * _scale(query, kwargs), key.transpose(-1, -2))
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -torch.inf)
    return scores, mask


def _scale(query: Tensor, kwargs: dict[str, Any]) -> float:
    return kwargs.get("scale") or 1.0 / math.sqrt(query.shape[-1])


def _past_mask(scores: Tensor, masked: Tensor, relevance: Tensor, epsilon: float, account: Account | None) -> Tensor:
    """Share relevance between scores and an additive mask, which absorbs its part as a bias does."""
    if masked is scores:
        return relevance
    kept = torch.isfinite(masked)
    z = torch.where(kept, masked, 1.0)
    result = torch.where(kept, divide(relevance, z, epsilon) * scores, 0.0)
    if account is not None:
        account.to_bias = account.to_bias + per_example(relevance) - per_example(result)
    return result

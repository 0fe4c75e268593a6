"""One step down through local response normalisation."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from lrp_explorer.engine.account import Account, divide
from lrp_explorer.engine.record import Record
from lrp_explorer.graph import Node
from lrp_explorer.rules import LRNTaylor


def window_sum(x: Tensor, before: int, after: int) -> Tensor:
    """Sum over channels k − before … k + after, for every channel k of ``x`` ``(batch, channels, ...)``."""
    flat = x.reshape(x.shape[0], 1, x.shape[1], -1)
    padded = functional.pad(flat, (0, 0, before, after))
    size = before + after + 1
    return (functional.avg_pool2d(padded, (size, 1), stride=1) * size).reshape(x.shape)


def taylor_step(
    node: Node, rule: LRNTaylor, record: Record, relevance: Tensor, account: Account | None
) -> list[Tensor]:
    """Execute `LRNTaylor` at a node."""
    (x, size, alpha, beta, offset), _ = record.arguments(node)
    # PyTorch's window of an even size reaches one channel further down than up.
    before, after = size // 2, (size - 1) // 2
    if node.op == "mirrored_response_norm":
        before, after = after, before
    scale = alpha / size
    squares = x.square()
    denominator = offset + scale * window_sum(squares, before, after)
    own = x / (offset + scale * squares) ** beta
    # A neighbour j sends to k: −(pull at k) · x_j².
    pull = 2.0 * beta * scale * x / denominator ** (beta + 1.0)
    messages = own - pull * (window_sum(squares, before, after) - squares)
    s = divide(relevance, messages, rule.stabilizer)
    if account is not None:
        account.book(relevance, s, messages, rule.stabilizer)
    pulled = pull * s
    # Channel j is a neighbour of those k whose window holds j: the window turned round.
    return [own * s - squares * (window_sum(pulled, after, before) - pulled)]

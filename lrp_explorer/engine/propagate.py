"""The walk back: one step per node, where a layer and its rule meet; nowhere else do they."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lrp_explorer.engine.account import Account
from lrp_explorer.engine.attention import attention_step, matmul_step, softmax_step
from lrp_explorer.engine.cache import Memo
from lrp_explorer.engine.first import by_box, by_square, by_view
from lrp_explorer.engine.layer_norm import norm_step
from lrp_explorer.engine.linear import LinearStep
from lrp_explorer.engine.lrn import taylor_step
from lrp_explorer.engine.passing import (
    average,
    by_gradient,
    by_magnitude,
    by_softmax,
    move,
    share_sum,
    to_signal,
    to_winner,
)
from lrp_explorer.engine.record import Record
from lrp_explorer.graph import Graph, Node
from lrp_explorer.graph.layer_norm import is_centred
from lrp_explorer.graph.signs import clips_negative, fixes_zero
from lrp_explorer.rules import (
    Attention,
    Average,
    Epsilon,
    EqualSplit,
    Flat,
    Gradient,
    LinearRule,
    LRNIdentity,
    LRNTaylor,
    Magnitude,
    NormIdentity,
    Pass,
    Rule,
    Signal,
    SoftmaxShare,
    SoftmaxTaylor,
    Winner,
    WSquare,
    ZBox,
    Zero,
)


def step(
    node: Node,
    rule: Rule,
    record: Record,
    relevance: Tensor,
    memo: Memo,
    *,
    vanishes_below: bool = False,
    account: Account | None = None,
) -> list[Tensor]:
    """Hand the relevance of one node's output down to its inputs.

    Parameters
    ----------
    node, rule
        The layer and the rule that serves it.
    record : Record
        The recorded forward pass.
    relevance : Tensor
        Relevance of the node's output, of its shape.
    memo : callable
        ``memo(key, compute)`` keeps what does not depend on relevance.
    vanishes_below : bool
        Relevance is known to be zero wherever the output is not positive, see `rectified`.
    account : Account, optional
        Filled with what no input receives.

    Returns
    -------
    list of Tensor
        Relevance for each of ``node.inputs``, in that order.
    """
    match rule:
        case Pass():
            return move(node, record, relevance, account)
        case NormIdentity() | LRNIdentity():
            return [relevance]
        case LRNTaylor():
            return taylor_step(node, rule, record, relevance, account)
        case SoftmaxTaylor():
            return softmax_step(node, record, relevance, account)
        case EqualSplit():
            return matmul_step(node, rule, record, relevance, account)
        case Attention():
            return attention_step(node, rule, record, relevance, account)
        case Magnitude():
            return by_magnitude(node, rule, record, relevance, account)
        case Gradient():
            return by_gradient(node, record, relevance, account)
        case Winner():
            return to_winner(node, record, relevance)
        case SoftmaxShare():
            return by_softmax(node, record, relevance)
        case Average():
            return average(node, rule, record, relevance, account)
        case Signal():
            return to_signal(node, record, relevance, account)
        case Zero() | Epsilon() if node.kind in ("sum", "shift"):
            return share_sum(node, rule, record, relevance, account, vanishes_below=vanishes_below)
        case Zero() | Epsilon() if node.kind == "layer_norm":
            return norm_step(node, rule, record, relevance, account)
    source = node.inputs[0]
    linear = LinearStep(
        layer=record.maps[node.name],
        x=record.value(source),
        output=lambda: record.value(node.name),
        nonnegative=source in record.nonnegative,
        rectified=record.rectified(node) if vanishes_below else None,
        memo=memo,
        account=account,
    )
    match rule:
        case LinearRule():
            return [linear.by_contribution(rule, relevance)]
        case ZBox():
            return [by_box(linear, rule, relevance)]
        case WSquare():
            return [by_square(linear, rule, relevance)]
        case Flat():
            return [by_view(linear, rule, relevance)]
    raise TypeError(f"no step for rule {rule!r} at layer {node.name!r}")


def rectified(graph: Graph, rules: Mapping[str, Rule]) -> frozenset[str]:
    """Names of the layers whose relevance is zero wherever their output is not positive.

    So it is below a ReLU, if relevance vanishes there where the ReLU's output does; and that holds where everything
    above shares in proportion to its inputs, or passes on what holds of its own output.
    """
    vanishing: set[str] = set()
    found: set[str] = set()
    for name in reversed(graph.layers):
        users = graph.consumers[name]
        if users and all(_clips(user, vanishing, found) for user in users):
            found.add(name)
        if users and all(_vanishes(user, rules[user.name], vanishing) for user in users):
            vanishing.add(name)
    return frozenset(found)


def _clips(user: Node, vanishing: set[str], found: set[str]) -> bool:
    """Whether `user` takes no relevance where its input is not positive; a folded batch norm is there in name only."""
    return user.name in found if user.kind == "identity" else clips_negative(user) and user.name in vanishing


def _vanishes(user: Node, rule: Rule, vanishing: set[str]) -> bool:
    """Whether `user` hands no relevance to an input that is zero."""
    if not rule.proportional:
        return False
    if isinstance(rule, (LinearRule, Average)) and (user.kind != "layer_norm" or is_centred(user)):
        return True
    return fixes_zero(user) and user.name in vanishing

"""FLOOR 1: what contributes, as data. `lrp_explorer.engine` executes rules; nothing is computed here."""

from lrp_explorer.rules.attention import Attention, EqualSplit, NormIdentity, SoftmaxTaylor
from lrp_explorer.rules.base import Rule
from lrp_explorer.rules.first import Bound, Flat, WSquare, ZBox
from lrp_explorer.rules.linear import AlphaBeta, Epsilon, Gamma, LinearRule, Share, Zero, ZPlus
from lrp_explorer.rules.lrn import LRNIdentity, LRNTaylor
from lrp_explorer.rules.passing import Average, Gradient, Magnitude, Pass, Signal, SoftmaxShare, Winner

__all__ = [
    "AlphaBeta",
    "Attention",
    "Average",
    "Bound",
    "Epsilon",
    "EqualSplit",
    "Flat",
    "Gamma",
    "Gradient",
    "LRNIdentity",
    "LRNTaylor",
    "LinearRule",
    "Magnitude",
    "NormIdentity",
    "Pass",
    "Rule",
    "Share",
    "Signal",
    "SoftmaxShare",
    "SoftmaxTaylor",
    "WSquare",
    "Winner",
    "ZBox",
    "ZPlus",
    "Zero",
]

"""FLOOR 1: how contributions add up along paths: algebras, thresholds, and kernels that contract them."""

from lrp_explorer.semirings.algebra import Semiring, check_laws
from lrp_explorer.semirings.library import (
    Boolean,
    Bottleneck,
    Counting,
    PathSemiring,
    Real,
    Thresholded,
    Tropical,
    Viterbi,
)
from lrp_explorer.semirings.registration import build, get, names, register
from lrp_explorer.semirings.thresholds import Apart, PerLayer, Profile, Quantile, Size

__all__ = [
    "Apart",
    "Boolean",
    "Bottleneck",
    "Counting",
    "PathSemiring",
    "PerLayer",
    "Profile",
    "Quantile",
    "Real",
    "Semiring",
    "Size",
    "Thresholded",
    "Tropical",
    "Viterbi",
    "build",
    "check_laws",
    "get",
    "names",
    "register",
]

"""FLOOR 1: composites, ordered tables from kinds of layer to rules, with overrides by name.

``names()`` and ``get(name)`` list the presets; `Composite.override` puts other rules on named layers.
"""

from lrp_explorer.composites.presets import (
    DeepTaylor,
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    LayeredLRP,
    Uniform,
    build,
    get,
    names,
)
from lrp_explorer.composites.table import WEIGHTED, Composite, base_table

__all__ = [
    "WEIGHTED",
    "Composite",
    "DeepTaylor",
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "LayeredLRP",
    "Uniform",
    "base_table",
    "build",
    "get",
    "names",
]

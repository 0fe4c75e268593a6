"""FLOOR 3: questions put to relevance.

masks        relevance folded over many examples of a class: `aggregate` gives `Masks`, `prepare` a `Run` to be watched
"""

from lrp_explorer.analyses.aggregate import aggregate, prepare
from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.run import Run

__all__ = ["Masks", "Run", "aggregate", "prepare"]

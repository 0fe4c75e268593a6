"""FLOOR 2: records one forward pass and walks relevance back through it."""

from lrp_explorer.engine.coverage import coverage
from lrp_explorer.engine.explain import explain
from lrp_explorer.engine.session import Session

__all__ = ["Session", "coverage", "explain"]

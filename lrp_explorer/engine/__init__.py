"""FLOOR 2: records one forward pass and walks relevance back through it."""

from lrp_explorer.engine.coverage import coverage
from lrp_explorer.engine.session import Session, explain

__all__ = ["Session", "coverage", "explain"]

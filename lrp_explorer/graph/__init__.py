"""FLOOR 0: the model as a readable graph."""

from lrp_explorer.graph.nodes import INPUT, Graph, Node, Ref
from lrp_explorer.graph.trace import trace

__all__ = ["INPUT", "Graph", "Node", "Ref", "trace"]

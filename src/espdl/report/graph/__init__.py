"""Drawings of a network: a layered layout and the SVG made from it."""

from espdl.report.graph.drawing import draw_graph
from espdl.report.graph.network import Network, network_of

__all__ = ["Network", "draw_graph", "network_of"]

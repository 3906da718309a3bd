"""Computation graphs to look at, step through and learn from."""

from autograd_lite.graphs.compare import Comparison as Comparison
from autograd_lite.graphs.compare import compare_graphs as compare_graphs
from autograd_lite.graphs.layout import NoLayoutEngine as NoLayoutEngine
from autograd_lite.graphs.views import Graph as Graph
from autograd_lite.graphs.views import explain as explain
from autograd_lite.graphs.views import graph as graph
from autograd_lite.graphs.watch import NonfiniteError as NonfiniteError
from autograd_lite.graphs.watch import find_nonfinite as find_nonfinite
from autograd_lite.graphs.watch import recording as recording

__all__ = [
    "Comparison",
    "Graph",
    "NoLayoutEngine",
    "NonfiniteError",
    "compare_graphs",
    "explain",
    "find_nonfinite",
    "graph",
    "recording",
]


def __dir__() -> list[str]:
    return __all__

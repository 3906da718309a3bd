"""The programs that lay out graphs: where they are, and what to do where there is none."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

FONT = "Helvetica"  # its widths, those of Arial, are known to every program
FONTS = "Helvetica,Arial,Liberation Sans,sans-serif"  # what a reader may have of that width
SHARP = "-Gdpi=160"  # of PNG, which is not drawn at 72 dots an inch on any screen


class NoLayoutEngine(RuntimeError):
    """Nothing that lays out graphs is installed: the extra ``svg``, or Graphviz."""


def laid_out(dot: str, format: str, target: str) -> bytes:
    """Return a graph in Graphviz's language as SVG, PNG or PDF.

    The extra ``svg`` comes first, so that a picture is the same everywhere; Graphviz itself
    serves where it is missing, and for PDF, which the extra does not write.

    Raises
    ------
    NoLayoutEngine
        If nothing here can lay it out.
    """
    own = None if format == "pdf" else own_program()
    program = own or shutil.which("dot")
    if program is None:
        raise NoLayoutEngine(_remedy(format, target))
    done = subprocess.run(
        [program, f"-T{format}", *[SHARP] * (format == "png")],
        input=dot.encode(),
        capture_output=True,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # a notebook on Windows has none
    )
    if done.returncode:
        raise RuntimeError(f"{program} could not draw {target}: {done.stderr.decode().strip()}")
    if format == "svg":
        return re.sub(rb'font-family="[^"]*"', f'font-family="{FONTS}"'.encode(), done.stdout)
    return done.stdout


def own_program() -> str | None:
    """Return the program that the extra ``svg`` installed, which need not be on the path."""
    try:
        files = distribution("graphviz-pure").files or ()
    except PackageNotFoundError:
        return None
    places = (Path(str(file.locate())) for file in files if file.stem == "graphviz-pure")
    return next((str(place) for place in places if place.exists()), None)


def _remedy(format: str, target: str) -> str:
    graphviz = "install Graphviz (apt, brew or winget install graphviz)"
    if format == "pdf":
        return (
            f"{target} needs Graphviz itself, which is not installed: {graphviz}; "
            f'graph.save("graph.svg") and graph.save("graph.png") need the extra "svg" alone'
        )
    return (
        f"{target} needs a program that lays out graphs, and none is installed: "
        f'python -m pip install "autograd_lite[svg]", or {graphviz}; '
        f'graph.save("graph.dot") works without'
    )

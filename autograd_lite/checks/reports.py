"""What a check of a closed form found: a verdict for each cell, and a table of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from operator import attrgetter
from typing import Any

import numpy as np

from autograd_lite.checks.referee import DIRECTIONS


@dataclass(frozen=True)
class Cell:
    """One cell of a gradient, computed in three ways.

    ``ulps`` is the difference between the claimed value and backpropagation's, in units of the
    spacing of floating-point numbers at the larger of the two; ``slopes`` are the numeric slopes
    just before and just after the point, equal but at a kink. Of more than 500 cells the numeric
    derivative is computed in some alone, and is None in the others. The verdict is one of

    ========== ==============================================================================
    ``ok``     at most 16 ulps differ
    ``rounding`` more differ, and the more precisely both are computed the less
    ``kink``   the function has no derivative here, and the claim lies between the two slopes
    ``unsure`` backpropagation disagrees with the numeric derivative, so that a rule may be wrong,
               or too few digits are left to judge by
    ``wrong``  the claim is
    ========== ==============================================================================

    Examples
    --------
    >>> report = ag.check_closed_form(lambda x: np.sum(x**3), lambda x: 3 * x, np.array([1.0, 2.0]))
    >>> cell = report.cells[1]
    >>> cell.index, cell.claimed, cell.backpropagation, cell.verdict
    ((1,), 6.0, 12.0, 'wrong')
    """

    index: tuple[int, ...]
    claimed: float
    backpropagation: float
    numeric: float | None
    ulps: float
    verdict: str
    slopes: tuple[float, float]

    def _columns(self) -> list[str]:
        """Return what a table shows: cell, verdict, the three values and how far they differ."""
        loud = self.verdict in ("wrong", "unsure")
        apart = f"{self.claimed - self.backpropagation:+.6g}" if loud else f"{self.ulps:.3g} ulp"
        if abs(self.slopes[1] - self.slopes[0]) > 1e-4 * max(map(abs, self.slopes)):
            kink = "kink: slope {:.4g} before, {:.4g} after".format(*self.slopes)
            apart = kink if self.verdict == "kink" else f"{apart}  {kink}"
        values = (self.claimed, self.backpropagation, self.numeric)
        shown = ["-" if value is None else f"{value + 0.0:.7g}" for value in values]
        index = str(list(self.index)).replace(" ", "")
        return [index, self.verdict.upper() if loud else self.verdict, *shown, apart]


@dataclass(frozen=True, repr=False)
class ClosedFormReport:
    """A claimed gradient beside backpropagation and numeric derivatives: it shows as a table.

    There is one of the ``cells`` for each of the gradient, which has the ``dtype``; ``cause`` names
    the mistake where one of the usual ones explains every wrong cell.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> report = ag.check_closed_form(lambda x: np.sum(x**2), lambda x: -2 * x, x)
    >>> report.ok, len(report.wrong), report.cause
    (False, 2, 'the sign is flipped')
    """

    cells: tuple[Cell, ...]
    dtype: np.dtype[Any]
    cause: str | None = None

    @property
    def ok(self) -> bool:
        """Whether no cell of the claim is wrong, nor backpropagation in doubt."""
        return not self._count("wrong") and not self._count("unsure")

    @property
    def max_ulp(self) -> float:
        """The largest difference between the claim and backpropagation, in ulps, but at kinks."""
        return max((cell.ulps for cell in self.cells if cell.verdict != "kink"), default=0.0)

    @property
    def wrong(self) -> tuple[Cell, ...]:
        """The cells in which the claim is wrong."""
        return tuple(cell for cell in self.cells if cell.verdict == "wrong")

    def _count(self, verdict: str) -> str:
        """Return how many cells have a verdict, in words; nothing if none has."""
        count = sum(cell.verdict == verdict for cell in self.cells)
        return f"{count} cell{'s' * (count > 1)}" if count else ""

    def _rows(self) -> list[Cell]:
        """Return the cells that a table shows: wrong ones before others, all in their order."""
        shown = sorted(self.cells, key=lambda cell: cell.verdict != "wrong")[:_SHOWN]
        return sorted(shown, key=attrgetter("index"))

    def _sentences(self) -> Iterator[str]:
        """Yield what is said below the table."""
        if len(self.cells) > _SHOWN:
            yield f"... and {len(self.cells) - _SHOWN} cells more"
        conclusion = f"agrees with backpropagation within {self.max_ulp:.3g} ulp ({self.dtype})"
        if self.wrong:
            conclusion = f"is wrong in {len(self.wrong)} of {len(self.cells)} cells"
        elif self._count("rounding"):
            conclusion = (
                f"is right as mathematics; up to {self.max_ulp:.3g} ulp ({self.dtype}) are lost to "
                f"rounding"
            )
        if self.wrong or self.ok:
            yield f"The closed form {conclusion}."
        taken = sum(cell.numeric is not None for cell in self.cells)
        if taken < len(self.cells):
            yield (
                f"The numeric derivative was taken in {taken} of {len(self.cells)} cells and in "
                f"{DIRECTIONS} directions through all of them."
            )
        for verdict, meaning in _MEANINGS.items():
            if which := self._count(verdict):
                yield f"In {which} {meaning}."
        if self.cause is not None:
            yield f"Likely cause: {self.cause}."

    def __str__(self) -> str:
        rows = [_TITLES, *(cell._columns() for cell in self._rows())]
        widths = [max(map(len, column)) for column in zip(*rows)]
        padded = ([f"{t:{side}{w}}" for t, side, w in zip(row, "><>>><", widths)] for row in rows)
        return "\n".join([*("  ".join(row).rstrip() for row in padded), *self._sentences()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table, in the page's own colours, verdicts marked."""

        def row(tag: str, texts: Sequence[str], style: str = "") -> str:
            cells = (
                f'<{tag} style="text-align: {side}; {style}">{escape(text)}</{tag}>'
                for text, side in zip(texts, _SIDES)
            )
            return f"<tr>{''.join(cells)}</tr>"

        rows = [row("td", cell._columns(), _STYLES.get(cell.verdict, "")) for cell in self._rows()]
        said = "".join(f"<div>{escape(sentence)}</div>" for sentence in self._sentences())
        table = f"<table>{row('th', _TITLES)}{''.join(rows)}</table>"
        return f'<div style="font-variant-numeric: tabular-nums">{table}{said}</div>'


_SHOWN = 40  # cells of a table
_TITLES = ["cell", "verdict", "claimed", "backprop", "numeric", "difference"]
_SIDES = ("right", "left", "right", "right", "right", "left")
# Laid over the page's own colours, be it light or dark.
_STYLES = {
    "wrong": "background: rgba(224, 49, 49, 0.3); font-weight: bold",
    "unsure": "background: rgba(151, 90, 220, 0.3); font-weight: bold",
    "rounding": "background: rgba(240, 160, 0, 0.2)",
    "kink": "background: rgba(70, 130, 230, 0.2)",
}
_MEANINGS = {
    "kink": "there is no derivative: anything between the slopes before and after is right",
    "unsure": "backpropagation and the numeric derivative disagree: a derivative rule may be wrong "
    "(ag.check_grads tells), the function jumps, or too few digits are left to compare",
}

"""What a check of a closed form found: a verdict for each cell, and a table of them."""

from __future__ import annotations

from dataclasses import dataclass
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

    def __str__(self) -> str:
        remark = {"wrong": "  WRONG", "rounding": "  rounding", "unsure": "  UNSURE"}
        size = "" if self.verdict == "kink" else f"{self.ulps:.3g} ulp"
        if self.verdict in ("wrong", "unsure"):
            size = f"{self.claimed - self.backpropagation:+.6g}"
        kink = abs(self.slopes[1] - self.slopes[0]) > 1e-4 * max(map(abs, self.slopes))
        slopes = "  kink: slope {:.4g} before, {:.4g} after".format(*self.slopes) if kink else ""
        numeric = "-" if self.numeric is None else f"{self.numeric + 0.0:.7g}"
        return (
            f"{str(list(self.index)).replace(' ', ''):>10} {self.claimed + 0.0:>14.7g} "
            f"{self.backpropagation + 0.0:>14.7g} {numeric:>14}  "
            + f"{size}{remark.get(self.verdict, '')}{slopes}".strip()
        )


@dataclass(frozen=True)
class ClosedFormReport:
    """A claimed gradient beside backpropagation and numeric derivatives; ``str`` gives a table.

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

    def __str__(self) -> str:
        lines = [f"{'cell':>10} {'claimed':>14} {'backprop':>14} {'numeric':>14}  difference"]
        shown = sorted(self.cells, key=lambda cell: cell.verdict != "wrong")[:_SHOWN]
        lines += map(str, sorted(shown, key=attrgetter("index")))
        if len(shown) < len(self.cells):
            lines.append(f"{'...':>10} and {len(self.cells) - len(shown)} cells more")
        conclusion = f"agrees with backpropagation within {self.max_ulp:.3g} ulp ({self.dtype})"
        if self.wrong:
            conclusion = f"is wrong in {len(self.wrong)} of {len(self.cells)} cells"
        elif self._count("rounding"):
            conclusion = (
                f"is right as mathematics; up to {self.max_ulp:.3g} ulp ({self.dtype}) are lost to "
                f"rounding"
            )
        if self.wrong or self.ok:
            lines.append(f"The closed form {conclusion}.")
        taken = sum(cell.numeric is not None for cell in self.cells)
        if taken < len(self.cells):
            lines.append(
                f"The numeric derivative was taken in {taken} of {len(self.cells)} cells and in "
                f"{DIRECTIONS} directions through all of them."
            )
        for verdict, meaning in _MEANINGS.items():
            if which := self._count(verdict):
                lines.append(f"In {which} {meaning}.")
        if self.cause is not None:
            lines.append(f"Likely cause: {self.cause}.")
        return "\n".join(lines)


_SHOWN = 40  # cells of a table
_MEANINGS = {
    "kink": "there is no derivative: anything between the slopes before and after is right",
    "unsure": "backpropagation and the numeric derivative disagree: a derivative rule may be wrong "
    "(ag.check_grads tells), the function jumps, or too few digits are left to compare",
}

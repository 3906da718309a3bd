"""Numeric derivatives, each with an estimate of its own error.

They are central differences, extrapolated to step 0 (Richardson) in extended precision where the
function allows it: good to about 12 digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.checks.functions import cast, precise
from autograd_lite.transforms.trees import Function, Tree, flatten, is_float

_LEVELS = 26  # of halved steps, at most


class Slope(NamedTuple):
    """A numeric derivative, an estimate of its error, and what shows that there may be none.

    From one step to a quarter of it, the difference between the slopes on the two sides shrinks to
    a quarter where the function is smooth; ``bend`` says to what it did: 1 at a kink, 4 at a jump.
    """

    value: Any
    error: Any
    bend: Any


class Numeric:
    """A function of arrays to a number, to be differentiated numerically.

    Its variable is the vector ``x`` of all cells of its floating-point arguments, or of those in
    some of the leaves alone.
    """

    def __init__(self, f: Function, args: Sequence[Tree], leaves: slice = slice(None)) -> None:
        args, self.here = precise(lambda dtype: (own := cast(args, dtype), f(*own)))
        self.f, self.args = f, args
        self.leaves, self.rebuild = flatten(args)
        self.places = [i for i in range(len(self.leaves))[leaves] if is_float(self.leaves[i])]
        self.eps = np.finfo(np.asarray(self.here).dtype).eps
        self.x = np.concatenate([self.leaves[i].ravel() for i in self.places])
        self.ends = np.cumsum([self.leaves[i].size for i in self.places])

    def __call__(self, x: Any) -> Any:
        """Return the value at other cells."""
        leaves = list(self.leaves)
        for place, end in zip(self.places, self.ends):
            leaf = leaves[place]
            leaves[place] = x[end - leaf.size : end].reshape(leaf.shape)
        return self.f(*self.rebuild(leaves))

    def cell(self, i: int) -> tuple[int, tuple[int, ...]]:
        """Return the leaf that holds a cell, and the cell's index in it."""
        k = int(np.searchsorted(self.ends, i, side="right"))
        leaf = self.leaves[self.places[k]]
        index = np.unravel_index(i - self.ends[k] + leaf.size, leaf.shape)
        return self.places[k], tuple(int(n) for n in index)

    def along(self, v: Any, rtol: float, size: Any) -> Slope:
        """Return the derivative along a direction.

        Central differences at halved steps are extrapolated to step 0 by Richardson's scheme: each
        column removes the next even power of the step from the error. The error of an entry is
        taken to be what the last halving changed in its column, and the rounding of the values. The
        entry with the least is returned, once it is below ``rtol`` times ``size`` or the value.
        """
        row: list[Any] = []
        bends: list[Any] = []
        value, error = np.nan, np.inf
        for level in range(_LEVELS):
            h = self.eps**0.125 / 2**level
            with np.errstate(all="ignore"):
                up, down = self(self.x + h * v), self(self.x - h * v)
                rounding = self.eps * max(abs(up), abs(down)) / h
                new = [(up - down) / (2 * h)]
                for k, old in enumerate(row):
                    if abs(new[k] - old) + rounding < error:
                        value, error = new[k], abs(new[k] - old) + rounding
                    new.append(new[k] + (new[k] - old) / (4 ** (k + 1) - 1))
                bends.append(abs(up - self.here + (down - self.here)) / h)
            row = new
            if level >= 2 and error <= max(rtol * max(size, abs(value)), 2 * rounding):
                break
        with np.errstate(all="ignore"):
            least = max(1e-4 * max(size, abs(value)), 1e4 * error, 1e2 * rounding, 1e-12 / h)
            significant = bends[-1] > least
            bend = bends[-1] / bends[-3] if significant else 0
        return Slope(value, error, bend)

    def in_cell(self, i: int, rtol: float, size: Any) -> Slope:
        """Return the derivative in one cell, by steps that suit the cell's size."""
        v = self.unit(i)
        value, error, bend = self.along(v, rtol, v[i] * size)
        return Slope(value / v[i], error / v[i], bend)

    def noise(self, i: int) -> Any:
        """Return what rounding of the function's values makes of the derivative in one cell."""
        if self.eps > 1e-12:
            return 0.0
        return 1e4 * self.grain / self.eps**0.125 / self.unit(i)[i]

    @cached_property
    def grain(self) -> Any:
        """How far rounding moves the function's values: the size of their fourth differences."""
        sizes = np.where(self.x == 0, 1, np.minimum(1, abs(self.x)))
        v = np.maximum(self.eps**0.3 * sizes, 1e3 * self.eps * abs(self.x))
        v = v * np.random.default_rng(0).uniform(-1, 1, len(v))
        with np.errstate(all="ignore"):
            sides = [  # of the point, at which there may be a kink
                np.max(np.abs(np.diff([self(self.x + k * v) for k in range(start, start + 9)], 4)))
                for start in (-20, 12)
            ]
            return np.fmax(np.min(sides), self.eps * abs(self.here))

    def unit(self, i: int) -> Any:
        """Return the direction of a cell, of the length of the cell's steps."""
        v = np.zeros_like(self.x)
        v[i] = max(1, abs(self.x[i]))
        return v

    def direction(self, rng: np.random.Generator) -> Any:
        """Return a random direction through all cells, as long as that of one."""
        n = len(self.x)
        lengths = rng.choice([-1, 1], n) * rng.uniform(0.5, 1, n) / np.sqrt(n)
        return lengths * np.maximum(1, abs(self.x))

    def culprit(self, gradient: Any, v: Any) -> int:
        """Return a cell in which a gradient is off, given a direction along which it is."""
        cells = np.arange(len(v))
        while len(cells) > 1:
            halves = np.array_split(cells, 2)
            off = []
            for half in halves:
                part = np.zeros_like(v)
                part[half] = v[half]
                off.append(abs(gradient[half] @ v[half] - self.along(part, 1e-9, 0).value))
            cells = halves[int(np.argmax(off))]
        return int(cells[0])

    def sides(self, i: int) -> tuple[float, float, bool]:
        """Return the slopes in a cell before and after the point, and whether it is a kink."""
        v = self.unit(i)
        slopes = []
        with np.errstate(all="ignore"):
            for h in (1e-4, 1e-6):
                slopes.append([(self(self.x + s * v) - self.here) / (s * v[i]) for s in (-h, h)])
        far, near = (abs(after - before) for before, after in slopes)
        before, after = (float(slope) + 0.0 for slope in slopes[1])
        least = 1e-4 * max(abs(before), abs(after)) + 1e2 * self.grain / 1e-6 / v[i]
        kink = 0.1 * far < near < 10 * far and near > least
        return before, after, bool(kink)

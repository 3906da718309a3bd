"""Mini-batches of arrays or sequences, in an order that can be resumed anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import ordinary, values_of
from autograd_lite.engine.tensor import Tensor
from autograd_lite.nn.arguments import count, generator, positive

__all__ = ["Batches", "train_test_split"]


def __dir__() -> list[str]:
    return __all__


class Batches:
    """Mini-batches of one or several arrays or sequences of equal length.

    Each loop over it is one epoch. The order of epoch number e depends on a seed and e alone, so
    that ``(seed, epoch, position)`` is all it takes to resume. There is one position: a loop that
    another one has followed cannot go on, so loops within loops need Batches of their own.

    Parameters
    ----------
    *arrays : array_like, or sequence
        Indexed along their first axis. A sequence whose items are tuples ``(x, y)`` gives batches
        ``(x, y)`` too, of stacked items. Arrays of a kind of their own, such as data sets of h5py,
        are read in rising order, whatever the order of the batch. Batches are copies, but those of
        a read-only array are read-only too; what is computed with them need not check, before it is
        differentiated, that they are unchanged.
    batch_size : int
        The number of items in each batch, but perhaps the last.
    shuffle : bool
        Whether the items come in a new random order each epoch.
    drop_last : bool
        Whether to leave out a last batch that is not full.
    rng : numpy.random.Generator, optional
        Draws the seed of the orders; needed to shuffle.

    Raises
    ------
    TypeError
        If something cannot be indexed by place, such as a generator, a set, or a sparse matrix.
    ValueError
        If the lengths differ, or there is nothing to give out; in a loop, if items that make a
        batch differ in shape.
    RuntimeError
        In a loop that goes on after another one over the same Batches has begun.

    Examples
    --------
    >>> x, y = np.arange(5.0), np.arange(5)
    >>> data = ag.data.Batches(x, y, batch_size=2, rng=np.random.default_rng(1))
    >>> for xs, ys in data:
    ...     print(xs, ys)
    [3. 0.] [3 0]
    [2. 1.] [2 1]
    [4.] [4]
    """

    def __init__(
        self,
        *arrays: Any,
        batch_size: int = 32,
        shuffle: bool = True,
        drop_last: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        if not arrays or any(isinstance(a, Mapping) for a in arrays):
            raise TypeError("Batches: expected one or more arrays or sequences, and no dictionary")
        count("Batches", batch_size=batch_size)
        self.arrays = [_indexed(ordinary(a, "Batches")) for a in arrays]
        lengths = [len(a) for a in self.arrays]
        if len(set(lengths)) > 1:
            raise ValueError(f"Batches: the lengths differ: {', '.join(map(str, lengths))}")
        if not lengths[0] or (drop_last and lengths[0] < batch_size):
            raise ValueError(f"Batches: {lengths[0]} items make no batch of {batch_size}")
        self.length = lengths[0]
        self.batch_size = int(batch_size)
        self.drop_last = drop_last
        self.seed = None
        if shuffle:
            self.seed = int(generator("Batches (to shuffle)", rng).integers(2**63))
        self.epoch = 0
        self.position = 0  # batches handed out in this epoch
        self._resumed = False
        self._loops = 0  # begun or made void so far; only the latest may go on

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        if not self._resumed:
            self.position = 0
        self._resumed = False
        self._loops += 1
        loop = self._loops
        order = None
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        while self.position < len(self):
            place = slice(self.position * self.batch_size, (self.position + 1) * self.batch_size)
            self.position += 1
            picked = place if order is None else order[place]
            batch = tuple(_items(a, picked) for a in self.arrays)
            yield batch[0] if len(batch) == 1 else batch
            if loop != self._loops:
                raise RuntimeError(
                    "Batches: this loop cannot go on, as another over the same Batches (or "
                    "load_state_dict) has moved the position since; make Batches for each loop"
                )
        self.epoch += 1
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the position: the next batch is the one that would come now."""
        names = ("seed", "epoch", "position", "length", "batch_size")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position; the next loop goes on from there to the end of that epoch.

        Raises
        ------
        ValueError
            If it is the position in data of another length or batch size.
        """
        for name in ("length", "batch_size"):
            if state[name] != getattr(self, name):
                raise ValueError(
                    f"Batches.load_state_dict: the state was saved with {name}={state[name]}, "
                    f"but here it is {getattr(self, name)}"
                )
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]
        self._resumed = True
        self._loops += 1


def _indexed(source: Any) -> Any:
    """Return what has a length and is indexed by place."""
    # pandas indexes by label, except with iloc; a memoryview by one number.
    by_place = hasattr(source, "__getitem__") and not hasattr(source, "iloc")
    if isinstance(source, memoryview) or (hasattr(source, "__array__") and not by_place):
        return np.asarray(source)
    try:
        len(source)
        if hasattr(source, "__getitem__"):
            return source
    except TypeError:  # sparse matrices, and generators
        pass
    raise TypeError(
        f"Batches: cannot take items by their place from {type(source).__name__}; give arrays or "
        f"sequences: list(...) of a generator or set, .toarray() of a sparse matrix"
    )


def _items(source: Any, picked: Any) -> Any:
    """Return some items of an array, or those of a sequence stacked into arrays."""
    whole = isinstance(picked, slice)
    if type(source) is np.ndarray and not whole:
        items = source.take(picked, axis=0)  # copies whole rows, unlike indexing
        items.setflags(write=source.flags.writeable)
        return items
    if isinstance(source, np.ndarray) and whole and source.flags.writeable:
        return source[picked].copy()
    if hasattr(source, "shape"):
        try:
            return values_of(source[picked], "Batches")
        except (TypeError, ValueError):  # files of HDF5 want places in increasing order
            if whole or isinstance(source, (np.ndarray, Tensor)):
                raise
        order = np.argsort(picked)
        return values_of(source[picked[order]], "Batches")[np.argsort(order)]
    places = range(len(source))[picked] if isinstance(picked, slice) else picked.tolist()
    items = [source[i] for i in places]
    if isinstance(items[0], tuple):
        return tuple(map(_stacked, zip(*items)))
    return _stacked(items)


def _stacked(items: Sequence[Any]) -> Any:
    try:
        return np.stack(items)
    except ValueError:
        shapes = sorted({np.shape(item) for item in items})
        raise ValueError(
            f"Batches: items of a batch differ in shape, as {shapes[0]} and {shapes[-1]}; pad them "
            f"to one, or give fit a list of batches (x, target) instead"
        ) from None


def train_test_split(
    *arrays: Any,
    test_size: float,
    rng: np.random.Generator,
    stratify: Any = None,
) -> list[Any]:
    """Return each array as two: a part to train with and a random part to test with.

    Parameters
    ----------
    *arrays : array_like
        Of equal length.
    test_size : float or int
        The share of the test part, or its number of items.
    rng : numpy.random.Generator
        Draws the test part.
    stratify : array_like, optional
        Labels; each keeps its share in both parts as well as whole items allow.

    Returns
    -------
    list
        ``[a_train, a_test, b_train, b_test, ...]``

    Notes
    -----
    As scikit-learn's function of that name, for those who do without it; that one does as well, and
    so do its other ways to split.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> train, test = ag.data.train_test_split(np.arange(6), test_size=2, rng=rng)
    >>> train, test
    (array([0, 1, 4, 5]), array([2, 3]))
    """
    generator("train_test_split", rng)
    sources = [np.asarray(ordinary(a, "train_test_split")) for a in arrays]
    if not sources or len({len(a) for a in sources}) > 1:
        raise ValueError(
            f"train_test_split: expected arrays of one length, got {[len(a) for a in sources]}"
        )
    n = len(sources[0])
    positive("train_test_split", test_size=test_size)
    k = test_size if isinstance(test_size, (int, np.integer)) else math.ceil(test_size * n)
    if k >= n:
        raise ValueError(
            f"train_test_split: test_size={test_size} of {n} items leaves a part empty"
        )
    labels = np.zeros(n) if stratify is None else np.asarray(stratify)
    test = np.zeros(n, bool)
    test[_stratified(labels, n, k, rng)] = True
    return [part for a in sources for part in (a[~test], a[test])]


def _stratified(labels: Any, n: int, k: int, rng: np.random.Generator) -> Sequence[int]:
    """Return k places among n, each label's number in proportion (largest remainders first)."""
    if labels.shape != (n,):
        raise ValueError(f"train_test_split: stratify needs shape ({n},), got {labels.shape}")
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    exact = counts * k / n
    quota = np.floor(exact).astype(int)
    most = np.argsort(quota - exact, kind="stable")
    quota[most[: k - quota.sum()]] += 1
    chosen: list[int] = []
    for label, number in enumerate(quota):
        chosen.extend(rng.permutation(np.flatnonzero(inverse == label))[:number])
    return chosen

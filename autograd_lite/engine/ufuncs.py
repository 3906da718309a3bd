"""Where ufuncs are called, and what they warn of is said of the user's line.

NumPy blames a division by zero or an overflow on the line of Python that called the ufunc, which
for a tensor is this package's own. Asking NumPy beforehand to report it in another way would make
every operation dearer, so it is done when it happens: a module whose ``__warningregistry__`` is no
dict cannot be warned of, and what tries to gets a TypeError, from which the call starts anew. That
costs nothing where there is nothing to warn of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_lite.engine.names import name_shapes
from autograd_lite.engine.places import computed_with_warnings
from autograd_lite.engine.table import Primitive

__warningregistry__ = False  # false, so that unittest's assertWarns does not put a dict here


def computed(entry: Primitive, arguments: Sequence[Any]) -> Any:
    """Return what a ufunc computes."""
    try:
        return entry.function(*arguments)
    except Exception as error:
        if type(error) is not TypeError:
            name_shapes(error, entry.name, arguments)
            raise
    try:  # outside of the handler, so that what is raised now stands alone
        return computed_with_warnings(entry.function, arguments)
    except Exception as error:
        name_shapes(error, entry.name, arguments)
        raise

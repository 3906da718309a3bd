"""Keywords that other libraries' transforms take: what says the same here."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from autograd_lite.transforms.trees import Function

F = TypeVar("F", bound=Function)

_SAYS = {
    "argnums": "is called argnum here, and takes a tuple of positions too",
    "has_aux": "is not taken: ag.vjp gives all that a function returns, and pulls None back from "
    "what is not differentiated: (loss, other), pull = ag.vjp(f, x); pull((1.0, None))",
}
_NO_ARGNUM = "is not taken: it differentiates in all arguments; fix the others in a lambda"


def names_keywords(transform: F) -> F:
    """Return a transform that, given a keyword of another library, says what ours is."""
    name = f"ag.{transform.__name__}"
    every = transform.__name__ in ("vjp", "jvp", "hvp")  # differentiate in every argument

    @functools.wraps(transform)
    def checked(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        for keyword, says in _SAYS.items():
            if keyword in kwargs:
                says = _NO_ARGNUM if every and keyword == "argnums" else says
                raise TypeError(f"{name}: {keyword}= {says}")
        return transform(*args, **kwargs)

    return checked  # type: ignore[return-value]

"""Show the docstrings' Sphinx roles, such as ``:func:`fit` ``, as plain code in the built pages."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod):(`[^`]+`)")


class Roles(griffe.Extension):
    """Strip the roles from each docstring."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of one class, function, attribute or module."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"\1", obj.docstring.value)

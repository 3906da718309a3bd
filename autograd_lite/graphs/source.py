"""Rules as text: what their own source says, so that the two cannot drift apart."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import types
from collections.abc import Callable
from typing import Any

from autograd_lite.engine.nodes import Node, note_of
from autograd_lite.engine.table import Primitive


def noted(node: Any, what: str) -> Any:
    """Return what a node bears for graphs alone, as far as it does: its value, name, origin."""
    bearer = note_of(node) if isinstance(node, Node) and node.plan is not None else node
    return getattr(bearer, what, None)


def argument_name(primitive: Primitive, argnum: int) -> str:
    """Return what an argument is called; one of several, ``arrays[1]``."""
    variadic = primitive.variadic
    if variadic is not None and argnum >= variadic:
        return f"{primitive.parameters[variadic]}[{argnum - variadic}]"
    return primitive.parameters[argnum]


def rule_of(primitive: Primitive, argnum: int) -> str:
    """Return the rule for an argument as text."""
    variadic = primitive.variadic
    return rule_text(primitive.rules[argnum if variadic is None else min(argnum, variadic)])


def held(node: Node) -> dict[str, Any]:
    """Return what the rules of a recorded call hold, by the names that they read it under."""
    plan = node.plan
    assert plan is not None
    return {
        source if isinstance(source, str) else plan.primitive.parameters[source]: item
        for source, item in zip(plan.sources, node.saved)
        if source is not None
    }


@functools.cache
def rule_text(rule: Callable[..., Any]) -> str:
    """Return a rule's formula; for one that is a named function, its name and what it says it does.

    Examples
    --------
    >>> from autograd_lite.engine.table import TABLE
    >>> from autograd_lite.graphs.source import rule_text
    >>> rule_text(TABLE[np.exp].rules[0])
    'g * ans'
    """
    if rule.__name__ == "<lambda>" and isinstance(rule, types.FunctionType):
        return _lambda_body(rule) or "a lambda whose source is not at hand"
    name = rule.__name__.lstrip("_")
    says = (inspect.getdoc(rule) or "").partition("\n")[0].replace("``", "")
    return f"{says.removeprefix('Return ').rstrip('.')} ({name})" if says else name


def _lambda_body(function: types.FunctionType) -> str:
    """Return the expression that a lambda computes, on one line; empty where it is not at hand."""
    code = function.__code__
    source, lambdas = _lambdas(code.co_filename)
    # Several may start on one line; the body's own place tells which.
    places = {p[:1] + p[2:3] for p in code.co_positions() if None not in p}
    for found in lambdas:
        body = found.body
        start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
        first = found.lineno == code.co_firstlineno
        if first and any(p[0] == body.lineno and start <= p <= end for p in places):
            return " ".join((ast.get_source_segment(source, body) or "").split())
    return ""


@functools.cache
def _lambdas(filename: str) -> tuple[str, list[ast.Lambda]]:
    source = "".join(linecache.getlines(filename))
    try:
        nodes = ast.walk(ast.parse(source))
    except SyntaxError:  # of a file that is being edited
        return "", []
    return source, [node for node in nodes if isinstance(node, ast.Lambda)]

"""Rules as text: what their own source says, so that the two cannot drift apart."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import types
from collections.abc import Callable
from typing import Any

from autograd_lite.tape import Node, Primitive


def argument_and_rule(primitive: Primitive, argnum: int) -> tuple[str, Callable[..., Any] | None]:
    """Return the name of an argument, one of several as ``arrays[1]``, and its rule, if any."""
    variadic = primitive.variadic
    if variadic is not None and argnum >= variadic:
        return f"{primitive.parameters[variadic]}[{argnum - variadic}]", primitive.rules[variadic]
    return primitive.parameters[argnum], dict(enumerate(primitive.rules)).get(argnum)


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
def rule_text(rule: Callable[..., Any] | None) -> str:
    """Return a rule's formula; for one that is a named function, its name and what it says it does.

    Examples
    --------
    >>> from autograd_lite.tape import TABLE
    >>> from autograd_lite.graphs.source import rule_text
    >>> rule_text(TABLE[np.exp].rules[0])
    'g * ans'
    """
    if rule is None:
        return "not differentiable"
    if rule.__name__ == "<lambda>" and isinstance(rule, types.FunctionType):
        return _lambda_body(rule) or "a lambda whose source is not at hand"
    name = rule.__name__.lstrip("_")
    says = (inspect.getdoc(rule) or "").partition("\n")[0].replace("``", "")
    return f"{says.removeprefix('Return ').rstrip('.')} ({name})" if says else name


def _lambda_body(function: types.FunctionType) -> str | None:
    """Return the expression that a lambda computes, on one line."""
    code = function.__code__
    parsed = _lambdas(code.co_filename)
    if parsed is None:
        return None
    lines, lambdas = parsed
    # Several may start on one line; the body's own place tells which.
    places = {p[:1] + p[2:3] for p in code.co_positions() if None not in p}
    for found in lambdas:
        body = found.body
        if found.lineno == code.co_firstlineno and any(
            line == body.lineno
            and (line, column) >= (body.lineno, body.col_offset)
            and (line, column) <= (body.end_lineno, body.end_col_offset)
            for line, column in places
        ):
            segment = ast.get_source_segment("".join(lines), body)
            return " ".join(segment.split()) if segment else None
    return None


@functools.cache
def _lambdas(filename: str) -> tuple[list[str], list[ast.Lambda]] | None:
    lines = linecache.getlines(filename)
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return None
    return (lines, [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)])

"""Rules as text: what their own source says, so that the two cannot drift apart.

A function says how it reads in the first line of its docstring, between backticks, after ``Return``
or a colon: that is what is told of a rule, and of a function that a rule which is a lambda calls.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import re
import types
from collections.abc import Callable, Mapping
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
    """Return the rule for an argument as one would write it: ``xᵀ @ g``."""
    variadic = primitive.variadic
    return _as_written(primitive.rules[argnum if variadic is None else min(argnum, variadic)])


def held(node: Node) -> dict[str, Any]:
    """Return what the rules of a recorded call hold, by the names that they read it under."""
    plan = node.plan
    assert plan is not None
    return {
        source if isinstance(source, str) else plan.primitive.parameters[source]: item
        for source, item in zip(plan.sources, node.saved)
        if source is not None
    }


_ATOM = re.compile(r"[\w.]+(\([^()]*\))?")  # what needs no parentheses, at least


@functools.cache
def rule_text(rule: Callable[..., Any]) -> str:
    """Return a rule's formula; for one that is a named function, what it says it does.

    Examples
    --------
    >>> from autograd_lite.engine.table import TABLE
    >>> from autograd_lite.graphs.source import rule_text
    >>> rule_text(TABLE[np.exp].rules[0])
    'g * ans'
    """
    if _is_lambda(rule):
        return _lambda_body(rule) or "a lambda whose source is not at hand"
    says = _summary(rule).replace("``", "").removeprefix("Return ").rstrip(".")
    return _formula(rule) or says or rule.__name__.lstrip("_")


def _is_lambda(rule: Callable[..., Any]) -> bool:
    return rule.__name__ == "<lambda>" and isinstance(rule, types.FunctionType)


def _summary(function: Any) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _formula(function: Any) -> str:
    """Return how a function says that it reads; may be empty."""
    found = re.search(r"(?:^Return |: )``(.+?)``", _summary(function))
    return found[1] if found else ""


@functools.cache
def _as_written(rule: Callable[..., Any]) -> str:
    """Return a rule's text, in which the functions of ours that it calls are what they say."""
    text = rule_text(rule)
    if not (_is_lambda(rule) and re.search(r"(?<![\w.])[a-z_]\w*\(|\b_[A-Za-z]", text)):
        return text
    told = _Told(rule.__globals__).visit(ast.parse(text, mode="eval").body)
    return re.sub(r"\b_(?=[A-Za-z])", "", _bare(told))


class _Told(ast.NodeTransformer):
    """Puts in the place of calls the formulas of what is called."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known

    def visit_Call(self, call: ast.Call) -> ast.expr:
        """Replace a call whose function says how it reads; its arguments first."""
        self.generic_visit(call)
        function: Any = self.known.get(call.func.id) if isinstance(call.func, ast.Name) else None
        formula = _formula(function) if callable(function) else ""
        if not formula:
            call.args = [ast.Name(_bare(argument)) for argument in call.args]
            return call
        given = dict(zip(inspect.signature(function).parameters, map(_bare, call.args)))
        text = replaced(formula, given)
        return ast.Name(text if _ATOM.fullmatch(text) else f"({text})")


def _bare(node: ast.expr) -> str:
    """Return an expression as text, without parentheses around all of it."""
    text = ast.unparse(node)
    return text[1:-1] if isinstance(node, ast.Name) and text.startswith("(") else text


def is_formula(text: str) -> bool:
    """Whether the text of a rule is a formula, as against a sentence."""
    try:
        ast.parse(text.replace("⁻", ""))
    except SyntaxError:
        return False
    return True


def replaced(formula: str, names: Mapping[str, str]) -> str:
    """Return a formula with names replaced, what is no name or call in parentheses if need be.

    Examples
    --------
    >>> from autograd_lite.graphs.source import replaced
    >>> replaced("xᵀ @ g", {"x": "a + b"})
    '(a + b)ᵀ @ g'
    """

    def put(found: re.Match[str]) -> str:
        text = names.get(found[0], found[0])
        alone = re.match(r"^$|[(\[,]", formula[: found.start()].rstrip()[-1:])
        alone = alone and re.match(r"$|[)\],]", formula[found.end() :])
        return text if alone or _ATOM.fullmatch(text) else f"({text})"

    return re.sub(r"(?<![\w.])[A-Za-z][A-Za-z0-9_]*", put, formula)


def _lambda_body(function: Any) -> str:
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
            text = " ".join((ast.get_source_segment(source, body) or "").split())
            return re.sub(r"(?<=\)) (?=\.\w)", "", text)  # a line that begins with a method
    return ""


@functools.cache
def _lambdas(filename: str) -> tuple[str, list[ast.Lambda]]:
    source = "".join(linecache.getlines(filename))
    try:
        nodes = ast.walk(ast.parse(source))
    except SyntaxError:  # of a file that is being edited
        return "", []
    return source, [node for node in nodes if isinstance(node, ast.Lambda)]

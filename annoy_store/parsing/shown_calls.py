"""Finds the calls in Python code whose arguments are written out, as tests and examples have them.

Decisions. Nothing is executed. Names that were given a literal before, also by a loop or by
`parametrize`, stand for it, and a name that was given the result of a call stands for that call.
What is written beside a call, as a value in its statement or in a comment behind it, is kept with
it; whether that is the call's result is for the reader to compare.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from annoy_store.parsing.literal_values import NotLiteral, literal_value

MAX_STATEMENTS = 4_000  # examined in one code, rounds of loops included
_MAX_ROUNDS = 200
_MAX_NODES = 4_000  # of a statement whose values are collected
_LINES_BELOW = 2  # comment lines below a statement that may tell its result
_TRUTH = {"assertTrue": True, "assertFalse": False, "assertIsNone": None}


_Comprehension = ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp
_COMPREHENSIONS = (ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)


@dataclass(frozen=True)
class ShownCall:
    """A call whose arguments are known.

    Attributes:
        name: The name that is called; of `a.b(..)` it is `b`.
        arguments: Values of the positional arguments.
        keywords: Values of the arguments given by name.
        values: Values that stand in the same statement.
        text: Text beside the call that may tell its result.
        is_prose: Whether it stands in running text, where a name followed by a parenthesis need
            not be a call.
    """

    name: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    values: tuple[Any, ...] = ()
    text: str = ""
    is_prose: bool = False


def read_call(node: ast.expr, names: Mapping[str, Any]) -> ShownCall | None:
    """Return an expression as a call with known arguments; None if it is none.

    Args:
        node: The expression.
        names: Values of names.
    """
    if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Name, ast.Attribute)):
        return None
    name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
    try:
        arguments = literal_value(ast.List(node.args, ast.Load()), names)
        keys: list[ast.expr | None] = [
            None if k.arg is None else ast.Constant(k.arg) for k in node.keywords
        ]
        named = literal_value(ast.Dict(keys, [k.value for k in node.keywords]), names)
    except NotLiteral:
        return None
    return ShownCall(name, tuple(arguments), {str(key): value for key, value in named.items()})


def read_comments(code: str) -> dict[int, str]:
    """Return the text of each comment by line number; what cannot be tokenised has none."""
    found: dict[int, str] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = token.string.lstrip("#!:")
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass
    return found


@dataclass
class _Scope:
    """What names stand for: values, or the calls whose result they were given."""

    values: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, list[ShownCall]] = field(default_factory=dict)
    is_class: bool = False

    def copy(self) -> _Scope:
        return _Scope(dict(self.values), dict(self.calls))

    def forget(self, name: str) -> None:
        self.values.pop(name, None)
        self.calls.pop(name, None)


class CallFinder:
    """Collects the calls of one or more pieces of code that share their names.

    Attributes:
        found: The calls so far.
    """

    def __init__(self) -> None:
        self.found: list[ShownCall] = []
        self._scope = _Scope()
        self._left = MAX_STATEMENTS

    def read(self, tree: ast.Module, comments: Mapping[int, str], printed: str = "") -> None:
        """Collect the calls of a module.

        Args:
            tree: Its syntax tree.
            comments: Its comments by line number.
            printed: What its last statement is said to print.
        """
        self._comments = comments
        self._block(tree.body[:-1], self._scope)
        for last in tree.body[-1:]:
            self._statement(last, self._scope, printed)

    def _block(self, body: Iterable[ast.stmt], scope: _Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: _Scope, printed: str = "") -> None:
        self._left -= 1
        if self._left < 0:
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for bound in _parametrized(node, scope):
                self._block(node.body, bound)
                scope.values.update(_of_self(bound.values))
        elif isinstance(node, ast.For):
            self._loop(node, scope, printed)
        elif bodies := list(_bodies(node)):
            for header in _headers(node):
                self._scan(header, scope, "")
            inner = (
                replace(scope.copy(), is_class=True) if isinstance(node, ast.ClassDef) else scope
            )
            for body in bodies:
                self._block(body, inner)
        else:
            calls = self._scan(node, scope, f"{self._beside(node)}\n{printed}".strip("\n"))
            _bind_statement(node, calls, scope)
            if scope.is_class:
                scope.values.update(
                    {f"self.{k}": v for k, v in scope.values.items() if "." not in k}
                )

    def _loop(self, node: ast.For, scope: _Scope, printed: str) -> None:
        rounds = _rounds(node.target, node.iter, scope) or [scope.copy()]
        lines = printed.split("\n")
        lines = lines if len(lines) == len(rounds) else [""] * len(rounds)
        for bound, line in zip(rounds, lines, strict=True):
            self._block(node.body[:-1], bound)
            self._statement(node.body[-1], bound, line)

    def _beside(self, node: ast.stmt) -> str:
        """The comments on the lines of a statement and directly below it."""
        last = node.end_lineno or node.lineno
        below = range(last + 1, last + 1 + _LINES_BELOW)
        return "\n".join(
            self._comments[line]
            for line in (*range(node.lineno, last + 1), *below)
            if line in self._comments
        )

    def _scan(self, node: ast.stmt | ast.expr, scope: _Scope, text: str) -> list[ShownCall]:
        """Collect the calls in a statement or expression."""
        here: list[ShownCall] = []
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
                earlier = scope.calls.get(part.id, [])
                beside = (*_values(node, part, scope.values), *_claimed(node, part))
                here += [replace(call, values=beside, text=text) for call in earlier]
            elif isinstance(part, ast.Call) and (call := read_call(part, scope.values)):
                beside = (*_values(node, part, scope.values), *_claimed(node, part))
                here.append(replace(call, values=beside, text=text))
            elif isinstance(part, ast.Call):
                here += _mapped(part, _values(node, part, scope.values), scope)
            elif isinstance(part, _COMPREHENSIONS):
                self._comprehension(part, _values(node, part, scope.values), scope, text)
        self.found += here
        return here

    def _comprehension(
        self, node: _Comprehension, beside: list[Any], scope: _Scope, text: str
    ) -> None:
        """Collect the calls of a comprehension; the results stand beside it in their order."""
        first = node.generators[0]
        element = node.value if isinstance(node, ast.DictComp) else node.elt
        rounds = _rounds(first.target, first.iter, scope)
        for n, bound in enumerate(rounds):
            self._left -= 1
            if self._left < 0:
                return
            results = _at(n, len(rounds), beside)
            size = len(self.found)
            self._scan(element, bound, text)
            self.found[size:] = [
                replace(call, values=(*call.values, *results)) for call in self.found[size:]
            ]


def _mapped(node: ast.Call, beside: list[Any], scope: _Scope) -> list[ShownCall]:
    """The calls that `map(f, ..)` makes; the results stand beside it in their order."""
    if getattr(node.func, "id", "") != "map" or len(node.args) < 2:
        return []
    called = node.args[0]
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    try:
        columns = [list(literal_value(column, scope.values)) for column in node.args[1:]]
    except (NotLiteral, TypeError):
        return []
    rows = list(zip(*columns, strict=False))[:_MAX_ROUNDS]
    return [
        ShownCall(name, row, {}, tuple(_at(n, len(rows), beside))) for n, row in enumerate(rows)
    ]


def _at(n: int, size: int, values: list[Any]) -> list[Any]:
    """The items at one position of the values that are sequences of a size."""
    lists = [list(v.values()) if isinstance(v, dict) else v for v in values]
    return [v[n] for v in lists if isinstance(v, (list, tuple)) and len(v) == size]


# What stands beside a call -------------------------------------------------------------------


def _values(root: ast.AST, skipped: ast.AST, names: Mapping[str, Any]) -> list[Any]:
    """The values of the largest literal parts of `root` outside of `skipped`."""
    found: list[Any] = []
    waiting = [root]
    for _ in range(_MAX_NODES):
        if not waiting:
            break
        node = waiting.pop()
        if node is skipped or isinstance(getattr(node, "ctx", None), ast.Store):
            continue
        if isinstance(node, ast.expr):
            try:
                found.append(literal_value(node, names))
                continue
            except NotLiteral:
                pass
        waiting += ast.iter_child_nodes(node)
    return found


def _claimed(root: ast.AST, call: ast.AST) -> list[Any]:
    """The truth value that an assertion claims of a bare call."""
    if isinstance(root, ast.Assert):
        if root.test is call:
            return [True]
        if isinstance(root.test, ast.UnaryOp) and root.test.operand is call:
            return [False]
    if isinstance(root, ast.Expr) and isinstance(root.value, ast.Call):
        called = root.value.func
        if isinstance(called, ast.Attribute) and called.attr in _TRUTH and call in root.value.args:
            return [_TRUTH[called.attr]]
    return []


# What names stand for ------------------------------------------------------------------------


def _bind_statement(node: ast.stmt, calls: list[ShownCall], scope: _Scope) -> None:
    """Let names stand for what a statement gives them."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            _bind_expression(target, node.value, calls, scope)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        _bind_expression(node.target, node.value, calls, scope)
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        scope.forget(node.target.id)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func  # a method may change its object
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            scope.values.pop(called.value.id, None)


def _bind_expression(
    target: ast.expr, value: ast.expr, calls: list[ShownCall], scope: _Scope
) -> None:
    try:
        _bind(target, literal_value(value, scope.values), scope)
    except NotLiteral:
        for part in ast.walk(target):
            if isinstance(part, ast.Name):
                scope.forget(part.id)
                scope.calls[part.id] = calls


def _bind(target: ast.expr, value: Any, scope: _Scope) -> None:
    if isinstance(target, ast.Name):
        scope.forget(target.id)
        scope.values[target.id] = value
    elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (list, tuple)):
        for part, item in zip(target.elts, value, strict=False):
            _bind(part, item, scope)
    elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        scope.forget(target.value.id)
    elif isinstance(target, ast.Attribute) and getattr(target.value, "id", "") == "self":
        scope.values[f"self.{target.attr}"] = value


def _of_self(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name.startswith("self.")}


def _rounds(target: ast.expr, iterable: ast.expr, scope: _Scope) -> list[_Scope]:
    """One scope for each item of a literal iterable; none if it is not literal."""
    rounds = []
    for item in _cases(iterable, scope)[:_MAX_ROUNDS]:
        bound = scope.copy()
        _bind(target, item, bound)
        rounds.append(bound)
    return rounds


def _cases(iterable: ast.expr, scope: _Scope) -> list[Any]:
    """The items of an iterable, or those of them that are literal; `param(..)` is its arguments."""
    try:
        return list(literal_value(iterable, scope.values))
    except (NotLiteral, TypeError):
        found: list[Any] = []
    for node in iterable.elts if isinstance(iterable, (ast.List, ast.Tuple)) else ():
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "param":
            node = node.args[0] if len(node.args) == 1 else ast.Tuple(node.args, ast.Load())
        try:
            found.append(literal_value(node, scope.values))
        except NotLiteral:
            continue
    return found


def _parametrized(node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> list[_Scope]:
    """The scopes in which a function runs: one, or one for each case that its decorators give."""
    scopes = [scope.copy()]
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and (given := _case_names(decorator, node, scope)):
            target, values = given
            cases = [bound for one in scopes for bound in _rounds(target, values, one)]
            scopes = cases[:_MAX_ROUNDS] or scopes
    return scopes


def _case_names(
    decorator: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope
) -> tuple[ast.expr, ast.expr] | None:
    """What a decorator binds in a test, and to the items of what: of pytest or `parameterized`."""
    keywords = {keyword.arg: keyword.value for keyword in decorator.keywords}
    given = [*decorator.args, *(keywords[k] for k in ("argnames", "argvalues") if k in keywords)]
    called = decorator.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    named: Any = [a.arg for a in function.args.args if a.arg != "self"]
    if name == "parametrize" and len(given) > 1:
        try:
            named = literal_value(given[0], scope.values)
        except NotLiteral:
            return None
    elif name not in {"expand", "parameterized", "data"} or not given:
        return None
    names = named.split(",") if isinstance(named, str) else list(named)
    ids: list[ast.expr] = [ast.Name(str(n).strip(), ast.Store()) for n in names]
    values = ast.List(given, ast.Load()) if name == "data" else given[name == "parametrize"]
    return (ids[0] if len(ids) == 1 else ast.Tuple(ids, ast.Store())), values


def _bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        if body := getattr(node, name, None):
            yield body
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body


def _headers(node: ast.stmt) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield child
        elif isinstance(child, ast.withitem):
            yield child.context_expr

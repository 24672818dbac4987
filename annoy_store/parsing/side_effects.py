"""Finds statements of a module whose removal may change what the rest of it does.

Decision: cautious. A statement may have an effect if it calls a function of the module that, itself
or by what it calls, assigns or changes names of the module, or anything whose definition is not
known to leave the module alone. What only builtins and imported functions get has none, unless they
get a variable of the module that they may change.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
_CHANGING = {
    *("append", "add", "update", "pop", "popitem", "popleft", "appendleft", "extend", "insert"),
    *("remove", "discard", "clear", "sort", "reverse", "setdefault", "push", "write", "send"),
}
_TEST_LIBRARIES = {"pytest", "unittest", "mock", "hypothesis", "given", "settings", "patch"}


class SideEffects:
    """Which functions of a module change the module when they run."""

    def __init__(self, tree: ast.Module) -> None:
        self._functions: dict[str, list[Function]] = {}
        for node in ast.walk(tree):
            if isinstance(node, Function):
                self._functions.setdefault(node.name, []).append(node)
        self._classes = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
        self._names = frozenset(_stored(tree.body)) | self._classes.keys()
        self._known: dict[str, bool] = {}

    def may_change(self, node: ast.stmt) -> bool:
        """Return whether removing a statement of the module may change the rest."""
        if isinstance(node, (Function, ast.ClassDef)):
            watched = isinstance(node, ast.ClassDef) and "__init_subclass__" in self._functions
            return watched or any(_library(d) not in _TEST_LIBRARIES for d in node.decorator_list)
        return self._acts(node, frozenset())

    def _acts(self, node: ast.AST, local: frozenset[str]) -> bool:
        """Whether code changes a name of the module, or an object that one holds."""
        for part in ast.walk(node):
            if isinstance(part, (ast.Global, ast.Nonlocal, ast.NamedExpr)):
                return True
            if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(
                part.ctx, ast.Load
            ):
                if _root(part) in {"", *self._names, *self._functions} - local:
                    return True
            elif isinstance(part, ast.Call) and self._call_acts(part, local):
                return True
        return False

    def _call_acts(self, call: ast.Call, local: frozenset[str]) -> bool:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if any(isinstance(a, ast.Attribute) and _root(a) in self._names - local for a in given):
            return True  # `map(items.append, ..)`
        variables = self._names - self._classes.keys() - local
        gets = any(isinstance(a, ast.Name) and a.id in variables for a in given)
        return (gets and self._changes_argument(call.func)) or self._callee_acts(call, local)

    def _changes_argument(self, called: ast.expr) -> bool:
        """Whether a function may change an object that it is given."""
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in self._functions:
            return any(_changes_parameter(node) for node in self._functions[name])
        return name == "next" or not (isinstance(called, ast.Name) and hasattr(builtins, name))

    def _callee_acts(self, call: ast.Call, local: frozenset[str]) -> bool:
        if isinstance(call.func, ast.Attribute):
            if _root(call.func) in self._names - local:
                return True  # a method may change its object
            return self._function_acts(call.func.attr)
        if not isinstance(call.func, ast.Name):
            return not isinstance(call.func, ast.Call)
        name = call.func.id
        if name in {"exec", "eval", "setattr", "delattr", "globals", "vars"}:
            return hasattr(builtins, name) and name not in local
        if name in self._classes:
            return self._function_acts("__init__")
        return self._function_acts(name) or (name in self._names and name not in self._functions)

    def _function_acts(self, name: str) -> bool:
        if name not in self._known:
            self._known[name] = False  # while it is examined: recursion adds nothing
            self._known[name] = any(
                _remembers(node) or any(self._acts(part, _locals(node)) for part in node.body)
                for node in self._functions.get(name, [])
            )
        return self._known[name]


def _stored(body: list[ast.stmt]) -> Iterator[str]:
    """The names that the statements of a module assign, outside of functions and classes."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if not isinstance(node, (Function, ast.ClassDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def _locals(node: Function) -> frozenset[str]:
    """The names that a function binds itself."""
    given = node.args
    named = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
    parameters = {argument.arg for argument in named if argument is not None}
    return frozenset(parameters | set(_stored(node.body)))


def _remembers(node: Function) -> bool:
    """Whether a function may change a default value, which later calls see."""
    given = node.args
    positional = [a.arg for a in (*given.posonlyargs, *given.args)]
    late = list(zip(positional[::-1], given.defaults[::-1], strict=False))
    named = zip((a.arg for a in given.kwonlyargs), given.kw_defaults, strict=True)
    mutable = (ast.List, ast.Dict, ast.Set, ast.Call, ast.ListComp, ast.DictComp)
    names = {name for name, default in (*late, *named) if isinstance(default, mutable)}
    return bool(names) and _changes(node, names)


def _changes_parameter(node: Function) -> bool:
    given = node.args
    return _changes(node, {a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)})


def _changes(node: Function, names: set[str]) -> bool:
    """Whether a function may change an object that one of its names stands for."""
    for part in ast.walk(node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load):
            if _root(part) in names:
                return True
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            known = part.func.attr in _CHANGING and _root(part.func) in names
            if known:
                return True
    return False


def _root(node: ast.expr) -> str:
    """The name at the left of `a.b[c].d`."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _library(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return _root(called) if isinstance(called, ast.expr) else ""

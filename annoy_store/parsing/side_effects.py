"""Finds statements of a module whose removal may change what the rest of it does.

Decision: cautious. A statement may have an effect if it calls a function of the module that, itself
or by what it calls, assigns or changes names of the module, or anything whose definition is not
known to leave the module alone; what only builtins and imported functions get has none.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
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
            return any(_library(d) not in _TEST_LIBRARIES for d in node.decorator_list)
        return self._acts(node, frozenset())

    def _acts(self, node: ast.AST, local: frozenset[str]) -> bool:
        """Whether code changes a name of the module, or an object that one holds."""
        for part in ast.walk(node):
            if isinstance(part, (ast.Global, ast.Nonlocal, ast.NamedExpr)):
                return True
            if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(
                part.ctx, ast.Load
            ):
                if _root(part) in self._names - local:
                    return True
            elif isinstance(part, ast.Call) and self._call_acts(part, local):
                return True
        return False

    def _call_acts(self, call: ast.Call, local: frozenset[str]) -> bool:
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
                self._acts(part, _locals(node))
                for node in self._functions.get(name, [])
                for part in node.body
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


def _root(node: ast.expr) -> str:
    """The name at the left of `a.b[c].d`."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _library(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return _root(called) if isinstance(called, ast.expr) else ""

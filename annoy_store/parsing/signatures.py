"""How calls in a module give a function its arguments: its own, and those of its helpers.

Decision: a helper counts if the function passes its own arguments on to it, as they are or converted
(`list(x)`, `[tuple(p) for p in points]`), for then a call of the helper shows an input of the
function.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annoy_store.parsing.literal_values import NotLiteral, literal_value

_MAX_DEPTH = 4  # helpers of helpers
_CONVERSIONS = {
    "array", "asarray", "bool", "bytes", "Counter", "copy", "deepcopy", "deque", "dict", "float",
    "frozenset", "int", "iter", "list", "set", "sorted", "str", "tuple",
}  # fmt: skip
Definition = ast.FunctionDef | ast.Lambda


@dataclass(frozen=True)
class Signature:
    """The parameters of a function, and which parameter of the main function each of them is.

    Attributes:
        positional: Names of the parameters that can be given by position.
        keyword_only: Names of the others.
        defaults: Default values, as far as they are literals.
        main_names: Name of the main function's parameter by own name; a parameter that is none of
            them is missing.
    """

    positional: tuple[str, ...]
    keyword_only: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    main_names: Mapping[str, str] = field(default_factory=dict)

    def bind(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the main function's arguments in a call; None if the call does not fit.

        Args:
            arguments: Values given by position.
            keywords: Values given by name.
        """
        names = {*self.positional, *self.keyword_only}
        if len(arguments) > len(self.positional) or not set(keywords) <= names:
            return None
        given = dict(zip(self.positional, arguments, strict=False)) | dict(keywords)
        bound = {**self.defaults, **given}
        return {main: bound[own] for own, main in self.main_names.items() if own in bound}


@dataclass(frozen=True)
class Callables:
    """The calls that give the main function its arguments.

    Attributes:
        main: Signature of the main function.
        helpers: Signatures by name, the main function's too.
        defined: Other names that the module defines or imports.
    """

    main: Signature
    helpers: Mapping[str, Signature]
    defined: frozenset[str]

    def find(self, name: str) -> Signature | None:
        """Return the signature of what is called, None if it is another function.

        An unknown name is taken for an older name of the main function.
        """
        if name in self.helpers:
            return self.helpers[name]
        known = name in self.defined or hasattr(builtins, name)
        return None if known else self.main


def find_callables(tree: ast.Module | None, funcname: str, parameters: Sequence[str]) -> Callables:
    """Return the signatures of a function and of its helpers.

    Args:
        tree: The syntax tree of the module; None if there is none.
        funcname: Name of the main function.
        parameters: Its parameters, if the module does not tell.
    """
    definitions = _definitions(tree) if tree else {}
    main = definitions.get(funcname)
    if tree is None or main is None:
        named = Signature(tuple(parameters), main_names={name: name for name in parameters})
        return Callables(named, {funcname: named}, frozenset(definitions))
    own = _signature(main, {name: name for name in _names(main)})
    helpers = {name: own for name, node in definitions.items() if node is main}
    _add_helpers(main, own, definitions, helpers, _MAX_DEPTH)
    return Callables(own, helpers, frozenset({*definitions, *_other_names(tree)}))


def _definitions(tree: ast.Module) -> dict[str, Definition]:
    """The functions and methods of a module by name, aliases included; the first of a name."""
    found: dict[str, Definition] = {}
    aliases: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
            if isinstance(value, ast.Lambda):
                found.setdefault(name, value)
            elif isinstance(value, (ast.Name, ast.Attribute)):
                aliases.append((name, value.id if isinstance(value, ast.Name) else value.attr))
    for name, target in aliases:
        if target in found:
            found.setdefault(name, found[target])
    return found


def _other_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, (ast.ClassDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _names(node: Definition) -> list[str]:
    """The parameters of a function, without `self` or `cls`."""
    named = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    own = named[1:] if named[:1] in (["self"], ["cls"]) else named
    return [*own, *(a.arg for a in node.args.kwonlyargs)]


def _signature(node: Definition, main_names: Mapping[str, str]) -> Signature:
    names = _names(node)
    keyword_only = [a.arg for a in node.args.kwonlyargs]
    positional = names[: len(names) - len(keyword_only)]
    late = zip(positional[::-1], node.args.defaults[::-1], strict=False)
    named = zip(keyword_only, node.args.kw_defaults, strict=True)
    defaults: dict[str, Any] = {}
    for name, default in (*late, *named):
        try:
            defaults[name] = literal_value(default) if default is not None else None
        except NotLiteral:
            continue
    required = {name for name, default in named if default is None}
    defaults = {name: value for name, value in defaults.items() if name not in required}
    return Signature(tuple(positional), tuple(keyword_only), defaults, dict(main_names))


# Helpers -------------------------------------------------------------------------------------


def _add_helpers(
    function: Definition,
    signature: Signature,
    definitions: Mapping[str, Definition],
    helpers: dict[str, Signature],
    depth: int,
) -> None:
    """Add the functions that get all arguments of the main function from `function`."""
    wanted = set(signature.main_names.values())
    carried = _carried(function, signature.main_names)
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Name, ast.Attribute)):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        helper = definitions.get(name)
        if helper is None or name in helpers:
            continue
        main_names = _passed_on(node, helper, carried)
        if main_names is not None and set(main_names.values()) == wanted:
            helpers[name] = _signature(helper, main_names)
            if depth:
                _add_helpers(helper, helpers[name], definitions, helpers, depth - 1)


def _carried(function: Definition, main_names: Mapping[str, str]) -> dict[str, str]:
    """Which argument of the main function each local name holds."""
    carried = dict(main_names)
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            source = _source(node.value, carried)
            if source is not None:
                carried.setdefault(node.targets[0].id, source)
    return carried


def _source(node: ast.expr, carried: Mapping[str, str]) -> str | None:
    """The argument that an expression is, converted or not."""
    if isinstance(node, ast.Name):
        return carried.get(node.id)
    if isinstance(node, ast.Starred):
        return None
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
        return _source(node.generators[0].iter, carried)
    if isinstance(node, ast.DictComp):
        return _source(node.generators[0].iter, carried)
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        named = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        return _source(node.args[0], carried) if named in _CONVERSIONS else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args:
        return _source(node.func.value, carried) if node.func.attr in {"items", "copy"} else None
    return None


def _passed_on(
    call: ast.Call, helper: Definition, carried: Mapping[str, str]
) -> dict[str, str] | None:
    """The main function's argument by the helper's parameter; None if others are passed, too."""
    names = _names(helper)
    given = dict(zip(names, call.args, strict=False))
    given |= {k.arg: k.value for k in call.keywords if k.arg is not None}
    found: dict[str, str] = {}
    for name, value in given.items():
        source = _source(value, carried)
        if source is not None:
            found[name] = source
        elif any(isinstance(part, ast.Name) and part.id in carried for part in ast.walk(value)):
            return None
    return found

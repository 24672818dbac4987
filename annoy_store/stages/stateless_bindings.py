"""What the names of a module are bound to, for `stateless`: constants, containers, functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from annoy_store.stages import stateless_names as known

UNKNOWN_DEPTH = 99  # of a container that is read from a text


class KeepsState(Exception):
    """The program may keep something from one call to the next."""


def require(harmless: bool) -> None:
    """Raise KeepsState unless something is harmless."""
    if not harmless:
        raise KeepsState


@dataclass(frozen=True)
class Binding:
    """What a name of a module stands for.

    Attributes:
        kind: What it is; `data` is a container that can be changed.
        depth: How many levels of such containers there are.
        path: The dotted name of what was imported.
    """

    kind: Literal["constant", "data", "function", "class", "module"]
    depth: int = 0
    path: str = ""


def module_bindings(
    tree: ast.Module, nodes: Sequence[ast.AST], borrowed: Mapping[str, Binding]
) -> dict[str, Binding]:
    """Return the bindings of a module.

    Args:
        tree: The module.
        nodes: All nodes in it.
        borrowed: The bindings of another module whose names it may use.

    Raises:
        KeepsState: A name is bound to something that may keep state, or to two things.
    """
    names: dict[str, Binding] = {}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _add(names, _imported(node))
    for statement in tree.body:
        _add(names, _defined(statement, {**borrowed, **names}))
    return names


def _add(names: dict[str, Binding], new: Iterator[tuple[str, Binding]]) -> None:
    for name, binding in list(new):
        require(
            names.get(name, binding) == binding
            and not (name.startswith("__") and name.endswith("__"))
        )
        names[name] = binding


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Binding]]:
    for alias in node.names:
        name = alias.asname or alias.name
        if isinstance(node, ast.Import):
            require(alias.name in known.FUNCTIONS)
            yield name, Binding("module", path=alias.name)
        else:
            module = node.module or ""
            require(not node.level and module in known.FUNCTIONS)
            if alias.name in known.CONSTANTS.get(module, ()):
                yield name, Binding("constant")
            else:
                require(alias.name in known.FUNCTIONS[module])
                yield name, Binding("function", path=f"{module}.{alias.name}")


def _defined(node: ast.stmt, names: Mapping[str, Binding]) -> Iterator[tuple[str, Binding]]:
    """Yield what a statement of a module binds, but for imports."""
    if isinstance(node, ast.FunctionDef):
        yield node.name, Binding("function")
    elif isinstance(node, ast.ClassDef):
        yield node.name, Binding("class")
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if isinstance(node.value, ast.Lambda):
            binding = Binding("function")
        else:
            depth = value_depth(node.value, names)
            binding = Binding("data" if depth else "constant", depth)
        for target in targets:
            if isinstance(target, ast.Tuple) and binding.kind == "constant":
                yield from ((_name(part), binding) for part in target.elts)
            else:
                require(binding.kind != "data" or len(targets) == 1)
                yield _name(target), binding
    else:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        require(docstring or isinstance(node, ast.Import | ast.ImportFrom | ast.Pass))


def _name(target: ast.expr) -> str:
    require(isinstance(target, ast.Name))
    return target.id if isinstance(target, ast.Name) else ""


def value_depth(node: ast.expr, names: Mapping[str, Binding], local: Set[str] = frozenset()) -> int:
    """Return how many levels of changeable containers a value has; 0 for a constant.

    Args:
        node: The expression.
        names: The bindings of the module.
        local: Names of the comprehensions around it, which stand for constants.

    Raises:
        KeepsState: It may be something else.
    """

    def deepest(*parts: ast.expr | None) -> int:
        depths = [value_depth(part, names, local) for part in parts if part is not None]
        return max(depths, default=0)

    match node:
        case ast.Constant() | ast.JoinedStr():
            return deepest(*(v.value for v in ast.walk(node) if isinstance(v, ast.FormattedValue)))
        case ast.Name(id=name):
            require(name in local or (name in names and names[name].kind == "constant"))
            return 0
        case ast.UnaryOp(operand=operand):
            return deepest(operand)
        case ast.BinOp(left=left, right=right):
            return deepest(left, right)
        case ast.Tuple(elts=parts):
            depth = deepest(*parts)
            return depth + (depth > 0)
        case ast.List(elts=parts) | ast.Set(elts=parts):
            return 1 + deepest(*parts)
        case ast.Dict(keys=keys, values=values):
            require(None not in keys and deepest(*keys) == 0)
            return 1 + deepest(*values)
        case ast.ListComp() | ast.SetComp() | ast.DictComp():
            return 1 + _comprehension_depth(node, names, local)
        case ast.Attribute():
            return _member_depth(node, names)
        case ast.Call():
            return _call_depth(node, names, deepest(*node.args))
    raise KeepsState


def _comprehension_depth(
    node: ast.ListComp | ast.SetComp | ast.DictComp,
    names: Mapping[str, Binding],
    local: Set[str],
) -> int:
    """Return the depth of the elements of a comprehension over constants."""
    for part in node.generators:
        require(value_depth(part.iter, names, local) <= 1 and not part.ifs)
        targets = ast.walk(part.target)
        local = local | {target.id for target in targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.DictComp):
        require(value_depth(node.key, names, local) == 0)
        return value_depth(node.value, names, local)
    return value_depth(node.elt, names, local)


def _member_depth(node: ast.Attribute, names: Mapping[str, Binding]) -> int:
    """Return 0 for a constant of a module."""
    owner = names.get(getattr(node.value, "id", ""))
    require(owner is not None and node.attr in known.CONSTANTS.get(owner.path, ()))
    return 0


def _call_depth(call: ast.Call, names: Mapping[str, Binding], deepest: int) -> int:
    """Return the depth of what a function returns that is given constants."""
    require(not call.keywords)
    name = callee(call, names, names.keys())
    if name == "json.loads":
        return UNKNOWN_DEPTH
    if name in known.MAKES_CONTAINER:
        require(deepest <= 1)
        return 1
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Constant):
        require(call.func.attr in {"split", "join", "strip"} and deepest <= 1)
        return int(call.func.attr == "split")
    require(name in known.MAKES_CONSTANT and deepest <= 1)
    return 0


def callee(call: ast.Call, names: Mapping[str, Binding], bound: Set[str]) -> str:
    """Return the dotted name of the builtin or imported function that is called; "" for others.

    Args:
        call: The call.
        names: The bindings of the module.
        bound: All names that the program binds.
    """
    match call.func:
        case ast.Name(id=name) if name in names:
            return names[name].path
        case ast.Name(id=name):
            return "" if name in bound else name
        case ast.Attribute(value=ast.Name(id=owner), attr=attribute) if owner in names:
            return f"{names[owner].path}.{attribute}" if names[owner].path else ""
    return ""

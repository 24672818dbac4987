"""Chooses which function of a file makes the best sample, and says why the others do not.

A candidate is a top-level function, or a method of a class that can be created without arguments.
The one with the most to reason about wins: branches, loops and calls to its own helpers raise the
score; guessed types, third-party modules and randomness lower it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from annoy_store.inference.backends.tracer.parameters import Parameter, infer_parameters
from annoy_store.inference.backends.tracer.source_file import (
    Dependencies,
    SourceFile,
    Unsuitable,
    is_main_block,
    names_used,
)
from annoy_store.inference.backends.tracer.value_types import (
    ValueType,
    split_names,
    type_from_annotation,
    type_from_text,
)

_KNOWN_PACKAGES = frozenset(
    split_names(
        "numpy scipy pandas sympy networkx matplotlib sklearn nltk yaml dateutil pytz Crypto "
        "simpy shapely numba unidecode inflect regex toolz sortedcontainers more_itertools"
    )
)
_IGNORED_NAMES = re.compile(
    r"main|run|start|menu|test\w*|\w*_test|setUp|tearDown|__\w+__|demo|usage"
)
_NONDETERMINISTIC = frozenset(
    {"random", "time", "datetime", "uuid", "secrets", "shuffle", "randint"}
)


@dataclass(frozen=True)
class Candidate:
    """A function that a sample can be made of.

    Attributes:
        func: The function.
        owner: Its class, if it is a method.
        parameters: What it has to be given.
        dependencies: What it depends on.
        documentation: All text about it.
        result: What its caller gets: `return`, `list` (a generator, made a list), `sorted` (a set,
            made a list) or the name of the argument that it changes in place.
        return_type: The type of the result, if known.
        score: How much there is to reason about.
    """

    func: ast.FunctionDef
    owner: ast.ClassDef | None
    parameters: tuple[Parameter, ...]
    dependencies: Dependencies
    documentation: str
    result: str
    return_type: ValueType | None
    score: float

    @property
    def topic(self) -> str:
        """The name and the text about the function, in lower case."""
        name = re.sub(r"([a-z])([A-Z])", r"\1_\2", self.func.name)
        return f"{name} {self.documentation}".lower()


def choose_function(source: SourceFile) -> Candidate:
    """Return the best candidate of a file.

    Raises:
        Unsuitable: There is none; the message gives the reasons for the first three functions.
    """
    candidates: list[Candidate] = []
    reasons: list[str] = []
    for func, owner in _functions(source.tree):
        try:
            candidates.append(_candidate(func, owner, source))
        except Unsuitable as reason:
            reasons.append(f"{func.name}: {reason}")
    if candidates:
        return max(candidates, key=lambda candidate: candidate.score)
    if reasons:
        raise Unsuitable("; ".join(reasons[:3]))
    raise Unsuitable("the file defines no function that could be called with an input")


def _functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, ast.ClassDef | None]]:
    """Yield top-level functions and methods of top-level classes; the last of a name counts."""
    last: dict[tuple[str, str], tuple[ast.FunctionDef, ast.ClassDef | None]] = {}
    for stmt in tree.body:
        if isinstance(stmt, ast.FunctionDef):
            last["", stmt.name] = (stmt, None)
        elif isinstance(stmt, ast.ClassDef):
            for part in stmt.body:
                if isinstance(part, ast.FunctionDef):
                    last[stmt.name, part.name] = (part, stmt)
    yield from last.values()


def _candidate(func: ast.FunctionDef, owner: ast.ClassDef | None, source: SourceFile) -> Candidate:
    if _IGNORED_NAMES.fullmatch(func.name):
        raise Unsuitable("its name says that it only starts or tests something")
    _check_decorators(func)
    if owner is not None:
        _check_constructor(owner)
    is_method = owner is not None and "staticmethod" not in _decorators(func)
    doc = _doc(func, owner, source)
    parameters = infer_parameters(func, source, doc, is_method)
    result, return_type = _result(func, parameters, doc)
    dependencies = source.dependencies_of(owner or func)
    unknown = sorted(dependencies.third_party - _KNOWN_PACKAGES)
    if unknown:
        raise Unsuitable(f"it needs the module {unknown[0]}, which is not at hand")
    score = _score(func, parameters, dependencies, source)
    return Candidate(func, owner, parameters, dependencies, doc, result, return_type, score)


def _decorators(func: ast.FunctionDef) -> set[str]:
    names = set()
    for node in func.decorator_list:
        inner = node.func if isinstance(node, ast.Call) else node
        names.add(inner.attr if isinstance(inner, ast.Attribute) else ast.unparse(inner))
    return names


def _check_decorators(func: ast.FunctionDef) -> None:
    odd = _decorators(func) - {"lru_cache", "cache", "staticmethod", "classmethod", "wraps"}
    if odd:
        raise Unsuitable(f"it is wrapped by @{min(odd)}")


def _check_constructor(owner: ast.ClassDef) -> None:
    """Check that an object of the class can be created without arguments. Raises Unsuitable."""
    for part in owner.body:
        if not isinstance(part, ast.FunctionDef) or part.name != "__init__":
            continue
        if len(part.args.args) - 1 > len(part.args.defaults):
            raise Unsuitable(f"an object of {owner.name} needs arguments of its own")
    plain = {"object", "Enum", "ABC", "Generic", "Exception"}
    if any(not isinstance(base, ast.Name) or base.id not in plain for base in owner.bases):
        raise Unsuitable(f"{owner.name} builds on another class")


def _doc(func: ast.FunctionDef, owner: ast.ClassDef | None, source: SourceFile) -> str:
    """Return all text about a function, nearest first."""
    texts = [ast.get_docstring(func), ast.get_docstring(owner) if owner else None]
    texts += [_comments_above(owner or func, source), ast.get_docstring(source.tree)]
    texts += [_loose_strings(source.tree)] if len(source.tree.body) < 6 else []
    return "\n\n".join(text for text in texts if text)[:6000]


def _comments_above(stmt: ast.stmt, source: SourceFile) -> str:
    lines: list[str] = []
    for line in reversed(source.lines[: stmt.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        lines.append(line.strip().lstrip("#!").strip())
    return "\n".join(reversed([line for line in lines if "coding" not in line]))


def _loose_strings(tree: ast.Module) -> str:
    texts = [
        stmt.value.value
        for stmt in tree.body[1:]
        if isinstance(stmt, ast.Expr)
        and isinstance(stmt.value, ast.Constant)
        and isinstance(stmt.value.value, str)
    ]
    return "\n".join(texts)


def _own_nodes(func: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield the nodes of a function without the functions and classes defined inside."""
    todo: list[ast.AST] = list(func.body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(node))


def _result(
    func: ast.FunctionDef, parameters: tuple[Parameter, ...], doc: str
) -> tuple[str, ValueType | None]:
    """Return what the caller gets from a function, and its type if known. Raises Unsuitable."""
    match = re.search(r":rtype\s*:\s*([^\n]+)|:return\s*:\s*([^\n]+)", doc)
    documented = type_from_text(match[1] or match[2]) if match else None
    return_type = type_from_annotation(func.returns) or documented
    nodes = list(_own_nodes(func))
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in nodes):
        return "list", ValueType("list")
    values = [node.value for node in nodes if isinstance(node, ast.Return) and node.value]
    values = [value for value in values if not _is_none(value)]
    if any(_is_opaque(value) for value in values):
        raise Unsuitable("it returns another function or object")
    if values:
        is_set = any(_is_set(value) for value in values) or (
            return_type and return_type.kind == "set"
        )
        return ("sorted" if is_set else "return"), return_type or _type_of_returns(values)
    mutated = next((p.name for p in parameters if p.value_type.kind == "list"), None)
    if mutated and _changes(nodes, mutated):
        return mutated, ValueType("list")
    raise Unsuitable("it returns nothing")


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_opaque(value: ast.expr) -> bool:
    return isinstance(value, (ast.Lambda, ast.GeneratorExp)) or (
        isinstance(value, ast.Name) and value.id in ("self", "wrapper", "inner")
    )


def _is_set(value: ast.expr) -> bool:
    if isinstance(value, (ast.Set, ast.SetComp)):
        return True
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "set"


def _type_of_returns(values: list[ast.expr]) -> ValueType | None:
    truths = (ast.Compare, ast.BoolOp)
    if all(
        isinstance(value, truths)
        or (isinstance(value, ast.Constant) and isinstance(value.value, bool))
        for value in values
    ):
        return ValueType("bool")
    return ValueType("str") if all(isinstance(value, ast.JoinedStr) for value in values) else None


def _changes(nodes: list[ast.AST], name: str) -> bool:
    """Return whether the function stores into the argument or calls a method that changes it."""
    changing = ("sort", "reverse", "append", "insert", "pop", "remove")
    for node in nodes:
        stored = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
        called = isinstance(node, ast.Attribute) and node.attr in changing
        if (stored or called) and name in names_used(node):
            return True
    return False


def _score(
    func: ast.FunctionDef,
    parameters: tuple[Parameter, ...],
    dependencies: Dependencies,
    source: SourceFile,
) -> float:
    nodes = list(ast.walk(func))
    loops = sum(isinstance(node, (ast.For, ast.While, ast.comprehension)) for node in nodes)
    branches = sum(isinstance(node, (ast.If, ast.IfExp, ast.Try)) for node in nodes)
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    called = {func.id for func in calls if isinstance(func, ast.Name)}
    helpers = len(called & set(source.functions))
    length = (func.end_lineno or func.lineno) - func.lineno + 1
    score = 3 * min(loops, 4) + 2 * min(branches, 5) + 4 * helpers + min(length, 40) / 5
    score += 2 * any(parameter.examples for parameter in parameters)
    score += 2 * (ast.get_docstring(func) is not None) + 2 * (func.returns is not None)
    score -= (
        3 * func.name.startswith("_")
        + 6 * bool(dependencies.node_classes)
        + 40 * bool(dependencies.third_party)
    )
    score -= 5 * bool(names_used(func) & _NONDETERMINISTIC) + max(0, length - 60) / 10
    used_by_main = any(func.name in names_used(s) for s in source.tree.body if is_main_block(s))
    return score + 3 * used_by_main

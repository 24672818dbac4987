"""Parses a source file and finds which top-level statements a function depends on.

Nothing is executed. For any text the result is a `SourceFile` or an `Unsuitable`.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from annoy_store.inference.backends.tracer.value_types import split_names
from annoy_store.parsing.python_code import parse_module

_MAX_CHARS = 200_000
_MAX_DEPTH = 120
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_CONSOLE = frozenset({"input", "raw_input", "open", "exec", "eval", "exit", "quit", "breakpoint"})
_OUTSIDE_MODULES = frozenset(
    split_names(
        "os subprocess socket urllib http tkinter turtle pygame requests threading multiprocessing "
        "asyncio sqlite3 shutil glob pathlib argparse smtplib ssl signal ctypes selenium flask django "
        "tempfile getpass curses pdb bs4 scrapy cv2 webbrowser telnetlib ftplib wx"
    )
)
_IMPORTS_BY_NAME = {
    **{
        name: f"from typing import {name}"
        for name in split_names("List Optional Dict Tuple Set Any")
    },
    **{
        name: f"import {name}" for name in split_names("math collections itertools heapq bisect re")
    },
    **{name: f"import {name}" for name in split_names("functools string operator random")},
    **{
        name: f"from collections import {name}" for name in split_names("Counter defaultdict deque")
    },
    "OrderedDict": "from collections import OrderedDict",
    "reduce": "from functools import reduce",
    "lru_cache": "from functools import lru_cache",
    "cache": "from functools import cache",
    "inf": "from math import inf",
    "sqrt": "from math import sqrt",
    "xrange": "xrange = range",
    "unicode": "unicode = str",
    "long": "long = int",
}
NODE_CLASSES = frozenset({"TreeNode", "ListNode"})


class Unsuitable(Exception):
    """The file, or one function of it, cannot be made into a sample; the message says why."""


@dataclass(frozen=True)
class Dependencies:
    """What a function depends on.

    Attributes:
        statements: The top-level statements that it needs, itself included, in file order.
        additions: Import lines that the file lacks.
        node_classes: Those of `NODE_CLASSES` that it uses and the file lacks.
        third_party: Imported modules outside of the standard library.
    """

    statements: tuple[ast.stmt, ...]
    additions: tuple[str, ...]
    node_classes: frozenset[str]
    third_party: frozenset[str]


@dataclass(frozen=True)
class SourceFile:
    r"""A file that parses.

    Attributes:
        text: Its text with `\n` at line ends.
        tree: Its syntax tree.
    """

    text: str
    tree: ast.Module = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The text, split at newlines only."""
        return self.text.split("\n")

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """Every function by name, methods included; the first of a name counts."""
        found: dict[str, ast.FunctionDef] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, node)
        return found

    @cached_property
    def definitions(self) -> list[tuple[ast.stmt, frozenset[str], frozenset[str]]]:
        """Top-level statements that bind or change names: statement, those names, names it uses."""
        rows = ((stmt, _bound(stmt), names_used(stmt)) for stmt in self.tree.body)
        return [row for row in rows if row[1] and not is_main_block(row[0])]

    def dependencies_of(self, start: ast.stmt) -> Dependencies:
        """Return what a statement depends on.

        Args:
            start: A top-level function or class.

        Raises:
            Unsuitable: It needs something that is not in the file, or reaches outside of it.
        """
        kept = {id(start): start}
        wanted = set(names_used(start))
        grown = True
        while grown:
            grown = False
            for stmt, bound, used in self.definitions:
                if id(stmt) not in kept and bound & wanted and not _only_prints(stmt, wanted):
                    kept[id(stmt)] = stmt
                    wanted |= used
                    grown = True
        statements = (stmt for stmt in self.tree.body if id(stmt) in kept)
        return _checked_dependencies(tuple(_narrowed(stmt, wanted) for stmt in statements), wanted)

    def statement_text(self, stmt: ast.stmt) -> str:
        """Return a top-level statement as it is written, with its decorators and inner comments."""
        decorators = getattr(stmt, "decorator_list", [])
        first = min([stmt.lineno, *(node.lineno for node in decorators)])
        last = stmt.end_lineno or stmt.lineno
        there = [n for n in self.tree.body if n.lineno <= last and (n.end_lineno or 0) >= first]
        if any(node is not stmt for node in there):  # it shares a line, or is a narrowed import
            return ast.unparse(stmt)
        return "\n".join(self.lines[first - 1 : last]).rstrip()


def read_source(text: str) -> SourceFile:
    """Parse the text of a file.

    Raises:
        Unsuitable: It is too long, not valid Python 3, or nested too deeply.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    if len(text) > _MAX_CHARS:
        raise Unsuitable("the file is too long to read with care")
    try:
        tree = parse_module(text)
    except SyntaxError as error:
        raise Unsuitable(_not_python(text, error)) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise Unsuitable(f"the parser gives up ({type(error).__name__})") from None
    if _too_deep(tree):
        raise Unsuitable("its expressions are nested too deeply to follow")
    return SourceFile(text, tree)


def _not_python(text: str, error: SyntaxError) -> str:
    """Describe a syntax error by its line alone: parser messages differ between Python versions."""
    line = error.lineno or 1
    faulty = text.split("\n")[line - 1].lstrip() if line <= text.count("\n") + 1 else ""
    if re.match(r"(print|exec)\s+[^(=]|raise \w+, |except \w+, ?\w+:", faulty):
        return f"this is Python 2 (line {line})"
    return f"this does not parse as Python 3 (line {line})"


def _too_deep(tree: ast.Module) -> bool:
    level: list[ast.AST] = [tree]
    for _ in range(_MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return False
    return True


def is_main_block(stmt: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__":`."""
    return isinstance(stmt, ast.If) and "__name__" in names_used(stmt.test)


def names_used(node: ast.AST) -> frozenset[str]:
    """Return every name that is read anywhere inside a node."""
    return frozenset(
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Store)
    )


def _bound(stmt: ast.stmt) -> frozenset[str]:
    """Return the names that a top-level statement defines or changes."""
    if isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return frozenset({stmt.name})
    return frozenset(_bound_inside(stmt))


def _bound_inside(stmt: ast.stmt) -> Iterator[str]:
    for node in ast.walk(stmt):
        if isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            yield from _base(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _base(node.func)


def _narrowed(stmt: ast.stmt, wanted: set[str]) -> ast.stmt:
    """Return an import reduced to the wanted names; any other statement unchanged."""
    if not isinstance(stmt, (ast.Import, ast.ImportFrom)) or _is_star(stmt):
        return stmt
    names = [n for n in stmt.names if (n.asname or n.name).split(".")[0] in wanted]
    if len(names) in (0, len(stmt.names)):
        return stmt
    fresh = copy.copy(stmt)
    fresh.names = names
    return fresh


def _base(node: ast.expr) -> Iterator[str]:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _only_prints(stmt: ast.stmt, wanted: set[str]) -> bool:
    """Return whether a statement only uses the terminal and binds none of the wanted names."""
    if not isinstance(stmt, (ast.Expr, ast.For, ast.While, ast.If, ast.With)):
        return False
    stored = {
        node.id
        for node in ast.walk(stmt)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    talks = names_used(stmt) & (_CONSOLE | {"print"}) or "stdout" in ast.dump(stmt)
    return bool(talks) and not stored & wanted


def _checked_dependencies(statements: tuple[ast.stmt, ...], wanted: set[str]) -> Dependencies:
    used = frozenset(wanted) | {"print"}
    console = sorted(used & _CONSOLE)
    if console:
        raise Unsuitable(f"it calls {console[0]}(), so it is not closed in itself")
    modules = frozenset(_modules(statements))
    outward = sorted(modules & _OUTSIDE_MODULES)
    if outward:
        raise Unsuitable(f"it uses {outward[0]}, which reaches outside of the program")
    missing = sorted(used - _names_bound(statements) - _BUILTINS)
    if any(_is_star(stmt) for stmt in statements):
        missing = [name for name in missing if name in _IMPORTS_BY_NAME]
    nodes = frozenset(missing) & NODE_CLASSES
    unknown = [
        name for name in missing if name not in _IMPORTS_BY_NAME and name not in NODE_CLASSES
    ]
    if unknown:
        raise Unsuitable(f"it uses {unknown[0]}, which this file does not define")
    additions = tuple(
        dict.fromkeys(_IMPORTS_BY_NAME[name] for name in missing if name in _IMPORTS_BY_NAME)
    )
    return Dependencies(statements, additions, nodes, frozenset(_third_party(modules)))


def _names_bound(statements: tuple[ast.stmt, ...]) -> frozenset[str]:
    names = set()
    for stmt in statements:
        for node in ast.walk(stmt):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                names.add(node.id)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.alias):
                names.add((node.asname or node.name).split(".")[0])
            elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
                names.add(node.name)
    return frozenset(names)


def _is_star(stmt: ast.stmt) -> bool:
    return isinstance(stmt, ast.ImportFrom) and stmt.names[0].name == "*"


def _modules(statements: tuple[ast.stmt, ...]) -> Iterator[str]:
    for stmt in statements:
        for node in ast.walk(stmt):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield "." if node.level else (node.module or "").split(".")[0]


def _third_party(modules: frozenset[str]) -> Iterator[str]:
    for module in sorted(modules):
        if module == ".":
            raise Unsuitable("it imports from its own package")
        if module not in sys.stdlib_module_names:
            yield module

"""A source file as the tracer reads it: its top-level statements, and which of them a function needs.

Nothing here is executed. Whatever text comes in, the outcome is a `Source` or an `Unsuitable`.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from annoy_store.inference.backends.tracer.value_types import split_names

_PARSING = threading.Lock()
_MAX_CHARS = 200_000
_MAX_DEPTH = 120
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_CONSOLE = frozenset({"input", "raw_input", "open", "exec", "eval", "exit", "quit", "breakpoint"})
_OUTWARD = frozenset(
    split_names(
        "os subprocess socket urllib http tkinter turtle pygame requests threading multiprocessing "
        "asyncio sqlite3 shutil glob pathlib argparse smtplib ssl signal ctypes selenium flask django "
        "tempfile getpass curses pdb bs4 scrapy cv2 webbrowser telnetlib ftplib wx"
    )
)
_GIVEN = {
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
    """The statements that a function stands on, what has to be added, and what it imports."""

    statements: tuple[ast.stmt, ...]
    additions: tuple[str, ...]
    node_classes: frozenset[str]
    third_party: frozenset[str]


@dataclass(frozen=True)
class SourceFile:
    """A file that parses. `lines` is its text, split at newlines only."""

    text: str
    tree: ast.Module = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """Every function by name, methods too; the first of a name wins."""
        found: dict[str, ast.FunctionDef] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, node)
        return found

    @cached_property
    def definitions(self) -> list[tuple[ast.stmt, frozenset[str], frozenset[str]]]:
        """Every top-level statement that gives or changes names, with those and the names it uses."""
        rows = ((stmt, _bound(stmt), names_used(stmt)) for stmt in self.tree.body)
        return [row for row in rows if row[1] and not is_main_block(row[0])]

    def dependencies_of(self, start: ast.stmt) -> Dependencies:
        """Return what `start` (a top-level function or class) needs. Raises Unsuitable."""
        kept = {id(start): start}
        wanted = set(names_used(start))
        grown = True
        while grown:
            grown = False
            for stmt, bound, used in self.definitions:
                if id(stmt) not in kept and bound & wanted and not _speaks(stmt, wanted):
                    kept[id(stmt)] = stmt
                    wanted |= used
                    grown = True
        statements = (stmt for stmt in self.tree.body if id(stmt) in kept)
        return _checked(tuple(_narrowed(stmt, wanted) for stmt in statements), wanted)

    def statement_text(self, stmt: ast.stmt) -> str:
        """Return a top-level statement as it is written, decorators and comments inside included."""
        decorators = getattr(stmt, "decorator_list", [])
        first = min([stmt.lineno, *(node.lineno for node in decorators)])
        last = stmt.end_lineno or stmt.lineno
        there = [n for n in self.tree.body if n.lineno <= last and (n.end_lineno or 0) >= first]
        if any(node is not stmt for node in there):  # it shares a line, or is a narrowed import
            return ast.unparse(stmt)
        return "\n".join(self.lines[first - 1 : last]).rstrip()


def read_source(text: str) -> SourceFile:
    """Parse a file's text. Raises Unsuitable."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    if len(text) > _MAX_CHARS:
        raise Unsuitable("the file is too long to read with care")
    try:
        tree = parse_python(text)
    except SyntaxError as error:
        raise Unsuitable(_not_python(text, error)) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise Unsuitable(f"the parser gives up ({type(error).__name__})") from None
    if _too_deep(tree):
        raise Unsuitable("its expressions are nested too deeply to follow")
    return SourceFile(text, tree)


def parse_python(text: str) -> ast.Module:
    """Parse without the warnings that odd escapes in other people's files would give.

    Raises SyntaxError, ValueError, RecursionError or MemoryError.
    """
    with _PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _not_python(text: str, error: SyntaxError) -> str:
    """Name the fault by its line alone: the parser's words differ between interpreters."""
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
    """Say whether this is `if __name__ == "__main__":`."""
    return isinstance(stmt, ast.If) and "__name__" in names_used(stmt.test)


def names_used(node: ast.AST) -> frozenset[str]:
    """Return every name that is read anywhere inside."""
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
    """Return an import with the names that are wanted alone; any other statement as it is."""
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


def _speaks(stmt: ast.stmt, wanted: set[str]) -> bool:
    """Say whether a statement only talks to a terminal: it gives none of the names that are wanted."""
    if not isinstance(stmt, (ast.Expr, ast.For, ast.While, ast.If, ast.With)):
        return False
    stored = {
        node.id
        for node in ast.walk(stmt)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    talks = names_used(stmt) & (_CONSOLE | {"print"}) or "stdout" in ast.dump(stmt)
    return bool(talks) and not stored & wanted


def _checked(statements: tuple[ast.stmt, ...], wanted: set[str]) -> Dependencies:
    used = frozenset(wanted) | {"print"}
    console = sorted(used & _CONSOLE)
    if console:
        raise Unsuitable(f"it calls {console[0]}(), so it is not closed in itself")
    modules = frozenset(_modules(statements))
    outward = sorted(modules & _OUTWARD)
    if outward:
        raise Unsuitable(f"it uses {outward[0]}, which reaches outside of the program")
    missing = sorted(used - _given_by(statements) - _BUILTINS)
    if any(_is_star(stmt) for stmt in statements):
        missing = [name for name in missing if name in _GIVEN]
    nodes = frozenset(missing) & NODE_CLASSES
    unknown = [name for name in missing if name not in _GIVEN and name not in NODE_CLASSES]
    if unknown:
        raise Unsuitable(f"it uses {unknown[0]}, which this file does not define")
    additions = tuple(dict.fromkeys(_GIVEN[name] for name in missing if name in _GIVEN))
    return Dependencies(statements, additions, nodes, frozenset(_foreign(modules)))


def _given_by(statements: tuple[ast.stmt, ...]) -> frozenset[str]:
    given = set()
    for stmt in statements:
        for node in ast.walk(stmt):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                given.add(node.id)
            elif isinstance(node, ast.arg):
                given.add(node.arg)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                given.add(node.name)
            elif isinstance(node, ast.alias):
                given.add((node.asname or node.name).split(".")[0])
            elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
                given.add(node.name)
    return frozenset(given)


def _is_star(stmt: ast.stmt) -> bool:
    return isinstance(stmt, ast.ImportFrom) and stmt.names[0].name == "*"


def _modules(statements: tuple[ast.stmt, ...]) -> Iterator[str]:
    for stmt in statements:
        for node in ast.walk(stmt):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield "." if node.level else (node.module or "").split(".")[0]


def _foreign(modules: frozenset[str]) -> Iterator[str]:
    for module in sorted(modules):
        if module == ".":
            raise Unsuitable("it imports from its own package")
        if module not in sys.stdlib_module_names:
            yield module

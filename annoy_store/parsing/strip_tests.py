r"""Remove test code from Python source, at the positions of its syntax tree.

Decisions
- Only whole statements of the module are removed: asserts, printing, the main block, functions
  named `test_..` (or `test`), test classes. A statement that binds a name which the rest of the
  file uses is no test, and stays. Tests are assumed to have no other effect.
- Doctest examples are removed from every docstring, for they show answers; its prose stays.
- The result is parsed again: unless it equals, statement for statement, the file without those,
  TestsNotSeparable is raised.
- Lines end where Python ends them (`\n`, `\r\n`, `\r`) and are written with `\n`, as Python reads
  them; form feeds and U+2028 end no line.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from annoy_store.parsing.python_code import parse_expression, parse_module
from annoy_store.parsing.side_effects import SideEffects

VERSION = 1  # part of the variant of `parse`: raise it when results change

_TEST_CALLS = {"print", "unittest.main", "doctest.testmod", "pytest.main"}
_TEST_NAME = re.compile(r"test(_|$)")
_JOINT = re.compile(rb"(?:[ \t\f]|\\\n)*;(?:[ \t\f]|\\\n)*")
_REST = re.compile(rb"[ \t\f]*(?:;[ \t\f]*)?(?:#[^\n]*)?(?=\n|\Z)")
_READS_DOCSTRINGS = re.compile(r"__doc__|\bgetdoc\b|\bgetsource\b|\bdocopt\b")
_DECORATOR = re.compile(rb"(?m)^[ \t\f]*@")

_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
Edit = tuple[int, int, bytes]  # start, end, replacement
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class TestsNotSeparable(Exception):
    """The code without its tests would not be the same program."""


def normalise_newlines(code: str) -> str:
    r"""Return `code` with `\n` wherever Python ends a line."""
    return code.replace("\r\n", "\n").replace("\r", "\n")


def without_tests(code: str, function: str, user: str = "") -> str:
    """Return code without its tests and examples, as far as that leaves its meaning as it is.

    Tests that may have an effect stay; code that reads docstrings, and code whose tests cannot be
    separated, is returned as it is.

    Args:
        code: Python source.
        function: The function that it is about.
        user: Other Python source that may use names of the code.
    """
    if _READS_DOCSTRINGS.search(code):
        return code
    try:
        needed = {function, *_used(parse_module(user))}
        left, _ = strip_tests(normalise_newlines(code), needed, keep_effects=True)
    except (*_UNREADABLE, TestsNotSeparable):
        return code
    return left


def strip_tests(
    code: str, needed: Collection[str], *, keep_effects: bool = False
) -> tuple[str, ast.Module]:
    r"""Remove the tests from a module.

    Args:
        code: Python source with `\n` line ends, see `normalise_newlines`.
        needed: Names whose definitions stay in any case.
        keep_effects: Whether tests that may change the rest of the module stay.

    Returns:
        The remaining code and its syntax tree.

    Raises:
        TestsNotSeparable: The tests cannot be removed without changing the rest.
    """
    try:
        tree = parse_module(code)
        text, gone = _Text(code), _tests(tree, needed, keep_effects)
        shown = [] if ">>>" not in code else list(_with_examples(tree.body, gone))
        edits = [
            *_statements(text, tree.body, gone),
            *(_docstring_edit(text, node) for node in shown),
        ]
        left = text.edited(edits).strip("\n")
        _remove_from_tree(tree, gone, shown)
        again = parse_module(left)
        same = ast.dump(again) == ast.dump(tree)
    except _UNREADABLE as error:
        raise TestsNotSeparable(
            f"the code without its tests is not valid Python: {error}"
        ) from None
    if not same:
        raise TestsNotSeparable("removing its tests changes the code")
    return left, again


# Which statements are removed ----------------------------------------------------------------


def _tests(tree: ast.Module, needed: Collection[str], keep_effects: bool) -> set[int]:
    """The indices of statements that only test, and bind nothing that the rest uses."""
    body = tree.body
    tests = {i for i, node in enumerate(body) if _is_test(node)}
    if keep_effects:
        effects = SideEffects(tree)
        tests = {i for i in tests if _is_main(body[i]) or not effects.may_change(body[i])}
    bound = {i: _bound(body[i]) for i in tests}
    used = {i: _used(node) for i, node in enumerate(body)}
    while True:
        rest = set(needed).union(*(used[i] for i in used if i not in tests))
        back = {i for i in tests if bound[i] & rest}
        if not back:
            return tests
        tests -= back


def _is_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) and _is_test_call(node.value.func)
    if isinstance(node, ast.If):
        return _is_main(node)
    if isinstance(node, ast.ClassDef):
        return _is_suite(node)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return bool(_TEST_NAME.match(node.name))
    return isinstance(node, ast.Assert)


def _is_test_call(called: ast.expr) -> bool:
    name = _dotted(called)
    return name in _TEST_CALLS or bool(_TEST_NAME.match(name))


def _is_main(node: ast.stmt) -> bool:
    """True for `if __name__ == "__main__":` without an else."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    if node.orelse or not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = {ast.dump(side) for side in (test.left, *test.comparators)}
    return sides == {ast.dump(ast.Name("__name__", ast.Load())), ast.dump(ast.Constant("__main__"))}


def _is_suite(node: ast.ClassDef) -> bool:
    """True for a unittest.TestCase, or a class `Test..` with `test_..` methods, as in pytest."""
    if any(_dotted(base).endswith("TestCase") for base in node.bases):
        return True
    methods = (part.name for part in node.body if isinstance(part, Definition))
    return node.name.startswith("Test") and any(_TEST_NAME.match(name) for name in methods)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, Definition):
        return {node.name}
    if isinstance(node, ast.If):  # a main block does not run on import
        return set()
    return {part.target.id for part in ast.walk(node) if isinstance(part, ast.NamedExpr)}


def _used(node: ast.AST) -> set[str]:
    """Names that a statement reads, also as text, as in `globals()["name"]`."""
    parts = list(ast.walk(node))
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    texts = (part.value for part in parts if isinstance(part, ast.Constant))
    return names | {text for text in texts if isinstance(text, str) and text.isidentifier()}


def _with_examples(body: Sequence[ast.stmt], gone: Collection[int]) -> Iterator[ast.Constant]:
    """The docstrings, and other strings that stand alone, that contain examples."""
    for part in itertools.chain.from_iterable(
        ast.walk(node) for i, node in enumerate(body) if i not in gone
    ):
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
            text = part.value.value
            if isinstance(text, str) and without_examples(text) != text:
                yield part.value


def _remove_from_tree(
    tree: ast.Module, gone: Collection[int], shown: Iterable[ast.Constant]
) -> None:
    """Remove the tests from the tree."""
    for node in shown:
        node.value, node.kind = without_examples(str(node.value)), None
    tree.body = [node for i, node in enumerate(tree.body) if i not in gone]


# Positions and edits -------------------------------------------------------------------------


class _Text:
    """Code as UTF-8, in which the tree counts columns."""

    def __init__(self, code: str) -> None:
        self.data = code.encode()
        self._lines = [0, *(found.end() for found in re.finditer(b"\n", self.data))]

    def start(self, node: ast.stmt | ast.expr) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def end(self, node: ast.stmt | ast.expr) -> int:
        return self._lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def line(self, at: int) -> int:
        """Return where the line of `at` begins if only whitespace precedes it, else `at`."""
        begin = self.data.rfind(b"\n", 0, at) + 1
        return at if self.data[begin:at].strip(b" \t\f") else begin

    def rest(self, at: int) -> int:
        """Return where the line of `at` ends if only a comment follows, else `at`."""
        found = _REST.match(self.data, at)
        return found.end() if found else at

    def edited(self, edits: Iterable[Edit]) -> str:
        parts, at = [], 0
        for start, end, new in sorted(edits):
            parts += [self.data[at:start], new]
            at = end
        return b"".join([*parts, self.data[at:]]).decode()


def _statements(text: _Text, body: Sequence[ast.stmt], gone: Collection[int]) -> Iterator[Edit]:
    """The edits that remove the statements `gone`, also from lines joined by `;`."""
    spans = _spans(text, body)
    for run in _runs(text, spans):
        kept = [i for i in run if i not in gone]
        end = text.rest(spans[run[-1]][1])
        if not kept:
            yield text.line(spans[run[0]][0]), end + (end < len(text.data)), b""
            continue
        for i in (i for i in run if i in gone and i < kept[-1]):
            yield spans[i][0], spans[i + 1][0], b""
        if run[-1] in gone:
            yield spans[kept[-1]][1], end, b""


def _spans(text: _Text, body: Sequence[ast.stmt]) -> list[tuple[int, int]]:
    """Start and end of each statement, decorators included."""
    spans: list[tuple[int, int]] = []
    for node in body:
        start = text.start(node)
        if isinstance(node, Definition) and node.decorator_list:
            found = _DECORATOR.search(text.data, spans[-1][1] if spans else 0)
            start = found.end() - 1 if found else start
        spans.append((start, text.end(node)))
    return spans


def _runs(text: _Text, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The indices of statements, those joined by `;` together."""
    runs: list[list[int]] = []
    for i, (start, _) in enumerate(spans):
        if i and _JOINT.fullmatch(text.data, spans[i - 1][1], start):
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _docstring_edit(text: _Text, node: ast.Constant) -> Edit:
    return (
        text.start(node),
        text.end(node),
        string_literal(without_examples(str(node.value))).encode(),
    )


_EXAMPLE = re.compile(r"(?m)^[ \t]*>>>.*(?:\n(?![ \t]*$).*)*")  # up to a blank line


_HEADING = re.compile(
    r"(?im)^[ \t]*(?:examples?|doctests?|tests?):{0,2}[ \t]*(?:\n[ \t]*[-=~]{3,}[ \t]*)?$"
)


_MANY_BLANKS = re.compile(r"\n(?:[ \t]*\n){2,}")


def without_examples(docstring: str) -> str:
    """Return a docstring without its doctest examples and the headings above them."""
    if not _EXAMPLE.search(docstring):
        return docstring
    words = _HEADING.sub("", _EXAMPLE.sub("", docstring))
    words = _MANY_BLANKS.sub("\n\n", words).rstrip()
    end = re.search(r"\n[ \t]*\Z", docstring)
    return words + end[0] if words and end else words


def string_literal(value: str) -> str:
    """Return a literal of `value`, triple-quoted as docstrings are if possible."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    raw = f'r"""{value}"""' if "\\" in value else f'"""{value}"""'
    for literal in (raw, f'"""{escaped}"""'):
        try:
            if ast.literal_eval(parse_expression(literal)) == value:
                return literal
        except (SyntaxError, ValueError):
            continue
    return repr(value)

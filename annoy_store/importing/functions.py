"""Functions that come with tests, read as samples: no model needed, nothing run here.

A module-level function becomes a sample when its docstring has doctests, or asserts of its file
compare a call of it with a value, and at least two of those are literal:

    >>> twice(3)              assert twice(3) == 6
    6                         self.assertEqual(twice(3), 6)

Decisions
- The file is parsed and never executed: an example that is no literal is passed over. Whether a
  pair holds is found out in the sandbox, as for every pair that was imported.
- The sample's code is the whole file, so that helpers and imports are there, without its asserts,
  main block and test functions, and with a `main_solution` of the same parameters at its end.
- Values are taken as JSON has them (a tuple as a list); what JSON cannot hold makes no pair.
- The problem statement is the docstring without its examples; a function without words is left.
"""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store import literals
from annoy_store.contracts import New
from annoy_store.importing.samples import Pair, as_pair, new_pair
from annoy_store.stages.parse import FUNCNAME, new_sample

FEWEST = 2
_EQUAL = {"assertEqual", "assertEquals", "assertAlmostEqual", "assertListEqual", "assertDictEqual"}
_TRUE = {"assertTrue": True, "assertFalse": False}
_TALK = {"print", "unittest.main", "doctest.testmod", "pytest.main"}
_TEST_NAME = re.compile(r"test(_|$|[A-Z])|setUp|tearDown", re.I)


@dataclass(frozen=True)
class Example:
    """One literal call of a function and the value it is said to give."""

    name: str
    arguments: Mapping[str, Any]
    value: Any


@dataclass(frozen=True)
class FromTests:
    """A function with its examples, as the sample that it becomes."""

    name: str
    sample: New
    pairs: tuple[Pair, ...]

    def rows(self) -> list[New]:
        """The sample and its pairs."""
        return [self.sample, *(new_pair(self.sample, pair) for pair in self.pairs)]


def as_samples(code: str) -> list[FromTests]:
    """Return the samples in a file of Python: tested functions with at least two literal examples.

    A file that is no Python, or has none, gives an empty list; nothing is executed.
    """
    try:
        tree = literals.tree(code, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    assert isinstance(tree, ast.Module)
    functions = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and _is_plain(node)
    }
    examples: dict[str, list[Example]] = {}
    for example in [*_doctests(functions), *_asserts(tree, functions)]:
        examples.setdefault(example.name, []).append(example)
    found = (_tested(code, tree, functions[name], some) for name, some in examples.items())
    return [tested for tested in found if tested]


# Samples -------------------------------------------------------------------------------------


def _tested(
    code: str, tree: ast.Module, function: ast.FunctionDef, examples: Sequence[Example]
) -> FromTests | None:
    words = _words(ast.get_docstring(function) or "")
    pairs = tuple(_pairs(examples))
    if not words or len(pairs) < FEWEST:
        return None
    refcode = f"{_kept(code, tree)}\n\n\n{_wrapper(function)}"
    sample = new_sample(refcode, FUNCNAME, words, _interface(function), None)
    return FromTests(function.name, sample, pairs)


def _pairs(examples: Sequence[Example]) -> Iterator[Pair]:
    seen: set[str] = set()
    for example in examples:
        try:
            pair = as_pair(len(seen), dict(example.arguments), example.value)
        except (literals.Refused, TypeError, ValueError):
            continue
        if pair.input_digest not in seen and pair.output != "null":
            seen.add(pair.input_digest)
            yield pair


def _kept(code: str, tree: ast.Module) -> str:
    """The file without what only tests it, line by line as it was written."""
    lines = code.splitlines()
    for node in reversed(tree.body):
        if _is_test(node):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(d.lineno for d in decorators)])
            del lines[first - 1 : node.end_lineno]
    return "\n".join(lines).strip("\n")


def _is_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in _TALK
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.If):
        return "__name__" in ast.dump(node.test)
    if isinstance(node, ast.ClassDef):
        return any("TestCase" in ast.dump(base) for base in node.bases)
    return isinstance(node, ast.FunctionDef) and bool(_TEST_NAME.match(node.name))


def _is_plain(function: ast.FunctionDef) -> bool:
    """Named parameters only, and none of its own called so that it would be in the way."""
    given = function.args
    return not (given.vararg or given.kwarg or given.posonlyargs) and bool(
        given.args or given.kwonlyargs
    )


def _names(function: ast.FunctionDef) -> list[str]:
    return [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]


def _wrapper(function: ast.FunctionDef) -> str:
    """`main_solution` with the same parameters and defaults, calling the function."""
    passed = ", ".join(f"{name}={name}" for name in _names(function))
    signature = ast.unparse(function.args)
    if function.name == FUNCNAME:
        return ""
    return f"def {FUNCNAME}({signature}):\n    return {function.name}({passed})"


def _words(docstring: str) -> str:
    """The docstring without its examples."""
    parts = doctest.DocTestParser().parse(docstring) if ">>>" in docstring else [docstring]
    text = "\n".join(part.strip("\n") for part in parts if isinstance(part, str))
    return re.sub(
        r"\n{3,}", "\n\n", re.sub(r"(?im)^ *(examples?|doctests?|tests?):? *$", "", text)
    ).strip()


def _interface(function: ast.FunctionDef) -> str:
    """Parameters and result with their annotations and defaults, as far as they are told."""
    given = function.args
    defaults: dict[str, ast.expr | None] = dict(
        zip([a.arg for a in given.args][::-1], given.defaults[::-1], strict=False)
    )
    defaults |= {a.arg: d for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True)}
    lines = ["Input:"]
    for argument in (*given.args, *given.kwonlyargs):
        told = f" ({ast.unparse(argument.annotation)})" if argument.annotation else ""
        default = defaults.get(argument.arg)
        optional = f", {ast.unparse(default)} if left out" if default else ""
        lines.append(f"  `{argument.arg}`{told}{optional}")
    returned = f" ({ast.unparse(function.returns)})" if function.returns else ""
    return "\n".join([*lines, "", "Output:", f"  `return`{returned}"])


# Examples ------------------------------------------------------------------------------------


def _doctests(functions: Mapping[str, ast.FunctionDef]) -> Iterator[Example]:
    for function in functions.values():
        docstring = ast.get_docstring(function) or ""
        try:
            found = doctest.DocTestParser().get_examples(docstring) if ">>>" in docstring else []
        except ValueError:
            continue
        for example in found:
            call = _expression(example.source)
            value = _expression(example.want)
            if call is not None and value is not None:
                yield from _example(call, value, functions)


def _expression(text: str) -> ast.expr | None:
    try:
        tree = literals.tree(text.strip(), "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree.body if isinstance(tree, ast.Expression) else None


def _asserts(tree: ast.AST, functions: Mapping[str, ast.FunctionDef]) -> Iterator[Example]:
    for node in _in_order(tree):
        if isinstance(node, ast.Assert):
            yield from _claim(node.test, functions)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _EQUAL and len(node.args) >= 2:
                yield from _either(node.args[0], node.args[1], functions)
            elif node.func.attr in _TRUE and node.args:
                constant = ast.Constant(_TRUE[node.func.attr])
                yield from _example(node.args[0], constant, functions)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _claim(test: ast.expr, functions: Mapping[str, ast.FunctionDef]) -> Iterator[Example]:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], (ast.Eq, ast.Is)):
            yield from _either(test.left, test.comparators[0], functions)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _example(test.operand, ast.Constant(False), functions)
    elif isinstance(test, ast.Call):
        yield from _example(test, ast.Constant(True), functions)


def _either(
    left: ast.expr, right: ast.expr, functions: Mapping[str, ast.FunctionDef]
) -> Iterator[Example]:
    yield from _example(left, right, functions) or ()
    yield from _example(right, left, functions) or ()


def _example(
    call: ast.expr, value: ast.expr, functions: Mapping[str, ast.FunctionDef]
) -> list[Example]:
    """The example that a literal call and its literal value are."""
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return []
    function = functions.get(call.func.id)
    if function is None or any(k.arg is None for k in call.keywords):
        return []
    try:
        given = [ast.literal_eval(argument) for argument in call.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        said = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return []
    names = _names(function)
    if len(given) > len(function.args.args) or not set(named) <= set(names):
        return []
    return [Example(function.name, dict(zip(names, given, strict=False)) | named, said)]

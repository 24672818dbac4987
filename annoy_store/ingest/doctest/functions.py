"""Turn functions that come with tests into samples: no model needed, nothing is executed.

A module-level function becomes a sample when its docstring has doctests, or asserts of its file
compare a call of it with a value, and at least two of those are literal:

    >>> twice(3)              assert twice(3) == 6
    6                         self.assertEqual(twice(3), 6)

Decisions
- The file is parsed and never executed: an example that is not literal is skipped. Whether a pair
  holds is determined in the sandbox, as for every imported pair.
- The sample's code is the whole file, so that helpers and imports are available, without its tests
  (parsing/strip_tests.py) and with a `main_solution` of the same parameters at its end.
- An assert that remains in that code, for instance inside a helper, makes no pair: the question
  would show its answer.
- Values are converted to JSON (a tuple to a list); what JSON cannot represent makes no pair.
- The problem statement is the docstring without its examples; a function without one is skipped.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from annoy_store.ingest.codeio.samples import RecordedPair, new_pair, recorded_pair
from annoy_store.interfaces import NewRow
from annoy_store.parsing import json_values
from annoy_store.parsing.doctest_examples import (
    CallExample,
    Functions,
    assert_examples,
    doctest_examples,
    parameter_names,
)
from annoy_store.parsing.python_code import parse_module
from annoy_store.parsing.strip_tests import (
    TestsNotSeparable,
    normalise_newlines,
    strip_tests,
    without_examples,
)
from annoy_store.records.samples import FUNCNAME, new_sample

MIN_EXAMPLES = 2


@dataclass(frozen=True)
class FunctionWithTests:
    """A function with its examples, as the sample that it becomes.

    Attributes:
        name: Name of the function.
        sample: The sample row, without an id.
        pairs: Its examples.
    """

    name: str
    sample: NewRow
    pairs: tuple[RecordedPair, ...]

    def rows(self) -> list[NewRow]:
        """Return the rows of the sample and its pairs."""
        return [self.sample, *(new_pair(self.sample, pair) for pair in self.pairs)]


@dataclass(frozen=True)
class SkippedFunction:
    """A function with tests that cannot become a sample.

    Attributes:
        name: Name of the function.
        reason: Short reason to count by.
        detail: The reason as a sentence.
    """

    name: str
    reason: str
    detail: str


def samples_from_code(code: str) -> list[FunctionWithTests | SkippedFunction]:
    """Return the samples in a Python file: functions with at least two literal examples.

    Args:
        code: The content of the file.

    Returns:
        Samples and skipped functions; empty for a file that is not Python or has none. Nothing is
        executed.
    """
    code = normalise_newlines(code)
    try:
        tree = parse_module(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    functions = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and _is_plain(node)
    }
    examples = _by_name([*doctest_examples(functions), *assert_examples(tree, functions)])
    tested = {
        name: some
        for name, some in examples.items()
        if len(list(_pairs(some))) >= MIN_EXAMPLES and _description(functions[name])
    }
    return _samples(code, functions, tested) if tested else []


# Samples -------------------------------------------------------------------------------------


def _by_name(examples: Iterable[CallExample]) -> dict[str, list[CallExample]]:
    found: dict[str, list[CallExample]] = defaultdict(list)
    for example in examples:
        found[example.name].append(example)
    return found


def _samples(
    code: str, functions: Functions, tested: dict[str, list[CallExample]]
) -> list[FunctionWithTests | SkippedFunction]:
    try:
        left, tree = strip_tests(code, tested)
    except TestsNotSeparable as damage:
        return [SkippedFunction(name, "not_separable", str(damage)) for name in tested]
    remaining = _by_name(assert_examples(tree, functions))
    return [
        _sample(left, tree, functions[name], some, remaining.get(name, []))
        for name, some in tested.items()
    ]


def _sample(
    code: str,
    tree: ast.Module,
    function: ast.FunctionDef,
    examples: Iterable[CallExample],
    remaining: Iterable[CallExample],
) -> FunctionWithTests | SkippedFunction:
    shown_inputs = {pair.input_digest for pair in _pairs(remaining)}
    pairs = tuple(pair for pair in _pairs(examples) if pair.input_digest not in shown_inputs)
    if len(pairs) < MIN_EXAMPLES:
        return SkippedFunction(
            function.name, "answers_shown", "its examples are part of other code"
        )
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if function.name != FUNCNAME and FUNCNAME in read:
        return SkippedFunction(
            function.name, "name_taken", f"its file uses a {FUNCNAME} of its own"
        )
    refcode = "\n\n\n".join(part for part in (code, _wrapper(function)) if part)
    sample = new_sample(refcode, FUNCNAME, _description(function), _interface(function), None)
    return FunctionWithTests(function.name, sample, pairs)


def _pairs(examples: Iterable[CallExample]) -> Iterator[RecordedPair]:
    seen: set[str] = set()
    for example in examples:
        try:
            pair = recorded_pair(len(seen), dict(example.arguments), example.value)
        except (json_values.UnsupportedValue, TypeError, ValueError):
            continue
        if pair.input_digest not in seen and pair.output != "null":
            seen.add(pair.input_digest)
            yield pair


def _is_plain(function: ast.FunctionDef) -> bool:
    """True for a function of named parameters only."""
    given = function.args
    return not (given.vararg or given.kwarg or given.posonlyargs) and bool(
        given.args or given.kwonlyargs
    )


def _wrapper(function: ast.FunctionDef) -> str:
    """`main_solution` with the same parameters and defaults, calling the function."""
    passed = ", ".join(f"{name}={name}" for name in parameter_names(function))
    signature = ast.unparse(function.args)
    if function.name == FUNCNAME:
        return ""
    return f"def {FUNCNAME}({signature}):\n    return {function.name}({passed})"


def _description(function: ast.FunctionDef) -> str:
    """The docstring without its examples."""
    return inspect.cleandoc(
        without_examples(ast.get_docstring(function, clean=False) or "")
    ).strip()


def _interface(function: ast.FunctionDef) -> str:
    """Parameters and result with their annotations and defaults, as far as they are given."""
    given = function.args
    defaults: dict[str, ast.expr | None] = dict(
        zip([a.arg for a in given.args][::-1], given.defaults[::-1], strict=False)
    )
    defaults |= {a.arg: d for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True)}
    lines = ["Input:"]
    for argument in (*given.args, *given.kwonlyargs):
        annotation = f" ({ast.unparse(argument.annotation)})" if argument.annotation else ""
        default = defaults.get(argument.arg)
        optional = f", {ast.unparse(default)} if left out" if default else ""
        lines.append(f"  `{argument.arg}`{annotation}{optional}")
    returned = f" ({ast.unparse(function.returns)})" if function.returns else ""
    return "\n".join([*lines, "", "Output:", f"  `return`{returned}"])

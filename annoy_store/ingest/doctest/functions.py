"""Functions that come with tests, read as samples: no model needed, nothing run here.

A module-level function becomes a sample when its docstring has doctests, or asserts of its file
compare a call of it with a value, and at least two of those are literal:

    >>> twice(3)              assert twice(3) == 6
    6                         self.assertEqual(twice(3), 6)

Decisions
- The file is parsed and never executed: an example that is no literal is passed over. Whether a
  pair holds is found out in the sandbox, as for every pair that was imported.
- The sample's code is the whole file, so that helpers and imports are there, without its tests
  (see parsing/strip_tests.py) and with a `main_solution` of the same parameters at its end.
- What an assert says that stands in that code still, say inside of a helper, makes no pair: the
  question would show its answer.
- Values are taken as JSON has them (a tuple as a list); what JSON cannot hold makes no pair.
- The problem statement is the docstring without its examples; a function without words is left.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from annoy_store.ingest.codeio.samples import Pair, as_pair, new_pair
from annoy_store.interfaces import New
from annoy_store.parsing import json_values
from annoy_store.parsing.doctest_examples import Example, Functions, asserts, doctests, names_of
from annoy_store.parsing.strip_tests import Damaged, cut, prose, with_plain_lines
from annoy_store.records.samples import FUNCNAME, new_sample

FEWEST = 2


@dataclass(frozen=True)
class FromTests:
    """A function with its examples, as the sample that it becomes."""

    name: str
    sample: New
    pairs: tuple[Pair, ...]

    def rows(self) -> list[New]:
        """The sample and its pairs."""
        return [self.sample, *(new_pair(self.sample, pair) for pair in self.pairs)]


@dataclass(frozen=True)
class Left:
    """A tested function that cannot be taken: why in a word that can be counted, and in a sentence."""

    name: str
    reason: str
    detail: str


def as_samples(code: str) -> list[FromTests | Left]:
    """Return the samples in a file of Python: tested functions with at least two literal examples.

    A file that is no Python, or has none, gives an empty list; nothing is executed.
    """
    code = with_plain_lines(code)
    try:
        tree = json_values.tree(code, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    assert isinstance(tree, ast.Module)
    functions = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and _is_plain(node)
    }
    examples = _by_name([*doctests(functions), *asserts(tree, functions)])
    tested = {
        name: some
        for name, some in examples.items()
        if len(list(_pairs(some))) >= FEWEST and _words(functions[name])
    }
    return _samples(code, functions, tested) if tested else []


# Samples -------------------------------------------------------------------------------------


def _by_name(examples: Iterable[Example]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        found[example.name].append(example)
    return found


def _samples(
    code: str, functions: Functions, tested: dict[str, list[Example]]
) -> list[FromTests | Left]:
    try:
        left, tree = cut(code, tested)
    except Damaged as damage:
        return [Left(name, "not_separable", str(damage)) for name in tested]
    shown = _by_name(asserts(tree, functions))
    return [
        _sample(left, tree, functions[name], some, shown.get(name, []))
        for name, some in tested.items()
    ]


def _sample(
    code: str,
    tree: ast.Module,
    function: ast.FunctionDef,
    examples: Iterable[Example],
    shown: Iterable[Example],
) -> FromTests | Left:
    told = {pair.input_digest for pair in _pairs(shown)}
    pairs = tuple(pair for pair in _pairs(examples) if pair.input_digest not in told)
    if len(pairs) < FEWEST:
        return Left(function.name, "answers_shown", "its examples stand inside of other code")
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if function.name != FUNCNAME and FUNCNAME in read:
        return Left(function.name, "name_taken", f"its file uses a {FUNCNAME} of its own")
    refcode = "\n\n\n".join(part for part in (code, _wrapper(function)) if part)
    sample = new_sample(refcode, FUNCNAME, _words(function), _interface(function), None)
    return FromTests(function.name, sample, pairs)


def _pairs(examples: Iterable[Example]) -> Iterator[Pair]:
    seen: set[str] = set()
    for example in examples:
        try:
            pair = as_pair(len(seen), dict(example.arguments), example.value)
        except (json_values.Refused, TypeError, ValueError):
            continue
        if pair.input_digest not in seen and pair.output != "null":
            seen.add(pair.input_digest)
            yield pair


def _is_plain(function: ast.FunctionDef) -> bool:
    """Named parameters only, and none of its own called so that it would be in the way."""
    given = function.args
    return not (given.vararg or given.kwarg or given.posonlyargs) and bool(
        given.args or given.kwonlyargs
    )


def _wrapper(function: ast.FunctionDef) -> str:
    """`main_solution` with the same parameters and defaults, calling the function."""
    passed = ", ".join(f"{name}={name}" for name in names_of(function))
    signature = ast.unparse(function.args)
    if function.name == FUNCNAME:
        return ""
    return f"def {FUNCNAME}({signature}):\n    return {function.name}({passed})"


def _words(function: ast.FunctionDef) -> str:
    """The docstring without its examples."""
    return inspect.cleandoc(prose(ast.get_docstring(function, clean=False) or "")).strip()


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

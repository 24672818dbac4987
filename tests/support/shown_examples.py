"""Counts questions that hold their own answer, by executing the examples in them.

This shares no code with the product's rule: examples are taken from the text of a prompt with
`doctest` and regular expressions and run beside the reference code, whose functions record how they
are called; a question holds its answer if one of these calls is that of its pair.
"""

from __future__ import annotations

import ast
import doctest
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from annoy_store.db.engine import Database
from annoy_store.interfaces import Limits, Program, Sandbox

LIMITS = Limits(cpu_seconds=5.0, wall_seconds=15.0)
CALL = re.compile(r"(?<!def )\b[A-Za-z_][\w.]*\((?:[^()\n]|\([^()\n]*\))*\)")
QUESTIONS = """
    SELECT t.id, t.kind, m.template, m.messages, s.problem_statement, s.io_requirements, s.refcode,
           i.input, i.output
    FROM turns t JOIN prompts m ON m.id = t.prompt_id
    JOIN io_pairs i ON i.id = t.io_pair_id
    JOIN samples s ON s.id = i.sample_id WHERE t.number = 1
"""
RECORDER = """
import json as _json


def _plain(value):
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


_calls, _depth = [], [0]


def _recorded(name, function):
    def call(*args, **kwargs):
        _depth[0] += 1
        try:
            result = function(*args, **kwargs)
            return result
        except BaseException as error:
            result = repr(error)
            raise
        finally:
            _depth[0] -= 1
            try:
                _json.dumps(record := [name, _depth[0], _plain(args), _plain(kwargs), _plain(result)])
                _calls.append(record)
            except (TypeError, ValueError):
                pass
    return call


def _run(examples, given):
    space = globals()
    import inspect, types
    signature = inspect.signature(space["main_solution"])
    for name, value in list(space.items()):
        if isinstance(value, types.FunctionType) and not name.startswith("_"):
            space[name] = _recorded(name, value)

    class Names(dict):
        def __missing__(self, name):
            import builtins
            if name in space or hasattr(builtins, name):
                raise KeyError(name)
            return space["main_solution"]

    def bound(record):
        try:
            call = signature.bind(*record[2], **record[3])
            call.apply_defaults()
            return _plain(call.arguments)
        except TypeError:
            return None

    def calls_of(work):
        _calls.clear()
        _depth[0] = 0
        try:
            work()
        except BaseException:
            pass
        return [list(c) for c in _calls]

    own = []
    for pair in given:
        trace = calls_of(lambda: space["main_solution"](**_json.loads(_json.dumps(pair))))
        own.append([c for c in trace if c[1] <= 1])
    found = []
    for source in examples:
        for call in calls_of(lambda: exec(source, dict(space), Names())):
            for n, pair in enumerate(given):
                passed = [*call[2], *call[3].values()]
                whole = pair and all(value in passed for value in pair.values())
                same = whole and any(call[0] == o[0] and call[2:4] == o[2:4] for o in own[n])
                direct = call[0] == "main_solution" and any(
                    bound(call) == bound(o) for o in own[n] if o[0] == "main_solution"
                )
                if (same or direct) and [n, source] not in found:
                    found.append([n, source])
    return found
"""


@dataclass(frozen=True)
class Held:
    """A question that holds its answer, and the example that shows it."""

    turn_id: int
    kind: str
    is_imported: bool
    example: str


def held_answers(store: Database, sandbox: Sandbox) -> Iterator[Held]:
    """Yield the first-turn questions of a store that hold their own answer."""
    with store.read() as connection:
        rows = [dict(row) for row in connection.execute(text(QUESTIONS)).mappings()]
    by_code: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        texts = (row["problem_statement"], row["io_requirements"], row["refcode"])
        asked = json.loads(row["messages"])[-1]["content"]
        assert all(part.strip() in asked for part in texts), "a question without its sample"
        by_code.setdefault(texts, []).append(row)
    for texts, asked_rows in by_code.items():
        examples = list(find_examples(*texts))
        hits = _run(sandbox, texts[2], [source for source, _ in examples], asked_rows)
        for n, row in enumerate(asked_rows):
            mine = {source for place, source in hits if place == n}
            told = [text for source, text in examples if source in mine]
            shown = _shown(row, texts, told)
            if shown is not None:
                yield Held(row["id"], row["kind"], row["template"] == "imported", shown)


def find_examples(problem: str, io: str, code: str) -> Iterator[tuple[str, str]]:
    """Yield pieces of code in the texts, each with the text that stands with it."""
    whole = "\n\n".join((problem, io, code))
    try:
        session = doctest.DocTestParser().get_examples(whole)
    except ValueError:
        session = []
    earlier = ""
    for example in session:
        earlier += example.source
        yield earlier, example.source + example.want
    lines = whole.split("\n")
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        for call in CALL.finditer(line):
            rest = line.replace(call[0], " ")
            yield call[0], rest if re.search(r"\w", rest[call.start() :]) else f"{rest}\n{below}"
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return
    for node in tree.body:
        segment = ast.get_source_segment(code, node) or ""
        if isinstance(node, ast.If):
            yield "if True:" + segment.split(":", 1)[-1], segment
        elif isinstance(node, (ast.Expr, ast.Assert, ast.For)):
            yield segment, segment
        elif isinstance(node, ast.FunctionDef) and "test" in node.name:
            yield f"{segment}\n{node.name}()", segment


def _run(
    sandbox: Sandbox, code: str, examples: list[str], rows: list[dict[str, Any]]
) -> list[list[Any]]:
    """Which examples make the call of which row."""
    given = [json.loads(row["input"]) for row in rows]
    program = Program(f"{code}\n{RECORDER}", "_run")
    [ran] = sandbox.call(program, [json.dumps({"examples": examples, "given": given})], LIMITS)
    return json.loads(ran.output) if ran.output else []


def _shown(row: dict[str, Any], texts: tuple[str, ...], told: list[str]) -> str | None:
    """What shows the answer of a question: an example that makes its call, or its input."""
    if row["kind"] == "predict_input":
        forms = [form for form in _forms(row["input"]) if any(form in part for part in texts)]
        return next(iter([*told, *forms]), None)
    output = json.loads(row["output"])
    spelled = {str(output), repr(output), row["output"]} - {""}
    patterns = [rf"(?<![\w.]){re.escape(word)}(?![\w.]*\w)" for word in spelled]
    return next((part for part in told if any(re.search(p, part) for p in patterns)), None)


def _forms(given: str) -> set[str]:
    """An input as JSON and as Python writes it."""
    value = json.loads(given)
    return {given, json.dumps(value), repr(value)} - {"{}"}

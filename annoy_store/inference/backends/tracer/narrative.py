"""Describes a traced run in words: calls, branches, assignments, and loops, long ones condensed.

The events of one frame are grouped by the loops of the code and the rounds of each loop; the first
rounds are described, the rest is counted. Only what happened is described.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annoy_store.inference.backends.tracer.call_tree import Frame, TraceStep, build_call_tree
from annoy_store.parsing.python_code import parse_module

_ROUNDS_DESCRIBED = 3
_CALLS_DESCRIBED = 2
_DEPTH_DESCRIBED = 3
_MAX_CHARS = 5_000
_Loop = ast.For | ast.While


def narrate(code: str, events: Sequence[Sequence[Any]]) -> list[str]:
    """Return the description of a run, one line of text per step, about 5,000 characters at most.

    Args:
        code: The reference code.
        events: Events as in `TraceReport.events`.
    """
    root = build_call_tree(events)
    if root is None:
        return []
    lines: list[str] = []
    size = 0
    for line in Narrator(code).describe_frame(root, 0):
        size += len(line)
        if size > _MAX_CHARS:
            return [
                *lines,
                "- I leave out the steps after that.",
            ]
        lines.append(line)
    return lines


class Narrator:
    """Describes frames of one program, and counts how often each function was described."""

    def __init__(self, code: str) -> None:
        """Parse the program whose runs are described."""
        tree = parse_module(code)
        self.source = code.split("\n")
        self.statements = _by_line(tree)
        self.handlers = _handler_lines(tree)
        self.loops = [node for node in ast.walk(tree) if isinstance(node, _Loop)]
        self.n_described: Counter[str] = Counter()

    def describe_frame(self, frame: Frame, depth: int) -> Iterator[str]:
        """Describe one call and what happens inside."""
        self.n_described[frame.name] += 1
        indent = "  " * depth
        yield f"{indent}- `{_call_text(frame)}` is called."
        yield from self.describe_steps(frame.steps, frame, depth + 1, [])
        if frame.result is not None:
            yield f"{indent}- So `{frame.name}` returns `{_shortened(frame.result)}`."
        elif frame.error is not None:
            yield f"{indent}- `{frame.name}` stops with {frame.error}."

    def describe_steps(
        self, steps: Sequence[TraceStep], frame: Frame, depth: int, inside: list[_Loop]
    ) -> Iterator[str]:
        """Describe steps in order, loops as wholes."""
        at = 0
        while at < len(steps):
            loop = self.outermost(steps[at].line, inside)
            if loop is None:
                following = steps[at + 1].line if at + 1 < len(steps) else None
                yield from self.describe_step(steps[at], following, depth)
                at += 1
                continue
            end = at
            while end < len(steps) and _covers(loop, steps[end].line):
                end += 1
            yield from self.describe_loop(loop, steps[at:end], frame, depth, inside)
            at = end

    def outermost(self, line: int, inside: list[_Loop]) -> _Loop | None:
        """Return the outermost loop around a line that is not one of `inside`."""
        around = [loop for loop in self.loops if _covers(loop, line) and loop not in inside]
        return min(around, key=lambda loop: loop.lineno, default=None)

    def describe_loop(
        self, loop: _Loop, steps: Sequence[TraceStep], frame: Frame, depth: int, inside: list[_Loop]
    ) -> Iterator[str]:
        """Describe a loop: its first rounds, the number of rounds, and the values after it."""
        rounds = _rounds(loop, steps)
        indent, head = "  " * depth, self.line_text(loop.lineno)
        if not rounds:
            yield f"{indent}- The loop `{head}` has nothing to do."
            return
        n_shown = _ROUNDS_DESCRIBED if depth < 2 * _DEPTH_DESCRIBED else 1
        yield f"{indent}- The loop `{head}`:"
        for number, part in enumerate(rounds[:n_shown], 1):
            yield from self.describe_round(number, part, loop, frame, depth + 1, inside)
        if len(rounds) > n_shown:
            yield f"{indent}  - {_others(rounds, n_shown)}"

    def describe_round(
        self,
        number: int,
        steps: Sequence[TraceStep],
        loop: _Loop,
        frame: Frame,
        depth: int,
        inside: list[_Loop],
    ) -> Iterator[str]:
        """Describe one round, in one line if it is simple."""
        indent = "  " * depth
        at_head = steps[0].line == loop.lineno and loop.body[0].lineno > loop.lineno
        drawn = _effect(steps[0].changes) if at_head else ""
        label = f"{indent}- Round {number}" + (f" ({drawn})" if drawn else "")
        calls = [call for step in steps[:1] for call in step.calls] if at_head else []
        lines = [line for call in calls for line in self.describe_call(call, depth + 1)]
        lines += self.describe_steps(
            steps[1:] if at_head else steps, frame, depth + 1, [*inside, loop]
        )
        nested = any(line.startswith(f"{indent}    ") for line in lines)
        if nested or sum(map(len, lines)) > 400:
            yield f"{label}:"
            yield from lines
        else:
            yield f"{label}: {_one_line(lines)}"

    def describe_call(self, call: Frame, depth: int) -> Iterator[str]:
        """Describe a call: in full the first times, then by its result alone."""
        if self.n_described[call.name] < _CALLS_DESCRIBED and depth < 2 * _DEPTH_DESCRIBED:
            yield from self.describe_frame(call, depth)
        elif call.result is not None:
            yield f"{'  ' * depth}- `{_call_text(call)}` gives `{_shortened(call.result)}`."
        elif call.error is None:
            yield f"{'  ' * depth}- `{_call_text(call)}` is called."

    def describe_step(self, step: TraceStep, following: int | None, depth: int) -> Iterator[str]:
        """Describe one line: the calls that it made, its branch, its effect."""
        indent = "  " * depth
        statement = self.statements.get(step.line)
        for call in step.calls:
            yield from self.describe_call(call, depth)
        if isinstance(statement, ast.If):
            branch = "" if following in self.handlers else _branch(statement, following)
            yield from [f"{indent}- {branch}."] if branch else ()
        for text in step.yields:
            yield f"{indent}- `{self.line_text(step.line)}` hands out `{_shortened(text)}`."
        effect = _effect(step.changes)
        if effect and isinstance(statement, ast.Assign) and _is_plain(statement.value):
            yield f"{indent}- {effect}."
        elif effect:
            yield f"{indent}- `{self.line_text(step.line)}` makes {effect}."
        elif isinstance(statement, (ast.Break, ast.Continue)):
            yield f"{indent}- `{self.line_text(step.line)}`."

    def line_text(self, line: int) -> str:
        """Return a line of the code, shortened."""
        text = self.source[line - 1].strip() if line <= len(self.source) else ""
        text = text.split("  #")[0].rstrip(":").replace("`", "'")
        return text if len(text) <= 70 else text[:67] + "..."


def _by_line(tree: ast.Module) -> dict[int, ast.stmt]:
    """Return the innermost statement that begins at, or extends over, each line."""
    found: dict[int, ast.stmt] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno
            for line in range(node.lineno, max(last or 0, node.lineno) + 1):
                found[line] = node
    return found


def _handler_lines(tree: ast.Module) -> set[int]:
    """Return the lines to which an exception leads, from whatever line came before."""
    tries = [node for node in ast.walk(tree) if isinstance(node, (ast.Try, ast.TryStar))]
    handlers = {handler.lineno for node in tries for handler in node.handlers}
    return handlers | {node.finalbody[0].lineno for node in tries if node.finalbody}


def _covers(loop: _Loop, line: int) -> bool:
    last = loop.body[-1].end_lineno or loop.lineno
    return loop.lineno <= line <= last


def _rounds(loop: _Loop, steps: Sequence[TraceStep]) -> list[list[TraceStep]]:
    """Split the steps of a loop at its head; the last evaluation of the head is no round."""
    rounds: list[list[TraceStep]] = []
    for step in steps:
        if step.line == loop.lineno or not rounds:
            rounds.append([])
        rounds[-1].append(step)
    if rounds and len(rounds[-1]) == 1 and rounds[-1][0].line == loop.lineno:
        only_head = loop.body[0].lineno > loop.lineno
        rounds = rounds[:-1] if only_head else rounds
    return rounds


def _others(rounds: Sequence[Sequence[TraceStep]], n_shown: int) -> str:
    """Summarise the rounds that are not described one by one, with the values after the last."""
    which = (
        f"Round {n_shown + 1}"
        if len(rounds) == n_shown + 1
        else (f"Rounds {n_shown + 1} to {len(rounds)}")
    )
    known: dict[str, str] = {}
    for part in rounds[n_shown:]:
        for step in part:
            known.update(step.changes)
    shown = [f"`{name} = {_shortened(text)}`" for name, text in known.items() if len(text) < 80]
    return f"{which} follow" + (f"; then {', '.join(shown[:5])}." if shown else ".")


def _one_line(lines: Sequence[str]) -> str:
    parts = [line.strip().removeprefix("- ").rstrip(".") for line in lines]
    return ("; ".join(part for part in parts if part) or "nothing changes") + "."


def _effect(changes: Mapping[str, str]) -> str:
    return ", ".join(f"`{name} = {_shortened(text)}`" for name, text in list(changes.items())[:6])


def _is_plain(value: ast.expr) -> bool:
    """Return whether a value is as good as written: a constant, or an empty structure."""
    return isinstance(value, (ast.Constant, ast.List, ast.Dict)) and not list(ast.walk(value))[3:]


def _branch(statement: ast.If, following: int | None) -> str:
    """Return whether a condition held, inferred from the line that came next."""
    test = ast.unparse(statement.test)
    test = (test if len(test) <= 80 else test[:77] + "...").replace("`", "'")
    if following is None or statement.body[0].lineno == statement.lineno:
        return ""
    if statement.lineno <= following < statement.body[0].lineno:  # a condition of several lines
        return ""
    first, last = statement.body[0].lineno, statement.body[-1].end_lineno or 0
    held = first <= following <= last
    return f"`{test}` is {'true' if held else 'false'}"


def _call_text(frame: Frame) -> str:
    shown = [
        f"{name}={text if len(text) <= 60 else text[:57] + '...'}"
        for name, text in frame.arguments.items()
        if name != "self"
    ]
    return f"{frame.name}({', '.join(shown)})".replace("`", "'")


def _shortened(text: str) -> str:
    return (text if len(text) <= 160 else text[:157] + "...").replace("`", "'")

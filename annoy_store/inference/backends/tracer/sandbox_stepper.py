"""The program that traces foreign code line by line. It runs inside the sandbox, never on the host.

Standard library only, any CPython from 3.8 on. It is passed to the sandbox as text; its
`main_solution` executes the code under `sys.settrace` and stops it when its budget of executed
lines is spent. It reports what every line changed, and, if stopped, what each open function knew.
Values are shown without calling their methods, so that showing them changes nothing.
"""

from __future__ import annotations

import ast
import json
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

FILE = "<followed>"
KEPT_EVENTS = 700
GENERATOR = 0x20  # flag of a code object
ROOM = 60  # values shown of one structure
PLAIN = (list, tuple, set, frozenset, dict, deque, Counter, OrderedDict, defaultdict)
SAFE_CALLS = {
    f.__name__: f
    for f in (len, sum, max, min, abs, round, sorted, list, tuple, str, int, float, bool, range)
}
SAFE_NODES = (
    ast.Expression,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Subscript,
    ast.Slice,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.Call,
    ast.Attribute,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    getattr(ast, "Index", ast.Slice),
)


class Spent(BaseException):
    """The budget of lines is used up."""


def main_solution(code: str, arguments: dict[str, Any], budget: int) -> dict[str, Any]:
    """Run `code`, then call its main_solution with `arguments`, for at most `budget` lines."""
    follower = Follower(ast.parse(code), budget)
    report: dict[str, Any] = {"end": "returned", "value": None, "error": None}
    try:
        module = types.ModuleType("solution")
        sys.modules["solution"] = module
        exec(compile(code, FILE, "exec"), module.__dict__)
        call = module.__dict__["main_solution"]
        sys.settrace(follower.on_call)
        try:
            value = call(**arguments)
        finally:
            sys.settrace(None)
        report["value"] = json.dumps(value, allow_nan=False)
    except Spent:
        pass
    except BaseException as error:  # whatever the code may raise is what there is to tell
        report["end"] = "raised"
        report["error"] = type(error).__name__
    if follower.stack is not None:
        report.update(end="spent", value=None, error=None)
    report.update(follower.report())
    return report


class Follower:
    """Receives the events of the interpreter and keeps those that describe the run."""

    def __init__(self, tree: ast.Module, budget: int) -> None:
        self.budget = budget
        self.lines = 0
        self.events: list[list[Any]] = []
        self.dropped = 0
        self.numbers: dict[types.FrameType, int] = {}  # frame -> number
        self.known: dict[int, dict[str, str]] = {}  # number -> name -> what was shown last
        self.rounds: dict[
            int, dict[int, list[Any]]
        ] = {}  # number -> header line -> [rounds, name -> last values]
        self.last_line: dict[int, int] = {}
        self.stack: list[dict[str, Any]] | None = None
        self.functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        self.loops = {n.lineno: n for n in ast.walk(tree) if isinstance(n, ast.For)}

    def report(self) -> dict[str, Any]:
        """Return everything recorded."""
        return {
            "lines": self.lines,
            "events": self.events,
            "dropped": self.dropped,
            "stack": self.stack or [],
        }

    def on_call(self, frame: types.FrameType, event: str, _: Any) -> Any:
        """Start tracing a function of the traced code; other functions run untraced."""
        if frame.f_code.co_filename != FILE:
            return None
        if frame.f_code.co_name.startswith("<"):
            return self.count_only
        if frame in self.numbers:  # a generator that goes on
            return self.on_event
        number = len(self.known)
        self.numbers[frame] = number
        self.known[number] = shown = self.show_locals(frame)
        self.keep(["call", number, frame.f_code.co_name, dict(shown)])
        return self.on_event

    def count_only(self, frame: types.FrameType, event: str, _: Any) -> Any:
        """Count the lines of comprehensions and lambdas without recording them."""
        if event == "line":
            self.count(frame)
        return self.count_only

    def on_event(self, frame: types.FrameType, event: str, value: Any) -> Any:
        """Record a line that is about to run, a return or an exception."""
        number = self.numbers[frame]
        if event == "line":
            self.count(frame)
            self.note_round(number, frame)
            self.keep(["line", number, frame.f_lineno, self.changes(number, frame)])
            self.last_line[number] = frame.f_lineno
        elif event == "return":
            kind = "yield" if frame.f_code.co_flags & GENERATOR else "return"
            self.keep([kind, number, show(value), self.changes(number, frame)])
        elif event == "exception":
            self.keep(["raise", number, value[0].__name__, self.changes(number, frame)])
        return self.on_event

    def count(self, frame: types.FrameType) -> None:
        """Count one line; stop everything when the budget is spent."""
        self.lines += 1
        if self.lines > self.budget:
            if self.stack is None:
                self.lines = self.budget
                self.stack = self.open_frames(frame)
            raise Spent

    def keep(self, event: list[Any]) -> None:
        """Keep the first events only."""
        if len(self.events) < KEPT_EVENTS:
            self.events.append(event)
        else:
            self.dropped += 1

    def show_locals(self, frame: types.FrameType) -> dict[str, str]:
        """Show every variable of a frame."""
        hidden = (types.ModuleType, types.FunctionType, type)
        return {
            name: show(value)
            for name, value in frame.f_locals.items()
            if not isinstance(value, hidden) and not name.startswith("_")
        }

    def changes(self, number: int, frame: types.FrameType) -> dict[str, str]:
        """Return which variables changed since the last event of the frame."""
        old, new = self.known[number], self.show_locals(frame)
        self.known[number] = new
        return {name: text for name, text in new.items() if old.get(name) != text}

    def note_round(self, number: int, frame: types.FrameType) -> None:
        """Record the numbers that a frame holds each time it is at the head of a loop."""
        loop = self.loops.get(frame.f_lineno)
        if loop is None:
            return
        heads = self.rounds.setdefault(number, {})
        last = self.last_line.get(number, 0)
        inside = loop.lineno <= last <= (loop.end_lineno or loop.lineno)
        fresh: list[Any] = [0, {}]
        seen = heads.setdefault(loop.lineno, fresh) if inside else fresh
        heads[loop.lineno] = seen
        seen[0] += 1
        for name, value in frame.f_locals.items():
            if type(value) in (int, float) and abs(value) < 10**15:
                seen[1].setdefault(name, deque(maxlen=4)).append(value)

    def open_frames(self, frame: types.FrameType | None) -> list[dict[str, Any]]:
        """Describe what every open function knows, outermost first."""
        found: list[dict[str, Any]] = []
        while frame is not None and len(found) < 400:
            if frame in self.numbers:
                found.append(self.open_frame(frame))
            frame = frame.f_back
        return found[:3] + found[-5:] if len(found) > 8 else found[::-1]

    def open_frame(self, frame: types.FrameType) -> dict[str, Any]:
        """Describe what one function would return if it ended here, and the loop that it is in."""
        number, name = self.numbers[frame], frame.f_code.co_name
        told: dict[str, Any] = {
            "name": name,
            "line": frame.f_lineno,
            "known": self.show_locals(frame),
        }
        function = self.function_at(name, frame.f_lineno)
        returned = last_return(function) if function else None
        if returned is not None:
            told["returns"] = expression_text(returned)
            told["guess"] = dumped(evaluated(returned, frame))
        told["loop"] = self.open_loop(number, frame)
        return told

    def function_at(self, name: str, line: int) -> ast.FunctionDef | None:
        """Return the definition that a line belongs to."""
        for function in self.functions:
            if function.name == name and function.lineno <= line <= (function.end_lineno or line):
                return function
        return None

    def open_loop(self, number: int, frame: types.FrameType) -> dict[str, Any] | None:
        """Return rounds done, total rounds and the last values, of the outermost open loop."""
        for line in sorted(self.rounds.get(number, {})):
            loop = self.loops[line]
            if loop.lineno <= frame.f_lineno <= (loop.end_lineno or loop.lineno):
                rounds, values = self.rounds[number][line]
                total = length(loop.iter, frame)
                last = {name: list(kept) for name, kept in values.items()}
                return {"line": line, "rounds": rounds, "total": total, "last": last}
        return None


def last_return(function: ast.FunctionDef) -> ast.expr | None:
    """Return the last expression that a function itself returns."""
    found: ast.expr | None = None
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop(0)
        value = node.value if isinstance(node, ast.Return) else None
        if value is not None and (found is None or value.lineno > found.lineno):
            found = value
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(node))
    return found


def expression_text(node: ast.expr) -> str:
    """Return an expression as text, if this Python can unparse."""
    return ast.unparse(node) if hasattr(ast, "unparse") else getattr(node, "id", "")


def evaluated(node: ast.expr, frame: types.FrameType) -> Any:
    """Return the value of a harmless expression in a frame; None if it is not harmless."""
    for part in ast.walk(node):
        if not isinstance(part, SAFE_NODES):
            return None
        if isinstance(part, ast.Call) and getattr(part.func, "id", None) not in SAFE_CALLS:
            return None
        if isinstance(part, (ast.Pow, ast.LShift)):
            return None
    names = dict(frame.f_globals)
    names.update(frame.f_locals)
    names.update(SAFE_CALLS)
    try:
        return eval(compile(ast.Expression(node), "<guess>", "eval"), names)
    except Exception:
        return None


def length(node: ast.expr, frame: types.FrameType) -> int | None:
    """Return how many rounds a loop over `node` has, None if that is unknown."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        if node.func.id not in ("enumerate", "zip", "reversed", "sorted"):
            break
        node = node.args[0]
    try:
        return len(evaluated(node, frame))
    except Exception:
        return None


def dumped(value: Any) -> str | None:
    """Return a value as JSON, None if it has none or is too long."""
    try:
        text = json.dumps(value, allow_nan=False)
    except Exception:
        return None
    return text if value is not None and len(text) < 4000 else None


def show(value: Any, room: list[int] | None = None) -> str:
    """Return a short text for a value, the same in every process."""
    room = [ROOM] if room is None else room
    room[0] -= 1
    if value is None or type(value) in (bool, float):
        return repr(value)
    if type(value) is int:
        return str(value) if value.bit_length() < 130 else f"a number of {value.bit_length()} bits"
    if type(value) in (str, bytes):
        return repr(value) if len(value) <= 60 else repr(value[:50]) + "..."
    if room[0] <= 0:
        return "..."
    if type(value) in PLAIN:
        return show_container(value, room)
    return show_object(value, room)


def show_container(value: Any, room: list[int]) -> str:
    """Show a structure of the standard kinds."""
    if isinstance(value, dict):
        pairs = [show(k, room) + ": " + show(v, room) for k, v in list(value.items())[:15]]
        return "{" + ", ".join(pairs) + more(value, pairs) + "}"
    if isinstance(value, (set, frozenset)):
        parts = sorted(show(part, room) for part in value)[:15] if len(value) < 50 else ["..."]
        return "{" + ", ".join(parts) + more(value, parts) + "}" if value else "an empty set"
    parts = [show(value[at], room) for at in range(min(len(value), 15))]
    text = ", ".join(parts) + more(value, parts)
    return f"({text})" if isinstance(value, tuple) else f"[{text}]"


def more(value: Any, parts: list[str]) -> str:
    """Return how much was left out."""
    return f", ... {len(value)} in all" if len(value) > len(parts) else ""


def show_object(value: Any, room: list[int]) -> str:
    """Show an object by its class and its first attributes."""
    name = type(value).__name__
    try:
        fields = object.__getattribute__(value, "__dict__")
    except Exception:
        return f"<{name}>"
    if type(fields) is not dict or room[0] < ROOM - 20:
        return f"<{name}>"
    shown = [f"{key}={show(part, room)}" for key, part in list(fields.items())[:4]]
    return f"{name}({', '.join(shown)})"

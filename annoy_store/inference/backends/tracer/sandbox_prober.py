"""The program that tries inputs on foreign code. It runs inside the sandbox, never on the host.

Standard library only, any CPython from 3.8 on. It is passed to the sandbox as text; its
`main_solution` calls the code with one input after the other, each for a bounded number of executed
lines, until one gives the wanted output or the budget is spent.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
import sys
import types
from typing import TYPE_CHECKING, Any, Tuple  # noqa: UP035

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "<followed>"
KEPT = 4
Try = Tuple[float, int, str, str, Any]  # noqa: UP006 - 3.8: distance, number, input, outcome, output


class Spent(BaseException):
    """The budget of lines is used up."""


def main_solution(
    code: str,
    wanted: Any,
    tries: list[str],
    generator: str,
    seed: int,
    draws: int,
    variations: int,
    lines: int,
) -> dict[str, Any]:
    """Try the JSON texts `tries`, then generated inputs, then variations of the nearest ones."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    exec(compile(code, FILE, "exec"), module.__dict__)
    seen: set[str] = set()
    found: list[Try] = []
    drawn = generated(generator, seed, draws)
    for text in itertools.chain(tries, drawn, varied(found, seed, variations)):
        if text in seen:
            continue
        seen.add(text)
        outcome, value = attempt(module.__dict__["main_solution"], json.loads(text), lines)
        off = distance(value, wanted) if outcome == "ok" else 9.0
        found.append((off, len(found), text, outcome, value))
        if outcome == "ok" and same(value, wanted):
            break
    return report(found, wanted)


def generated(generator: str, seed: int, draws: int) -> Iterator[str]:
    """Yield the inputs that the generator makes, as JSON texts."""
    names: dict[str, Any] = {}
    try:
        exec(compile(generator, "<generator>", "exec"), names)
        for number in range(draws):
            random.seed(seed + number)
            yield json.dumps(names["input_generator"](), allow_nan=False)
    except Exception:
        return


def varied(found: list[Try], seed: int, variations: int) -> Iterator[str]:
    """Yield variations of the nearest inputs so far, as JSON texts."""
    for number in range(variations):
        draw = random.Random(seed + number)
        nearest = heapq.nsmallest(5, found, key=lambda row: row[:2])
        if not nearest:
            return
        yield json.dumps(vary(json.loads(draw.choice(nearest)[2]), draw), allow_nan=False)


def vary(value: Any, draw: random.Random) -> Any:
    """Return the value with one small change."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + draw.choice((-1, 1, -2, 2, -5, 5, -10, 10, value, -(value // 2)))
    if isinstance(value, float):
        return round(value * draw.uniform(0.5, 1.6), 2)
    if isinstance(value, str):
        return "".join(vary_parts(list(value), draw, lambda c: draw.choice(value + "abc013")))
    if isinstance(value, list):
        return vary_parts(value, draw, lambda part: vary(part, draw))
    key = draw.choice(sorted(value)) if value else ""
    return {k: vary(part, draw) if k == key else part for k, part in value.items()}


def vary_parts(parts: list[Any], draw: random.Random, change: Any) -> list[Any]:
    """Return the parts with one changed, left out, doubled or swapped."""
    if not parts:
        return parts
    at, other = draw.randrange(len(parts)), draw.randrange(len(parts))
    kind = draw.choice(("change", "change", "leave", "double", "swap"))
    if kind == "change":
        return [*parts[:at], change(parts[at]), *parts[at + 1 :]]
    if kind == "leave":
        return parts[:at] + parts[at + 1 :]
    if kind == "double":
        return parts[: at + 1] + parts[at:]
    parts = list(parts)
    parts[at], parts[other] = parts[other], parts[at]
    return parts


def attempt(call: Any, arguments: dict[str, Any], budget: int) -> tuple[str, Any]:
    """Call once; return (`ok`, JSON value) or (what went wrong, None)."""
    left = [budget]

    def on_line(frame: types.FrameType, event: str, _: Any) -> Any:
        if event == "line":
            left[0] -= 1
            if left[0] < 0:
                raise Spent
        return on_line

    def on_call(frame: types.FrameType, event: str, _: Any) -> Any:
        return on_line if frame.f_code.co_filename == FILE else None

    sys.settrace(on_call)
    try:
        value = call(**arguments)
    except Spent:
        return "long", None
    except BaseException as error:  # whatever the code may raise is a fact about this input
        return type(error).__name__, None
    finally:
        sys.settrace(None)
    try:
        return ("long", None) if left[0] < 0 else ("ok", json.loads(json.dumps(value)))
    except Exception:
        return "no JSON", None


def same(value: Any, wanted: Any) -> bool:
    """Return whether two JSON values are equal, floats up to a thousandth."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, float) or isinstance(wanted, float):
        if not isinstance(value, (int, float)) or not isinstance(wanted, (int, float)):
            return False
        if not (math.isfinite(value) and math.isfinite(wanted)):
            return False
        return abs(value - wanted) <= 0.001 * abs(wanted) and int(value) == int(wanted)
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(same, value, wanted))
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(same(value[k], wanted[k]) for k in value)
    return type(value) is type(wanted) and value == wanted


def distance(value: Any, wanted: Any) -> float:
    """Return the distance of two values: 0 equal, below 1 of one kind, 3 otherwise."""
    number = (int, float)
    if isinstance(value, bool) or isinstance(wanted, bool) or value is None or wanted is None:
        return 0.0 if value is wanted else 1.0
    if isinstance(value, number) and isinstance(wanted, number):
        try:
            off = abs(value - wanted)
            return float(off / (1 + off + abs(wanted)))
        except (OverflowError, ValueError):
            return 1.0
    if isinstance(value, str) and isinstance(wanted, str):
        equal = sum(a == b for a, b in zip(value, wanted))  # noqa: B905
        return 1.0 - equal / max(1, len(value), len(wanted)) if value != wanted else 0.0
    if isinstance(value, list) and isinstance(wanted, list):
        parts = [distance(a, b) for a, b in zip(value, wanted)]  # noqa: B905
        longest = max(len(value), len(wanted))
        return (sum(parts) + longest - len(parts)) / longest if longest else 0.0
    if isinstance(value, dict) and isinstance(wanted, dict):
        keys = set(value) | set(wanted)
        off = sum(0 if same(value.get(k), wanted.get(k)) else 1 for k in keys)
        return off / len(keys) if keys else 0.0
    return 3.0


def report(found: list[Try], wanted: Any) -> dict[str, Any]:
    """Return the nearest tried inputs, nearest first, and how many had each outcome."""
    outcomes: dict[str, int] = {}
    for row in found:
        outcomes[row[3]] = outcomes.get(row[3], 0) + 1
    nearest = sorted(found, key=lambda row: row[:2])[:KEPT]
    hit = bool(found) and found[-1][3] == "ok" and same(found[-1][4], wanted)
    if hit:
        nearest = [found[-1]] + [row for row in nearest if row is not found[-1]]
    kept = [{"input": r[2], "outcome": r[3], "output": json.dumps(r[4])[:400]} for r in nearest]
    exact = hit and found[-1][4] == wanted
    return {
        "tried": len(found),
        "hit": hit,
        "exact": exact,
        "nearest": kept,
        "outcomes": outcomes,
    }

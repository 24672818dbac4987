"""Figures of answers: what is wrong with them, second turns, difficulty, cost, prompts' length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annoy_store.benchmark.intervals import wilson_interval
from annoy_store.report.charts import Bar, Dot, Heat, Panel, heat, horizontal_bars, panels
from annoy_store.report.figure import (
    KINDS,
    Ask,
    Figure,
    Ref,
    RenderedFigure,
    Rows,
    bucketed,
    ranges,
    sums,
)
from annoy_store.report.svg import percent, short, whole

PREDICTIONS = ("predict_output", "predict_input")
COLOURS = {"transform": "e", "predict_output": "a", "predict_input": "c"}
STATUSES = (
    "correct",
    "wrong",
    "no_answer",
    "bad_args",
    "exception",
    "cpu_timeout",
    "wall_timeout",
    "memory",
    "crash",
    "output_too_large",
    "not_json",
)
WAITING = "not judged yet"
NONE_JUDGED = "No answer was judged yet."

# Wrong answers -------------------------------------------------------------------------------

_WRONG = """
    SELECT kind, status, mismatch, COUNT(*), MIN(response_id) FROM v_answers
    WHERE status <> 'correct' GROUP BY kind, status, mismatch ORDER BY 4 DESC, 1, 2, 3
"""


def _draw_wrong(rows: Rows) -> RenderedFigure:
    title = "How answers are wrong"
    by: dict[str, dict[str, int]] = {}
    for kind, status, mismatch, n, _ in rows:
        by.setdefault(f"{status}: {mismatch}" if mismatch else status, {})[kind] = n
    most = sorted(by.items(), key=lambda item: (-sum(item[1].values()), item[0]))[:16]
    shown = [
        Bar(label, tuple((COLOURS[kind], float(of[kind])) for kind in PREDICTIONS if kind in of))
        for label, of in most
    ]
    key = [(COLOURS[kind], KINDS[kind]) for kind in PREDICTIONS]
    table = [(KINDS.get(k, k), s, m, n, Ref("response", int(i))) for k, s, m, n, i in rows]
    return RenderedFigure(
        "wrong",
        title,
        "What the checker found, in all turns. A wrong value is told by where it "
        "differs from the right one.",
        horizontal_bars(title, "answers", shown, key) if shown else "",
        ("question", "status", "mismatch", "answers", "example"),
        table,
        "No answer is wrong.",
    )


WRONG = Figure("wrong", lambda ask: ask(_WRONG), _draw_wrong)

# From turn 1 to turn 2 -----------------------------------------------------------------------


def _draw_transitions(rows: Rows) -> RenderedFigure:
    wrong = [r for r in rows if r[1] != "correct"]
    maps = [_map(kind, [r for r in wrong if r[0] == kind]) for kind in PREDICTIONS]
    title = "From turn 1 to turn 2"
    shown = [m for m in maps if m.rows]
    total = sums(rows, 1, 3)
    table = [
        (
            KINDS.get(kind, kind),
            one,
            two or ("" if one == "correct" else WAITING),
            n,
            percent(n / total[one]),
        )
        for kind, one, two, n in sorted(rows, key=lambda r: (str(r[0]), -r[3]))
    ]
    return RenderedFigure(
        "transitions",
        title,
        "What became of answers that were not correct, after feedback. "
        "A darker cell is a larger share of its row.",
        heat(title, "turn 1", "turn 2", shown) if shown else "",
        ("question", "turn 1", "turn 2", "chains", "share of turn 1"),
        table,
        "No wrong answer was revised yet.",
    )


def _map(kind: str, rows: Rows) -> Heat:
    of = {(one, two or WAITING): int(n) for _, one, two, n in rows}
    down = [s for s in STATUSES if any(k[0] == s for k in of)]
    across = [s for s in (*STATUSES, WAITING) if s == "correct" or any(k[1] == s for k in of)]
    mended = sum(n for (_, two), n in of.items() if two == "correct")
    total = sum(of.values())
    title = f"{KINDS[kind]}: {mended:,} of {total:,} mended" if total else KINDS[kind]
    return Heat(title, down, across, [[of.get((r, c), 0) for c in across] for r in down])


TRANSITIONS = Figure(
    "transitions",
    lambda ask: ask("SELECT kind, status_1, status_2, chains FROM v_transitions"),
    _draw_transitions,
)

# Difficulty ----------------------------------------------------------------------------------

LINES = (5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 1_000, 10_000)
_DIFFICULTY = f"""
    SELECT kind, bucket, COUNT(*), SUM(CASE WHEN status = 'correct' THEN 1 ELSE 0 END)
    FROM (SELECT a.kind, a.status, {bucketed("c.lines_executed", LINES)} AS bucket
          FROM v_answers a JOIN v_current_pairs c ON c.id = a.io_pair_id
          WHERE a.number = 1 AND a.status IS NOT NULL AND c.lines_executed IS NOT NULL) judged
    GROUP BY kind, bucket ORDER BY kind, bucket
"""


def _draw_difficulty(rows: Rows) -> RenderedFigure:
    title = "Correct answers by difficulty"
    names = ranges(LINES)
    seen = sorted({int(bucket) for _, bucket, _, _ in rows})
    labels = [names[i] for i in range(seen[0], seen[-1] + 1)] if seen else []
    of = {(kind, names[int(b)]): (int(n), int(good)) for kind, b, n, good in rows}
    shown = [_rates(kind, labels, of) for kind in PREDICTIONS if any(k[0] == kind for k in of)]
    table = [
        (KINDS.get(kind, kind), names[int(b)], n, good, percent(good / n))
        for kind, b, n, good in rows
    ]
    return RenderedFigure(
        "difficulty",
        title,
        "First answers, by how many lines the code executes for the pair. "
        "The strokes are 95 % intervals: where they are long, there are few answers.",
        panels(title, "lines executed", shown, 2) if shown else "",
        ("question", "lines executed", "answers", "correct", "share"),
        table,
        NONE_JUDGED,
    )


def _rates(kind: str, labels: list[str], of: Mapping[Any, tuple[int, int]]) -> Panel:
    found = [of.get((kind, label)) for label in labels]
    dots = [Dot(f[1] / f[0], f[0], *wilson_interval(f[1], f[0])) if f else None for f in found]
    n, good = (sum(f[i] for f in found if f) for i in (0, 1))
    note = f"{percent(good / n)} of {n:,}"
    return Panel(KINDS[kind], labels, dots=dots, note=note, cls=COLOURS[kind])


DIFFICULTY = Figure("difficulty", lambda ask: ask(_DIFFICULTY), _draw_difficulty)

# Cost ----------------------------------------------------------------------------------------

_SPENT = """
    SELECT kind, model, SUM(attempts), SUM(answered), SUM(prompt_tokens), SUM(completion_tokens),
           CASE WHEN COUNT(*) = COUNT(cost_usd) THEN SUM(cost_usd) END FROM v_cost GROUP BY kind, model ORDER BY kind, model
"""
_RIGHT = """
    SELECT a.kind, t.model, COUNT(*) FROM v_answers a JOIN teachers t ON t.id = a.teacher_id
    WHERE a.status = 'correct' GROUP BY a.kind, t.model
"""


def _ask_cost(ask: Ask) -> tuple[Rows, Rows]:
    return ask(_SPENT), ask(_RIGHT)


def _draw_cost(asked: tuple[Rows, Rows]) -> RenderedFigure:
    spent, right = asked
    correct = {(kind, model): int(n) for kind, model, n in right}
    table = [_cost_row(row, correct.get((row[0], row[1]), 0)) for row in spent]
    title = "What one correct answer takes"
    counted = [row for row in spent if correct.get((row[0], row[1])) and (row[4] or row[5])]
    asked_for = [row for row in spent if correct.get((row[0], row[1]))]
    svg = _token_bars(title, counted, correct) if counted else _try_bars(title, asked_for, correct)
    return RenderedFigure(
        "cost",
        title,
        "All tries of both turns, wrong and failed ones too, for one correct answer. "
        "Money is known where the model has a price.",
        svg if asked_for else "",
        (
            "question",
            "model",
            "tries",
            "correct",
            "tries each",
            "prompt tokens each",
            "completion tokens each",
            "USD each",
            "USD in all",
        ),
        table,
        NONE_JUDGED,
    )


def _cost_row(row: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    kind, model, tries, _, prompt, completion, usd = row
    each = [
        round(float(v) / n, 6) if n and v is not None else None
        for v in (tries, prompt, completion, usd)
    ]
    return KINDS.get(kind, kind), model, tries, n or None, *each, usd


def _token_bars(title: str, rows: Rows, correct: Mapping[Any, int]) -> str:
    shown = []
    for kind, model, _, _, prompt, completion, usd in rows:
        n = correct[kind, model]
        parts = ("e", (prompt or 0) / n), ("a", (completion or 0) / n)
        money = f", {usd / n:.2g} USD" if usd is not None else ""
        shown.append(
            Bar(f"{KINDS[kind]}, {model}", parts, f"{sum(p for _, p in parts):,.0f}{money}")
        )
    return horizontal_bars(
        title, "tokens per correct answer", shown, [("e", "prompt"), ("a", "completion")]
    )


def _try_bars(title: str, rows: Rows, correct: Mapping[Any, int]) -> str:
    """For teachers that count no tokens."""
    shown = [
        Bar(
            f"{KINDS[kind]}, {model}",
            ((COLOURS[kind], tries / correct[kind, model]),),
            f"{whole(tries / correct[kind, model])} tries",
        )
        for kind, model, tries, *_ in rows
    ]
    return horizontal_bars(title, "tries per correct answer (no tokens were counted)", shown)


COST = Figure("cost", _ask_cost, _draw_cost)

# Prompts -------------------------------------------------------------------------------------

SIZES = (250, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000, 12_000, 16_000, 32_000, 64_000)
_LENGTHS = f"""
    SELECT kind, bucket, COUNT(*), MAX(n_chars)
    FROM (SELECT t.kind, p.n_chars, {bucketed("p.n_chars", SIZES)} AS bucket
          FROM turns t JOIN prompts p ON p.id = t.prompt_id) asked
    GROUP BY kind, bucket ORDER BY kind, bucket
"""


def _draw_lengths(rows: Rows) -> RenderedFigure:
    title = "How long prompts are"
    names = ranges(SIZES, short)
    seen = [int(bucket) for _, bucket, _, _ in rows]
    span = range(min(seen), max(seen) + 1) if seen else range(0)
    shown = []
    for kind, name in KINDS.items():
        of = {int(b): int(n) for k, b, n, _ in rows if k == kind}
        if of:
            top = max(int(most) for k, _, _, most in rows if k == kind)
            shown.append(
                Panel(
                    name,
                    [names[i] for i in span],
                    [of.get(i, 0) for i in span],
                    note=f"{sum(of.values()):,}, the longest {top:,}",
                    cls=COLOURS[kind],
                )
            )
    table = [(KINDS.get(k, k), names[int(b)], n, most) for k, b, n, most in rows]
    return RenderedFigure(
        "lengths",
        title,
        "Prompts of all turns by their length in characters.",
        panels(title, "characters", shown) if shown else "",
        ("question", "characters", "prompts", "longest"),
        table,
        "No prompt was worded yet.",
    )


LENGTHS = Figure("lengths", lambda ask: ask(_LENGTHS), _draw_lengths)

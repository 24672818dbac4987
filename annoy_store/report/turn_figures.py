"""Figures of turns: tasks by the turn that answered them, and what became of incorrect answers."""

from __future__ import annotations

from typing import Any

from annoy_store.analysis.task_titles import task_titles
from annoy_store.db.tables import STATUSES
from annoy_store.report.bar_chart import Bar, share_bars, ungrouped
from annoy_store.report.figure import Figure, RenderedFigure, Rows, plot, question_title, sum_by
from annoy_store.report.heat_map import HeatMap, heat_maps
from annoy_store.report.svg import format_percent

NO_NEXT = "none yet"
NONE_CHECKED = "There are no checked answers yet."
NEVER = "not correct"
TURN_CLASSES = ("c", "c2", "c3")  # of turn 1, turn 2, and all later ones

# Tasks ---------------------------------------------------------------------------------------

_TASKS = """
    SELECT kind, turn, COUNT(*) AS questions
    FROM (SELECT kind, chain_id, MIN(CASE WHEN status = 'correct' THEN number END) AS turn
          FROM v_answers WHERE status IS NOT NULL GROUP BY kind, chain_id) chains
    GROUP BY kind, turn ORDER BY kind, turn
"""


def turn_class(turn: int) -> str:
    """Return the colour class of an answer that is correct in a turn."""
    return TURN_CLASSES[min(turn, len(TURN_CLASSES)) - 1]


def _render_tasks(rows: Rows) -> RenderedFigure:
    title = "Tasks"
    total = sum_by(rows, 0, 2)
    bars = [_task_bar(kind, rows) for kind in task_titles() if kind in total]
    turns = sorted({int(turn) for _, turn, _ in rows if turn is not None})
    classes = {turn_class(t): f"correct in turn {t}" for t in turns if t <= len(TURN_CLASSES)}
    if turns and turns[-1] > len(TURN_CLASSES):
        classes[TURN_CLASSES[-1]] = f"in turn {len(TURN_CLASSES)} or later"
    table = [
        (question_title(kind), turn or NEVER, n, format_percent(n / total[kind]))
        for kind, turn, n in rows
    ]
    return RenderedFigure(
        "tasks",
        title,
        "Questions with a checked answer, by the turn whose answer was the first correct one. The "
        "percentages are the share correct in turn 1 and in any turn.",
        plot(
            share_bars,
            title,
            "share of the task's questions",
            ungrouped(bars),
            [*classes.items(), ("e", NEVER)],
        )
        if bars
        else None,
        ("question", "correct in turn", "questions", "share"),
        table,
        NONE_CHECKED,
    )


def _task_bar(kind: str, rows: Rows) -> Bar:
    of = {turn: int(n) for k, turn, n in rows if k == kind}
    solved = sorted(int(turn) for turn in of if turn is not None)
    parts = tuple((turn_class(turn), float(of[turn])) for turn in solved)
    n = sum(of.values())
    counts = ", ".join(f"{of[turn]:,} correct in turn {turn}" for turn in solved)
    return Bar(
        question_title(kind),
        (*parts, ("e", float(of.get(None, 0)))),
        gain(of.get(1, 0), n - of.get(None, 0), n),
        f"{question_title(kind)}: {counts or 'none correct'} of {n:,}",
    )


def gain(first: int, last: int, n: int) -> str:
    """Return the share correct in turn 1, and in any turn if it is larger."""
    later = f" \u2192 {format_percent(last / n)}" if last > first else ""
    return f"{format_percent(first / n)}{later} of {n:,}"


TASKS = Figure("tasks", _TASKS, _render_tasks)

# From turn to turn ---------------------------------------------------------------------------

# Of several answers to one revision, the one that was revised again counts, else the first.
_TRANSITIONS = """
    WITH answers AS (
        SELECT DISTINCT kind, number, response_id, status FROM v_answers
        WHERE status IS NOT NULL),
    revisions AS (
        SELECT t.revises_response_id, a.response_id, a.status, ROW_NUMBER() OVER (
               PARTITION BY t.revises_response_id
               ORDER BY CASE WHEN y.revises_response_id IS NULL THEN 1 ELSE 0 END, a.sample_no,
                        a.response_id) AS place
        FROM turns t JOIN v_answers a ON a.turn_id = t.id
        LEFT JOIN (SELECT DISTINCT revises_response_id FROM turns) y
             ON y.revises_response_id = a.response_id
        WHERE t.revises_response_id IS NOT NULL)
    SELECT a.kind, a.number AS turn, a.status, r.status AS next_status, COUNT(*) AS answers
    FROM answers a
    LEFT JOIN revisions r ON r.revises_response_id = a.response_id AND r.place = 1
    WHERE a.status <> 'correct' AND a.number < (SELECT MAX(number) FROM turns)
    GROUP BY a.kind, a.number, a.status, r.status ORDER BY 1, 2, 5 DESC, 3, 4
"""


def _render_transitions(rows: Rows) -> RenderedFigure:
    turns = sorted({int(row[1]) for row in rows})
    maps = [
        _map(kind, turn, found)
        for kind in task_titles()
        for turn in turns
        if (found := [row for row in rows if (row[0], row[1]) == (kind, turn)])
    ]
    title = "From turn to turn"
    total: dict[Any, int] = {}
    for kind, turn, status, _, n in rows:
        total[kind, turn, status] = total.get((kind, turn, status), 0) + n
    table = [
        (
            question_title(kind),
            turn,
            status,
            following or NO_NEXT,
            n,
            format_percent(n / total[kind, turn, status]),
        )
        for kind, turn, status, following, n in rows
    ]
    return RenderedFigure(
        "transitions",
        title,
        "Answers that were not correct, by their status and that of the revised answer in the next "
        "turn. A stronger colour is a larger share of its row.",
        plot(heat_maps, title, maps) if maps else None,
        ("question", "turn", "status", "next turn", "answers", "share of status"),
        table,
        "There are no revised answers yet.",
    )


def _map(kind: str, turn: int, rows: Rows) -> HeatMap:
    of = {(status, following or NO_NEXT): int(n) for _, _, status, following, n in rows}
    down = [s for s in STATUSES if any(k[0] == s for k in of)]
    across = [s for s in (*STATUSES, NO_NEXT) if s == "correct" or any(k[1] == s for k in of)]
    fixed = sum(n for (_, following), n in of.items() if following == "correct")
    title = f"{question_title(kind)}: {fixed:,} of {sum(of.values()):,} corrected"
    cells = [[of.get((r, c), 0) for c in across] for r in down]
    return HeatMap(title, f"turn {turn}", f"turn {turn + 1}", down, across, cells)


TRANSITIONS = Figure("transitions", _TRANSITIONS, _render_transitions)

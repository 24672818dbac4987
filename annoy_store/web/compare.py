"""Two models on the same questions: in how many each is right, and which questions they are.

Decision: a model is right on a first-turn prompt if any of its answers is correct. Read from the
snapshot, as the counts are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.db.engine import Database
from annoy_store.web.counts import run_on_snapshot

MAX_QUESTIONS = 100
_BOTH = """
    WITH judged AS (
        SELECT a.prompt_id, t.model, MIN(a.kind) AS kind, MIN(a.response_id) AS response_id,
               MAX(CASE WHEN a.status = 'correct' THEN 1 ELSE 0 END) AS correct
        FROM v_answers a JOIN teachers t ON t.id = a.teacher_id
        WHERE a.number = 1 AND a.status IS NOT NULL AND t.model IN (:a, :b)
        GROUP BY a.prompt_id, t.model),
    both_judged AS (
        SELECT x.prompt_id, x.kind, x.correct AS a_correct, y.correct AS b_correct,
               x.response_id AS a_response_id, y.response_id AS b_response_id
        FROM judged x JOIN judged y ON y.prompt_id = x.prompt_id
        WHERE x.model = :a AND y.model = :b)
"""
_CELLS = "SELECT a_correct, b_correct, COUNT(*) FROM both_judged GROUP BY a_correct, b_correct"
_QUESTIONS = """
    SELECT prompt_id, kind, a_response_id, b_response_id FROM both_judged
    WHERE a_correct = {a} AND b_correct = {b} ORDER BY prompt_id DESC LIMIT {most}
"""


@dataclass(frozen=True)
class Comparison:
    """Two models on the questions that both have answered.

    Attributes:
        cells: Number of questions by whether the first and the second model is right (1 or 0).
        questions: Questions of the chosen cell: prompt, kind, and an answer of each model.
    """

    cells: Mapping[tuple[int, int], int]
    questions: Sequence[tuple[Any, ...]]


def compare(store: Database, first: str, second: str, cell: tuple[int, int]) -> Comparison:
    """Compare two models.

    Args:
        store: The store.
        first: Name of a model.
        second: Name of another.
        cell: Whether the first and the second model is right on the questions to list (1 or 0).
    """
    models = {"a": first, "b": second}
    counted = run_on_snapshot(store, _BOTH + _CELLS, models)
    listed = _QUESTIONS.format(a=int(cell[0]), b=int(cell[1]), most=MAX_QUESTIONS)
    found = run_on_snapshot(store, _BOTH + listed, models)
    return Comparison({(int(a), int(b)): int(n) for a, b, n in counted}, found)

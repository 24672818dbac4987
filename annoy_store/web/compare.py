"""Two models on the same questions: in how many each is right, and which questions they are.

Decision: a model is right on a first-turn prompt if any of its answers is correct. Read from a
derived table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.web.list_index import ListIndex

MAX_QUESTIONS = 40
_BOTH = """
    WITH judged AS (SELECT * FROM {compared} WHERE model IN (:a, :b)),
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


def compare(index: ListIndex, first: str, second: str, cell: tuple[int, int]) -> Comparison:
    """Compare two models.

    Args:
        index: The derived tables of the store.
        first: Name of a model.
        second: Name of another.
        cell: Whether the first and the second model is right on the questions to list (1 or 0).
    """
    models = {"a": first, "b": second}
    both = _BOTH.format(compared=index.source("compared"))
    counted = index.rows(both + _CELLS, models)
    listed = _QUESTIONS.format(a=int(cell[0]), b=int(cell[1]), most=MAX_QUESTIONS)
    found = index.rows(both + listed, models)
    return Comparison({(int(a), int(b)): int(n) for a, b, n in counted}, found)

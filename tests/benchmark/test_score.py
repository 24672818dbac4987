"""Scoring: each question asked once, answers summarised, two models compared."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from annoy_store.benchmark.answers import (
    ScoredAnswer,
)
from annoy_store.benchmark.intervals import (
    mcnemar_p_value,
)
from annoy_store.benchmark.score import ask_all, compare_models, score_answer, summarise
from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.backends import open_backend
from annoy_store.interfaces import Completion
from tests.support.benchmarks import item, items_of, scored


def test_score_answer_compares_like_the_pipeline() -> None:
    asked = item(output=[1, 2.5])
    for text, status in (
        ('{"output": [1, 2.5001]}', "correct"),
        ('{"output": [1, 2]}', "wrong"),
        ("I do not know", "no_answer"),
    ):
        assert score_answer(asked, Completion(text), {"model": "m"}).status == status


def test_ask_all_asks_each_question_once_and_counts_rejections(tmp_path: Path) -> None:
    items = [item(case=n) for n in range(20)]
    recorded = [{"messages": i.messages, "response": '{"output": 4}'} for i in items[:18]]
    file = tmp_path / "recorded.jsonl"
    file.write_text("\n".join(map(json.dumps, recorded)))
    teacher = open_backend("replay", RunSettings.layered({}, {"replay": str(file)}), None)
    kept: list[ScoredAnswer] = []
    ended = asyncio.run(ask_all(items, teacher, 4, kept.append))
    assert ended == {"answered": 18, "rejected": 2}
    assert Counter(s.status for s in kept) == {"correct": 18, "rejected": 2}
    assert sorted(s.id for s in kept) == sorted(i.id for i in items)


def test_summarise_counts_a_problem_as_solved_when_every_case_is_right() -> None:
    answers = [*scored(True, True), *scored(True, False, problem="q", band="hard")]
    told = summarise([*items_of("p", 2), *items_of("q", 2, "hard")], answers)
    assert list(told) == ["all", "easy", "hard"]
    assert (told["all"]["examples"].right, told["all"]["examples"].of) == (3, 4)
    assert (told["all"]["problems"].right, told["all"]["problems"].of) == (1, 2)
    assert told["hard"]["problems"].share == 0
    assert summarise([], [])["all"]["problems"].of == 0


def test_summarise_counts_failed_questions_as_incorrect() -> None:
    items = [*items_of("p", 2), *items_of("q", 2, "hard"), *items_of("r", 2, "hard")]
    answers = [*scored(True, True), *scored(True, None, problem="q", band="hard")]
    told = summarise(items, answers)
    assert (told["all"]["examples"].right, told["all"]["examples"].of) == (3, 6)
    assert (told["all"]["problems"].right, told["all"]["problems"].of) == (1, 3)
    assert [told[band]["failed"] for band in ("all", "easy", "hard")] == [3, 0, 3]
    assert told["all"]["no_answer"] == 0


def test_compare_models_pairs_answers_by_question() -> None:
    first = [a for n in range(12) for a in scored(True, n < 4, problem=f"p{n}")]
    second = [a for n in range(12) for a in scored(True, n > 1, problem=f"p{n}")]
    told = compare_models(first, [*second, *scored(True, problem="other")])
    assert (told["only_first"], told["only_second"], told["left_out"]) == (2, 8, 1)
    assert told["p"] == pytest.approx(mcnemar_p_value(2, 8))
    assert told["problems"]["difference"] == pytest.approx(6 / 12)
    assert told["examples"]["difference"] == pytest.approx(6 / 24)
    assert told["examples"]["low"] <= told["examples"]["difference"] <= told["examples"]["high"]
    with pytest.raises(UsageError, match="no question in common"):
        compare_models(first, scored(True, problem="other"))


def test_compare_models_pairs_only_problems_with_every_case_in_both() -> None:
    """A model that answered the first case only solves nothing."""
    half = [a for n in range(30) for a in scored(True, None, problem=f"p{n}")]
    whole = [a for n in range(30) for a in scored(True, False, problem=f"p{n}")]
    told = compare_models(half, whole)
    assert (told["examples"]["of"], told["examples"]["difference"]) == (30, 0)
    assert (told["problems"]["of"], told["problems"]["difference"]) == (0, None)
    assert (told["p"], told["left_out"], told["problems_left_out"]) == (1.0, 30, 30)
    some = compare_models(
        [*half, *scored(True, True, problem="q")], [*whole, *scored(False, True, problem="q")]
    )
    assert (some["problems"]["of"], some["only_first"], some["problems_left_out"]) == (1, 1, 30)

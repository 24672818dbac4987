"""Benchmarks: questions without code, scored answers, intervals, paired comparison."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from annoy_store.benchmark.answers import (
    ScoredAnswer,
    append,
    check_same_model,
    read_answers,
    repair_last_line,
)
from annoy_store.benchmark.build import (
    BenchmarkQuestion,
    build_benchmark,
    difficulty,
    read_questions,
    write_questions,
)
from annoy_store.benchmark.intervals import (
    clustered_interval,
    difference_interval,
    mcnemar_p_value,
    wilson_interval,
)
from annoy_store.benchmark.score import ask_all, compare_models, score_answer, summarise
from annoy_store.config import DEFAULT_SPLIT_SALT, RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import pair_checks, samples, splits, variants
from annoy_store.errors import UsageError
from annoy_store.inference.backends import open_backend
from annoy_store.interfaces import Completion, NewRow
from annoy_store.prompts.template import extract_values
from tests.support.factories import NOW, io_pair, sample, write_all


def fill(store: Database, lines: tuple[int, ...] = (10, 20, 30)) -> None:
    """Two samples of three and two stable pairs; the first one is in split test."""
    variant = NewRow(variants, {"stage": "generate", "digest": "v", "description": "", "active": 1})
    first, second = sample(), sample("def main_solution(x):\n    return x + 1\n")
    pairs = [io_pair(first, {"x": n}, 2 * n, n) for n in range(len(lines))]
    pairs += [io_pair(second, {"x": n}, n + 1, n) for n in range(2)]
    checks = [
        NewRow(
            pair_checks,
            {
                "io_pair_id": p,
                "variant_id": variant,
                "status": "stable",
                "execution_id": None,
                "lines_executed": n,
            },
        )
        for p, n in zip(pairs, (*lines, 5, None), strict=True)
    ]
    with store.write() as connection:
        write_all(connection, [*pairs, *checks])
        number = connection.scalar(
            select(samples.c.id).where(samples.c.digest == first.values["digest"])
        )
        row = {
            "salt": DEFAULT_SPLIT_SALT,
            "sample_id": number,
            "split": "test",
            "bucket": 0,
            "cluster": "c",
        }
        connection.execute(insert(splits).values({**row, "created_at": NOW}))


def item(
    problem: str = "p", case: int = 0, output: Any = 4, band: Any = "easy", cases: int = 2
) -> BenchmarkQuestion:
    asked = [{"role": "user", "content": f"{problem} {case}"}]
    return BenchmarkQuestion(
        f"{problem}-{case}", problem, case, cases, band, asked, json.dumps(output)
    )


def items_of(problem: str, cases: int, band: str = "easy") -> list[BenchmarkQuestion]:
    return [item(problem, n, band=band, cases=cases) for n in range(cases)]


def scored(*rights: bool | None, problem: str = "p", band: str = "easy") -> list[ScoredAnswer]:
    """Answers to the cases of a problem; None for one that failed."""
    return [
        score_answer(asked, Completion(f'{{"output": {4 if right else 5}}}'), {"model": "m"})
        for asked, right in zip(items_of(problem, len(rights), band), rights, strict=True)
        if right is not None
    ]


def test_build_benchmark_uses_the_split_and_shows_no_code(store: Database) -> None:
    fill(store)
    items = build_benchmark(store, "test", cases=2)
    assert [i.case for i in items] == [0, 1]
    assert {i.difficulty for i in items} == {"easy"}
    assert extract_values(items[1].messages) == {
        "problem": "What?",
        "io": "Input: x. Output: int.",
        "input": '{"x":1}',
    }
    assert "return" not in items[0].messages[0]["content"]
    assert items[1].output == "2"
    assert len(build_benchmark(store, "all", cases=2)) == 4
    assert len(build_benchmark(store, "all", cases=2, limit=1)) == 2
    assert build_benchmark(store, "all", cases=3) == build_benchmark(store, "test", cases=3)
    for split, cases in (("validation", 1), ("test", 4)):
        with pytest.raises(UsageError, match="no sample in split"):
            build_benchmark(store, split, cases)


def test_difficulty_is_the_longest_case_in_fixed_bands() -> None:
    for lines, name in (
        ([1, 49], "easy"),
        ([1, 50], "medium"),
        ([500], "hard"),
        ([None], "unknown"),
    ):
        assert difficulty([{"lines_executed": n} for n in lines]) == name


def test_score_answer_compares_like_the_pipeline() -> None:
    asked = item(output=[1, 2.5])
    for text, status in (
        ('{"output": [1, 2.5001]}', "correct"),
        ('{"output": [1, 2]}', "wrong"),
        ("I do not know", "no_answer"),
    ):
        assert score_answer(asked, Completion(text), {"model": "m"}).status == status


def test_files_round_trip(tmp_path: Path) -> None:
    items = [item(), item("q", 1, {"a": None})]
    write_questions(tmp_path / "b.jsonl", items)
    assert read_questions(tmp_path / "b.jsonl") == items
    answers = [
        *scored(True, False),
        score_answer(item("q"), Completion("\ud800 \u2028 \0"), {"model": "m"}),
    ]
    for answer in answers:
        append(tmp_path / "a.jsonl", answer)
    read = read_answers(tmp_path / "a.jsonl")
    assert [s.id for s in read.scored] == [s.id for s in answers]
    assert (read.scored[:2], read.is_truncated) == (answers[:2], False)
    assert read.scored[2].text == "\ufffd \u2028 \0"


@pytest.mark.parametrize("line", ['{"id": "x"}', "[]", "no", '{"id": "x', '{"cases": "many"}'])
def test_invalid_lines_are_reported_with_number_and_advice(tmp_path: Path, line: str) -> None:
    file = tmp_path / "b.jsonl"
    file.write_text(f"\n{line}\n\n")
    with pytest.raises(UsageError, match=r"b.jsonl line 2 .*: rebuild the file with annoy"):
        read_questions(file)
    with pytest.raises(UsageError, match=r"b.jsonl line 2 .*: delete that line"):
        read_answers(file)
    with pytest.raises(UsageError, match="cannot read"):
        read_questions(tmp_path / "nothing")


def test_incomplete_last_line_is_dropped_wherever_it_ends(tmp_path: Path) -> None:
    one, two, three = (scored(True, problem=f"é{n}")[0] for n in range(3))
    file = tmp_path / "a.jsonl"
    append(file, one)
    start = len(file.read_bytes())
    append(file, two)
    whole = file.read_bytes()
    for end in range(start, len(whole) + 1):
        file.write_bytes(whole[:end])
        read = read_answers(file)
        kept = [one, two] if end >= len(whole) - 1 else [one]
        assert (read.scored, read.is_truncated) == (kept, start < end < len(whole) - 1)
        repair_last_line(file)
        append(file, three)
        assert read_answers(file).scored == [*kept, three]


def test_repair_last_line_leaves_other_files_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    for text in ("my notes", '{"id": 1}', '{"other": 1'):
        file.write_text(text)
        with pytest.raises(UsageError, match="line 1"):
            read_answers(file)
        repair_last_line(file)
        assert file.read_text() == text + "\n"


def test_read_answers_counts_a_question_once_and_allows_one_model(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    first, second = scored(True), scored(False)
    for answer in (*first, *second):
        append(file, answer)
    assert read_answers(file).scored == first
    check_same_model(file, first, {"model": "m"})
    for asked in ({"model": "n"}, {"model": "m", "temperature": 0.7}):
        with pytest.raises(UsageError, match=r"contains answers of m, and the requested model"):
            check_same_model(file, first, asked)
    append(file, score_answer(item("q"), Completion(""), {"model": "m", "temperature": 0.7}))
    with pytest.raises(UsageError, match=r"of m and of m \(temperature=0.7\)"):
        read_answers(file)


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


def test_wilson_interval_agrees_with_published_values() -> None:
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_interval_contains_the_share(right: int, more: int) -> None:
    of = right + more
    low, high = wilson_interval(right, of)
    assert 0 <= low <= high <= 1
    if of:
        assert low - 1e-12 <= right / of <= high + 1e-12


def test_mcnemar_p_value_is_that_of_the_exact_sign_test() -> None:
    assert mcnemar_p_value(0, 0) == 1.0
    assert mcnemar_p_value(5, 5) == 1.0
    assert mcnemar_p_value(0, 6) == pytest.approx(2 / 64)
    assert mcnemar_p_value(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_p_value_is_symmetric_and_a_probability(a: int, b: int) -> None:
    assert mcnemar_p_value(a, b) == mcnemar_p_value(b, a)
    assert 0 < mcnemar_p_value(a, b) <= 1


def test_clustered_interval_widens_with_clusters_and_never_vanishes() -> None:
    alone, together = [(n % 2, 1) for n in range(60)], [(3 * (n % 2), 3) for n in range(20)]
    assert clustered_interval(alone) == pytest.approx(wilson_interval(30, 60))
    assert clustered_interval(together) == pytest.approx(wilson_interval(10, 20))
    for right in (0, 3):
        assert clustered_interval([(right, 3)] * 5) == pytest.approx(
            wilson_interval(right / 3 * 5, 5)
        )
    assert clustered_interval([(1, 3)] * 20) == pytest.approx(
        wilson_interval(20, 60)
    )  # as even as lone cases
    assert clustered_interval([(2, 3)]) == pytest.approx(wilson_interval(2 / 3, 1))
    assert clustered_interval([]) == (0.0, 1.0)
    low, high = difference_interval([(0, 0, 3)] * 5)
    assert low == -high
    assert high > 0.3
    assert difference_interval([(0, 3, 3)] * 5)[0] < 0.8
    assert difference_interval([]) == (-1.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=30))
def test_intervals_contain_the_estimate(parts: list[tuple[int, int, int]]) -> None:
    counts = [(a, b, a + b + same) for a, b, same in parts if a + b + same]
    of = sum(n for _, _, n in counts)
    low, high = difference_interval(counts)
    assert -1 <= low < high <= 1
    right = clustered_interval([(a, n) for a, _, n in counts])
    assert 0 <= right[0] < right[1] <= 1
    if of:
        found = (sum(b for _, b, _ in counts) - sum(a for a, _, _ in counts)) / of
        assert low - 1e-12 <= found <= high + 1e-12
        share = sum(a for a, _, _ in counts) / of
        assert right[0] - 1e-12 <= share <= right[1] + 1e-12


@pytest.mark.parametrize(
    ("problems", "share", "alike"), [(8, 0.5, 3), (10, 0.95, 1), (30, 0.9, 1), (30, 0.9, 8)]
)
def test_intervals_have_their_nominal_coverage(problems: int, share: float, alike: int) -> None:
    """Correlated cases (beta distributed; a larger `alike` means less), sampled 600 times."""
    dice, held = random.Random(1), Counter[str]()
    for _ in range(600):
        counts, pairs = [], []
        for _ in range(problems):
            p, q = (dice.betavariate(share * alike, (1 - share) * alike) for _ in range(2))
            cases = [(dice.random() < p, dice.random() < q) for _ in range(3)]
            counts.append((sum(a for a, _ in cases), 3))
            pairs.append((cases.count((True, False)), cases.count((False, True)), 3))
        low, high = clustered_interval(counts)
        held["share"] += low <= share <= high
        low, high = difference_interval(pairs)
        held["difference"] += low <= 0 <= high
    assert min(held.values()) > 0.915 * 600


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

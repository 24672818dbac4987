"""A benchmark of one's own: questions without code, judged answers, intervals, pairs."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from annoy_store.benching.intervals import bootstrap, mcnemar, wilson
from annoy_store.benching.making import (
    Item,
    Scored,
    append,
    difficulty,
    make,
    read_items,
    read_scored,
    write_items,
)
from annoy_store.benching.scoring import ask_all, compare, judge, summary
from annoy_store.contracts import New
from annoy_store.database import Store
from annoy_store.errors import UsageError
from annoy_store.settings import DEFAULT_SALT, RunSettings
from annoy_store.tables import pair_checks, samples, splits, variants
from annoy_store.teachers import open_backend
from annoy_store.wording import parts
from tests.given import NOW, io_pair, sample, write_all


def fill(store: Store, lines: tuple[int, ...] = (10, 20, 30)) -> None:
    """Two samples of three and two stable pairs; the first one is in split test."""
    variant = New(variants, {"stage": "generate", "digest": "v", "description": "", "active": 1})
    first, second = sample(), sample("def main_solution(x):\n    return x + 1\n")
    pairs = [io_pair(first, {"x": n}, 2 * n, n) for n in range(len(lines))]
    pairs += [io_pair(second, {"x": n}, n + 1, n) for n in range(2)]
    checks = [
        New(pair_checks, {"io_pair_id": p, "variant_id": variant, "status": "stable",
                          "execution_id": None, "lines_executed": n})
        for p, n in zip(pairs, (*lines, 5, None), strict=True)
    ]  # fmt: skip
    with store.write() as connection:
        write_all(connection, [*pairs, *checks])
        number = connection.scalar(
            select(samples.c.id).where(samples.c.digest == first.values["digest"])
        )
        row = {
            "salt": DEFAULT_SALT,
            "sample_id": number,
            "split": "test",
            "bucket": 0,
            "cluster": "c",
        }
        connection.execute(insert(splits).values({**row, "created_at": NOW}))


def item(problem: str = "p", case: int = 0, output: Any = 4, band: str = "easy") -> Item:
    asked = [{"role": "user", "content": f"{problem} {case}"}]
    return Item(f"{problem}-{case}", problem, case, band, asked, json.dumps(output))


def scored(*rights: bool, problem: str = "p", band: str = "easy") -> list[Scored]:
    return [
        judge(item(problem, n, band=band), f'{{"output": {4 if right else 5}}}', "m")
        for n, right in enumerate(rights)
    ]


def test_questions_come_from_the_split_and_show_no_code(store: Store) -> None:
    fill(store)
    items = make(store, "test", cases=2)
    assert [i.case for i in items] == [0, 1]
    assert {i.difficulty for i in items} == {"easy"}
    assert parts(items[1].messages) == {
        "problem": "What?", "io": "Input: x. Output: int.", "input": '{"x":1}'
    }  # fmt: skip
    assert "return" not in items[0].messages[0]["content"]
    assert items[1].output == "2"
    assert len(make(store, "all", cases=2)) == 4
    assert len(make(store, "all", cases=2, limit=1)) == 2
    assert make(store, "all", cases=3) == make(store, "test", cases=3)
    for split, cases in (("validation", 1), ("test", 4)):
        with pytest.raises(UsageError, match="no sample in split"):
            make(store, split, cases)


def test_difficulty_is_the_longest_case_in_fixed_bands() -> None:
    for lines, name in (
        ([1, 49], "easy"),
        ([1, 50], "medium"),
        ([500], "hard"),
        ([None], "unknown"),
    ):
        assert difficulty([{"lines_executed": n} for n in lines]) == name


def test_answers_are_judged_by_the_rule_of_the_pipeline() -> None:
    asked = item(output=[1, 2.5])
    assert judge(asked, '{"output": [1, 2.5001]}', "m").status == "correct"
    assert judge(asked, '{"output": [1, 2]}', "m").status == "wrong"
    assert judge(asked, "I do not know", "m").status == "no_answer"


def test_files_go_and_come(tmp_path: Path) -> None:
    items = [item(), item("q", 1, {"a": None})]
    write_items(tmp_path / "b.jsonl", items)
    assert read_items(tmp_path / "b.jsonl") == items
    answers = scored(True, False)
    for answer in answers:
        append(tmp_path / "a.jsonl", answer)
    assert read_scored(tmp_path / "a.jsonl") == answers
    (tmp_path / "b.jsonl").write_text('\n{"id": "x"}\n')
    with pytest.raises(UsageError, match=r"b.jsonl line 2 is no item"):
        read_items(tmp_path / "b.jsonl")
    with pytest.raises(UsageError, match="cannot read"):
        read_items(tmp_path / "nothing")


def test_every_question_is_asked_once_and_refusals_count(tmp_path: Path) -> None:
    items = [item(case=n) for n in range(20)]
    recorded = [{"messages": i.messages, "response": '{"output": 4}'} for i in items[:18]]
    file = tmp_path / "recorded.jsonl"
    file.write_text("\n".join(map(json.dumps, recorded)))
    teacher = open_backend("replay", RunSettings.layered({}, {"replay": str(file)}), None)
    kept: list[Scored] = []
    ended = asyncio.run(ask_all(items, teacher, 4, kept.append))
    assert ended == {"answered": 18, "rejected": 2}
    assert Counter(s.status for s in kept) == {"correct": 18, "rejected": 2}
    assert sorted(s.id for s in kept) == sorted(i.id for i in items)


def test_a_problem_is_solved_when_every_case_is_right() -> None:
    answers = [*scored(True, True), *scored(True, False, problem="q", band="hard")]
    told = summary(answers)
    assert list(told) == ["all", "easy", "hard"]
    assert (told["all"]["examples"].right, told["all"]["examples"].of) == (3, 4)
    assert (told["all"]["problems"].right, told["all"]["problems"].of) == (1, 2)
    assert told["hard"]["problems"].share == 0
    assert summary([])["all"]["problems"].of == 0


def test_wilson_agrees_with_published_values() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_holds_the_share(right: int, more: int) -> None:
    of = right + more
    low, high = wilson(right, of)
    assert 0 <= low <= high <= 1
    if of:
        assert low - 1e-12 <= right / of <= high + 1e-12


def test_mcnemar_is_the_exact_sign_test() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    assert mcnemar(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_a_probability(a: int, b: int) -> None:
    assert mcnemar(a, b) == mcnemar(b, a)
    assert 0 < mcnemar(a, b) <= 1


def test_bootstrap_is_the_same_each_time_and_widens_with_clusters() -> None:
    alone = [(n % 2, 1) for n in range(60)]
    together = [(3 * (n % 2), 3) for n in range(20)]
    low, high = bootstrap(alone)
    assert bootstrap(alone) == (low, high)
    wide = bootstrap(together)
    assert wide[1] - wide[0] > high - low
    assert math.isclose((low + high) / 2, 0.5, abs_tol=0.05)


def test_two_models_are_paired_by_question() -> None:
    first = [a for n in range(12) for a in scored(True, n < 4, problem=f"p{n}")]
    second = [a for n in range(12) for a in scored(True, n > 1, problem=f"p{n}")]
    told = compare(first, [*second, *scored(True, problem="other")])
    assert (told["only_first"], told["only_second"], told["left_out"]) == (2, 8, 1)
    assert told["p"] == pytest.approx(mcnemar(2, 8))
    assert told["problems"]["difference"] == pytest.approx(6 / 12)
    assert told["examples"]["difference"] == pytest.approx(6 / 24)
    assert told["examples"]["low"] <= told["examples"]["difference"] <= told["examples"]["high"]
    with pytest.raises(UsageError, match="no question in common"):
        compare(first, scored(True, problem="other"))

"""Files of questions and answers: round trips, invalid and incomplete lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from annoy_store.benchmark.answers import (
    append,
    check_same_model,
    read_answers,
    repair_last_line,
)
from annoy_store.benchmark.build import (
    read_questions,
    write_questions,
)
from annoy_store.benchmark.score import score_answer
from annoy_store.errors import UsageError
from annoy_store.interfaces import Completion
from tests.support.benchmarks import item, scored


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

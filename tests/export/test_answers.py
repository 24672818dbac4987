"""Preference pairs: both answers are to the same messages, by one teacher, and stay so."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, update

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import calls, prompts, responses, turns, variants
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportReport, ExportRequest
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")

STATUSES = ["correct", "wrong", "no_answer", None]
FINISHES = ["stop", "length", "max_tokens", "MAX_TOKENS", "model_length", "incomplete"]


def write(store: Database, folder: Path, **selection: Any) -> tuple[ExportReport, list[Any]]:
    request = ExportRequest("preference_chat", folder, Selection(**selection))
    report = export(store, request)
    if report.folder is None:
        return report, []
    return report, read(folder)


def read(folder: Path) -> list[Any]:
    text = (folder / "train.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def answers_by_messages(store: Database) -> dict[str, set[str]]:
    """The texts of all answers to each prompt."""
    found: dict[str, set[str]] = defaultdict(set)
    with store.read() as connection:
        joined = prompts.join(calls).join(responses, responses.c.call_id == calls.c.id)
        for messages, text in connection.execute(
            select(prompts.c.messages, responses.c.text).select_from(joined)
        ):
            found[json.dumps(json.loads(messages))].add(text)
    return found


def assert_both_answer_the_prompt(store: Database, rows: list[Any]) -> None:
    known = answers_by_messages(store)
    for row in rows:
        texts = known[json.dumps(row["prompt"])]
        assert {row["chosen"][0]["content"], row["rejected"][0]["content"]} <= texts


def question(connection: Connection, name: str) -> list[int]:
    """A chain of two wrong answers by model a; return its prompts."""
    rows = chains.sampled(name)
    answers = [(f"{name} 1", "wrong"), (f"{name} 2", "wrong")]
    rows += chains.chain(connection, chains.pairs_of(rows)[0], answers, model="a")
    insert_rows(connection, rows)
    newest = select(turns.c.id).order_by(turns.c.id.desc()).limit(2)
    asked = select(turns.c.prompt_id).where(turns.c.id.in_(newest)).order_by(turns.c.number)
    return list(connection.scalars(asked))


def test_preferences_are_of_siblings_and_never_of_a_revision(
    store: Database, tmp_path: Path
) -> None:
    chains.fill(store, ["ant", "bee"])  # each first answer that was wrong has a right revision
    report, rows = write(store, tmp_path / "none")
    assert (rows, dict(report.removed)) == ([], {"unpaired": 6, "not_rejected": 4})
    assert len(report.warnings) == 2
    assert "4 prompts of later turns" in report.warnings[1]
    assert "annoy resample -n 4 --turn 2" in report.warnings[1]
    chains.add_siblings(store)
    report, rows = write(store, tmp_path / "all")
    assert len(rows) == report.n_rows == 6
    assert sorted(len(row["prompt"]) for row in rows) == [1, 1, 1, 1, 3, 3]
    assert_both_answer_the_prompt(store, rows)
    assert write(store, tmp_path / "2", turns=(2,))[0].n_rows == 2


def test_preferences_as_plain_text_hold_the_conversation(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ["ant"])
    chains.add_siblings(store)
    export(store, ExportRequest("preference", tmp_path / "out", Selection(turns=(2,))))
    (row,) = read(tmp_path / "out")
    assert row["prompt"].startswith("What does ant give?")
    assert "\n\nAssistant: no idea\n\nUser: The output is not the one" in row["prompt"]


def test_preferences_are_of_one_teacher_unless_asked(
    sqlite_store: Database, tmp_path: Path
) -> None:
    store = sqlite_store
    with store.write() as connection:
        first, second = question(connection, "ant")
        chains.add_answer(connection, first, 1, "right, by b", "correct", "b")
        chains.add_answer(connection, second, 1, "right, by b", "correct", "b")
        chains.add_answer(connection, second, 2, "right, by a", "correct", "a")
    report, rows = write(store, tmp_path / "same")
    assert report.removed == {"other_teacher": 1, "not_rejected": 3}
    [row] = rows
    assert (row["chosen"][0]["content"], row["chosen_teacher"]) == ("right, by a", "a")
    assert row["rejected_teacher"] == "a"
    report, rows = write(store, tmp_path / "any", same_teacher=False)
    assert sorted(row["chosen_teacher"] for row in rows) == ["a", "b"]
    assert_both_answer_the_prompt(store, rows)


def test_preferences_reject_no_answer_that_was_cut_off_unless_asked(
    sqlite_store: Database, tmp_path: Path
) -> None:
    with sqlite_store.write() as connection:
        first, _ = question(connection, "ant")
        chains.add_answer(connection, first, 1, "right", "correct", "a")
        for n, reason in enumerate(FINISHES[1:], 2):
            chains.add_answer(connection, first, n, reason, "no_answer", "a", reason)
    report, _ = write(sqlite_store, tmp_path / "no")
    assert (report.n_rows, report.removed["truncated"]) == (1, len(FINISHES[1:]))
    assert write(sqlite_store, tmp_path / "yes", truncated=True)[0].n_rows == 1 + len(FINISHES[1:])


def test_preference_is_retracted_when_its_correct_answer_is_not_correct_any_more(
    sqlite_store: Database, tmp_path: Path
) -> None:
    store = sqlite_store
    with store.write() as connection:
        first, _ = question(connection, "ant")
        one = chains.add_answer(connection, first, 1, "right", "correct", "a")
        two = chains.add_answer(connection, first, 2, "right too", "correct", "a")
    _, [row] = write(store, tmp_path / "1")
    chosen = {"right": one, "right too": two}[row["chosen"][0]["content"]]
    with store.write() as connection:
        connection.execute(update(variants).values(active=0).where(variants.c.stage == "verify"))
        insert_rows(connection, [chains.verdict(connection, chosen, "wrong", "two")])
    request = ExportRequest("preference_chat", tmp_path / "2", since="last")
    second = export(store, request)
    assert dict(second.retractions) == {"judged_again": 1}
    assert second.n_rows == 2  # the same wrong answer, and the one that is wrong now


def test_preferences_refuse_a_choice_of_one_kind_of_answers(
    sqlite_store: Database, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="pairs a correct with a wrong answer: leave out --only"):
        write(sqlite_store, tmp_path / "out", only="correct")


ANSWERS = st.lists(
    st.tuples(
        st.integers(0, 3),  # the prompt
        st.sampled_from(["a", "b"]),
        st.sampled_from(STATUSES),
        st.sampled_from(FINISHES),
    ),
    max_size=8,
)


def run_pairs(
    store: Database, folder: Path, told: list[Any], *, same_teacher: bool, truncated: bool
) -> None:
    """Compare an export of random answers with what the rule says of them."""
    with store.write() as connection:
        tag = str(connection.scalar(select(turns.c.id).order_by(turns.c.id.desc()).limit(1)) or 0)
        asked = [*question(connection, f"{tag} one"), *question(connection, f"{tag} two")]
        every = [(place, "a", "wrong", "stop", f"{tag} {name} {n}") for place, name, n in _FIRST]
        for n, (place, model, status, finish) in enumerate(told, 1):
            text = f"{tag} answer {n}"
            chains.add_answer(connection, asked[place], n, text, status, model, finish)
            every.append((place, model, status, finish, text))
    where = f"funcname = 'main_solution' AND repo LIKE 'team/{tag} %'"
    report, rows = write(
        store, folder / tag, where=where, same_teacher=same_teacher, truncated=truncated
    )
    right = [a for a in every if a[2] == "correct"]
    expected = {
        a[4]
        for a in every
        if a[2] not in ("correct", None)
        and (truncated or a[3] == "stop")
        and any(r[0] == a[0] and (r[1] == a[1] or not same_teacher) for r in right)
    }
    assert {row["rejected"][0]["content"] for row in rows} == expected
    assert len(rows) == len(expected) == report.n_rows
    assert_both_answer_the_prompt(store, rows)
    status = {a[4]: a[2] for a in every}
    assert all(status[row["chosen"][0]["content"]] == "correct" for row in rows)
    assert not same_teacher or all(r["chosen_teacher"] == r["rejected_teacher"] for r in rows)


_FIRST = ((0, "one", 1), (1, "one", 2), (2, "two", 1), (3, "two", 2))
SHORT = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LONG = settings(SHORT, max_examples=50)


@SHORT
@given(ANSWERS, st.booleans(), st.booleans())
def test_preferences_are_all_that_the_rule_allows(
    sqlite_store: Database, tmp_path: Path, told: list[Any], same: bool, truncated: bool
) -> None:
    run_pairs(sqlite_store, tmp_path, told, same_teacher=same, truncated=truncated)


@pytest.mark.slow
@LONG
@given(ANSWERS, st.booleans(), st.booleans())
def test_preferences_are_all_that_the_rule_allows_at_length(
    sqlite_store: Database, tmp_path: Path, told: list[Any], same: bool, truncated: bool
) -> None:
    run_pairs(sqlite_store, tmp_path, told, same_teacher=same, truncated=truncated)

"""Filters on one subject at a time: what is left, and what each one removes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import (
    benchmark_overlaps,
    calls,
    io_pairs,
    pair_checks,
    responses,
    turn_pairs,
    turns,
)
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.format_file import bundled_formats, load_format
from annoy_store.export.request import ExportReport, ExportRequest
from annoy_store.interfaces import NewRow
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")

NAMES = ("ant", "bee", "cow")


@pytest.fixture
def filled(sqlite_store: Database) -> Database:
    """Of each animal: right at once (3 lines), repaired and wrong twice (40 lines)."""
    chains.fill(sqlite_store, NAMES)
    return sqlite_store


def count(store: Database, form: str = "codeio", **selection: Any) -> ExportReport:
    request = ExportRequest(form, Path("nowhere"), Selection(**selection), dry_run=True)
    return export(store, request)


@pytest.mark.parametrize(
    ("selection", "left", "removed"),
    [
        ({}, 9, {}),
        ({"only": "correct"}, 6, {"not_correct": 3}),
        ({"only": "revised"}, 3, {"not_revised": 6}),
        ({"turns": (1,)}, 3, {"turns": 6}),
        ({"turns": (1, 2)}, 9, {}),
        ({"teachers": ("tracer",)}, 9, {}),
        ({"teachers": ("other",)}, 0, {"teacher": 9}),
        ({"licences": ("MIT", "bsd")}, 9, {}),
        ({"licences": ("bsd",)}, 0, {"licence": 9}),
        ({"lines": (None, 10)}, 3, {"lines": 6}),
        ({"lines": (10, 100)}, 6, {"lines": 3}),
        ({"chars": (None, 90)}, 3, {"chars": 6}),
        ({"pass_rate": (0.5, None)}, 3, {"pass_rate": 6}),
        ({"where": "kind = 'predict_input'"}, 3, {"where": 6}),
        ({"where": "repo LIKE '%ant' -- and no more"}, 3, {"where": 6}),
        ({"where": "lines_executed < 10 OR pass_rate = 1"}, 3, {"where": 6}),
        ({"balance": True}, 6, {"unbalanced": 3}),
        ({"max_per_source": 1}, 3, {"source_full": 6}),
        ({"sample": 4}, 4, {"not_sampled": 5}),
        ({"sample": 4, "balance": True}, 4, {"unbalanced": 3, "not_sampled": 2}),
        (
            {"only": "correct", "turns": (2,), "lines": (50, None)},
            0,
            {"lines": 3, "not_correct": 3, "turns": 3},
        ),
    ],
)
def test_filters(
    filled: Database, selection: dict[str, Any], left: int, removed: dict[str, int]
) -> None:
    report = count(filled, **selection)
    assert (report.n_rows, dict(report.removed)) == (left, removed)
    assert report.subjects == left + sum(removed.values())


def test_filters_are_the_same_on_postgres(postgres_store: Database) -> None:
    chains.fill(postgres_store, NAMES)
    chains.compare(postgres_store)
    for selection in (
        {"lines": (None, 10)},
        {"pass_rate": (0.5, None)},
        {"chars": (None, 90)},
        {"licences": ("mit",), "max_per_source": 1},
        {"exclude_overlaps": True, "sample": 3},
    ):
        assert count(postgres_store, **selection).n_rows in (3, 9)


@pytest.mark.parametrize("status", ["unstable", "wrong_output", "alone", "exception", "unknown"])
@pytest.mark.parametrize(
    "form", [f for f in bundled_formats() if load_format(f).record != "sample"]
)
def test_filters_leave_out_questions_whose_pair_is_not_stable(
    sqlite_store: Database, form: str, status: str
) -> None:
    store = sqlite_store
    chains.fill(store, NAMES)
    if form.startswith("preference"):
        chains.add_siblings(store)
    before = count(store, form)
    chains.check_again(store, status, "two", "%bee%")
    now = count(store, form)
    kept = before.n_rows if status == "unknown" else before.n_rows * 2 // 3
    assert now.n_rows == kept
    left_out = (before.subjects - before.removed.get("open", 0)) // 3
    assert now.removed.get("pair_unstable", 0) == (0 if status == "unknown" else left_out)
    assert count(store, form, pairs="all").n_rows == before.n_rows
    if status != "unknown":
        named = count(store, form, pairs="all", where=f"pair_status = '{status}'")
        assert named.n_rows == before.n_rows - kept


def test_filters_leave_out_questions_about_several_pairs_if_one_is_not_stable(
    store: Database,
) -> None:
    with store.write() as connection:
        rows = chains.sampled("ant", pairs=3)
        shown, *hidden = chains.pairs_of(rows)
        asked = chains.chain(connection, shown, [("yes", "correct")])
        asked[0].values["io_pair_id"] = None
        rows += [chains.checked(connection, pair) for pair in (shown, *hidden)] + asked
        for pair, role in zip((shown, *hidden), ("shown", "hidden", "hidden"), strict=True):
            values = {"turn_id": asked[0], "io_pair_id": pair, "role": role}
            rows.append(NewRow(turn_pairs, values))
        insert_rows(connection, rows)
    assert count(store).n_rows == 1
    with store.write() as connection:
        last = connection.scalar(select(func.max(io_pairs.c.id))) or 0
        insert_rows(connection, [chains.checked(connection, last, "wrong_output", version="two")])
    assert dict(count(store).removed) == {"pair_unstable": 1}


@pytest.mark.parametrize("shown", ["call", "input", "no", None])
def test_filters_leave_out_questions_that_show_their_answer(
    store: Database, shown: str | None
) -> None:
    with store.write() as connection:
        rows = chains.sampled("ant", pairs=1)
        [pair] = chains.pairs_of(rows)
        rows += [
            chains.checked(connection, pair),
            *chains.chain(connection, pair, [("yes", "correct")]),
            *chains.chain(connection, pair, [("yes", "correct")], "predict_input"),
        ]
        insert_rows(connection, rows)
        connection.execute(update(pair_checks).values(shown=shown))
    left = {"call": 0, "input": 1}.get(str(shown), 2)
    report = count(store)
    assert report.n_rows == left
    assert dict(report.removed) == ({"answer_shown": 2 - left} if left < 2 else {})
    assert count(store, pairs="all").n_rows == 2
    assert count(store, pairs="all", where="pair_status = 'answer_shown'").n_rows == 2 - left


def test_filters_refuse_unknown_words(filled: Database) -> None:
    with pytest.raises(UsageError, match=r"unknown --pairs 'some'.*known are: stable, all"):
        count(filled, pairs="some")
    with pytest.raises(UsageError, match="leave out --pairs"):
        count(filled, "codeio_raw", pairs="all")


def test_filters_leave_out_overlaps_if_asked(filled: Database) -> None:
    chains.compare(filled)
    with filled.write() as connection:
        row = {"benchmark": "b", "item": "1", "method": "13gram", "created_at": "", "evidence": ""}
        connection.execute(insert(benchmark_overlaps).values(kind="sample", subject_id=1, **row))
        connection.execute(insert(benchmark_overlaps).values(kind="source", subject_id=2, **row))
    assert count(filled).n_rows == 9
    assert dict(count(filled, exclude_overlaps=True).removed) == {"overlap": 6}


@pytest.mark.parametrize("where", ["nonsense = 1", "kind =", "1 = 1; DROP TABLE x", "'a'"])
def test_filters_explain_wrong_sql_of_the_user(filled: Database, where: str) -> None:
    with pytest.raises(UsageError, match=r"^--where: .*; the columns are: .*last_status"):
        count(filled, where=where)


def test_filters_on_answers_are_refused_for_samples(filled: Database) -> None:
    assert count(filled, "codeio_raw", licences=("mit",), where="repo <> 'team/ant'").n_rows == 2
    with pytest.raises(UsageError, match=r"codeio_raw is about samples.*leave out --only"):
        count(filled, "codeio_raw", only="correct")


def test_filters_leave_out_chains_of_several_teachers_if_asked(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, NAMES)
    with sqlite_store.write() as connection:
        later = select(turns.c.prompt_id).where(
            turns.c.number == 2, turns.c.kind == "predict_input"
        )
        asked = select(calls.c.id).where(calls.c.prompt_id.in_(later))
        other = chains.teacher(connection, "other")
        connection.execute(
            update(responses).where(responses.c.call_id.in_(asked)).values(teacher_id=other)
        )
    assert count(sqlite_store).n_rows == 9
    assert dict(count(sqlite_store, same_teacher=True).removed) == {"other_teacher": 3}
    assert count(sqlite_store, where="list_contains(teachers, 'other')").n_rows == 3
    assert count(sqlite_store, where="len(teachers) = 1", same_teacher=False).n_rows == 6

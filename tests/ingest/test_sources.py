"""Ingestion: each content once, each origin once, invalid rows refused."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from annoy_store.db.engine import Database
from annoy_store.db.tables import origins, sources
from annoy_store.errors import UsageError
from annoy_store.hashing import clean_text, digest
from annoy_store.ingest import sources as sources_module
from annoy_store.ingest.file_formats import Opened
from annoy_store.ingest.sources import (
    IngestOptions,
    IngestReport,
    ingest,
    metadata_json,
    read_ahead,
)
from annoy_store.tasks.policy import set_policy
from tests.support.shown_steps import ShownSteps


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def taken(store: Database, path: Path, **wish: Any) -> IngestReport:
    return ingest(store, [path], IngestOptions(**wish))


def counted(store: Database) -> tuple[int, int]:
    with store.read() as connection:
        return tuple(  # type: ignore[return-value]
            connection.scalar(select(func.count()).select_from(table))
            for table in (sources, origins)
        )


def test_ingest_twice_adds_nothing(store: Database, tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", *({"content": f"x = {i}"} for i in range(10)))
    first, second = taken(store, path), taken(store, path)
    assert (first.new, first.known, first.new_origins) == (10, 0, 10)
    assert (second.new, second.known, second.new_origins) == (0, 10, 0)
    assert counted(store) == (10, 10)


def test_ingest_keeps_both_origins_of_one_content(store: Database, tmp_path: Path) -> None:
    row = {"content": "x = 1", "path": "a.py", "license": "mit"}
    tally = taken(
        store,
        lines(
            tmp_path / "x.jsonl", {**row, "repo": "a"}, {**row, "repo": "b"}, {**row, "repo": "a"}
        ),
    )
    assert (tally.new, tally.known, tally.new_origins) == (1, 2, 2)
    assert counted(store) == (1, 2)
    assert taken(store, tmp_path / "x.jsonl", origin="elsewhere").new_origins == 2


def test_ingest_keeps_the_attributes_of_a_row(store: Database, tmp_path: Path) -> None:
    taken(
        store,
        lines(
            tmp_path / "x.jsonl",
            {
                "content": "x\r\ny",
                "repo_name": "o/r",
                "path": "m/a.rb",
                "licenses": ["mit", "bsd"],
                "blob_id": "b",
                "score": 4.5,
                "long": "l" * 2000,
                "none": None,
                "nan": float("nan"),
            },
        ),
        licence="apache-2.0",
    )
    with store.read() as connection:
        row = connection.execute(select(sources, origins).join(origins)).one()._mapping
    assert row["content"] == "x\r\ny"
    assert row["language"] == "ruby"
    assert row[sources.c.digest] == digest("source", "ruby", "x\r\ny")
    assert (row["origin"], row["repo"], row["path"]) == ("x.jsonl", "o/r", "m/a.rb")
    assert row["licence"] == "mit, bsd"
    assert row["metadata"] == '{"blob_id":"b","nan":"nan","score":4.5}'


def test_ingest_options_fill_in_missing_attributes(store: Database, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("a = 1")
    taken(store, tmp_path / "code", licence="mit", language="Cython")
    with store.read() as connection:
        row = connection.execute(select(sources, origins).join(origins)).one()
    assert (row.language, row.licence, row.origin, row.path) == ("cython", "mit", "code", "a.py")


def test_ingest_counts_refused_rows(store: Database, tmp_path: Path) -> None:
    with store.write() as connection:
        set_policy(connection, {"max_source_bytes": "10"})
    rows = ["good = 1", "", " \n", "é" * 6, None, 7, "x" * 11]
    tally = taken(store, lines(tmp_path / "x.jsonl", *({"content": row} for row in rows)))
    assert tally.new == 1
    assert tally.refused == Counter(too_large=2, empty=2, not_text=2)
    assert tally.examples["too_large"][0] == "x.jsonl line 4: 12 bytes; max_source_bytes is 10"


def test_ingest_keeps_or_replaces_special_characters(store: Database, tmp_path: Path) -> None:
    odd = ["a\x00b", "lone \ud800 surrogate", "🎉\u2028\r\n", "\ufeffx"]
    tally = taken(store, lines(tmp_path / "x.jsonl", *({"content": o, "path": o} for o in odd)))
    assert (tally.new, tally.refused) == (4, Counter())
    with store.read() as connection:
        kept = list(connection.scalars(select(sources.c.content).order_by(sources.c.id)))
        paths = list(connection.scalars(select(origins.c.path).order_by(origins.c.id)))
    assert kept == paths == [clean_text(o) for o in odd]


def test_ingest_limit_counts_accepted_rows(store: Database, tmp_path: Path) -> None:
    rows = [{"content": c} for c in ("", "a", "", "b", "c", "d")]
    tally = taken(store, lines(tmp_path / "x.jsonl", *rows), limit=3)
    assert (tally.new, tally.refused["empty"]) == (3, 2)


def test_ingest_batches_are_transactions_of_bounded_size(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "BATCH_ROWS", 4)
    monkeypatch.setattr(sources_module, "BATCH_CHARS", 100)
    path = lines(
        tmp_path / "x.jsonl", *({"content": "x" * (90 if i == 3 else i + 1)} for i in range(10))
    )
    seen: list[int] = []
    ingest(
        sqlite_store, [path], IngestOptions(), lambda words, *_: seen.append(int(words.split()[0]))
    )
    assert seen == [4, 8, 10]


def test_ingest_shows_the_bytes_read_of_all_files(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "BATCH_ROWS", 2_000)
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "a.py").write_text("a = 1")
    (folder / "not.txt").write_text("x" * 9_999)
    path = lines(tmp_path / "x.jsonl", *({"content": f"x = {i}"} for i in range(9_000)))
    shown = ShownSteps()
    ingest(sqlite_store, [path, folder], IngestOptions(), shown)
    assert shown.steps[-1] == (
        "9,001 new, 0 known, 0 refused",
        path.stat().st_size + 5,
        path.stat().st_size + 5,
    )
    assert len(shown.shares) == 5
    assert shown.shares == sorted(shown.shares)
    assert shown.shares[1] == pytest.approx(4 / 9, abs=0.1)


def test_ingest_shows_the_rows_of_a_limit(sqlite_store: Database, tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", *({"content": f"x = {i}"} for i in range(9)))
    shown = ShownSteps()
    ingest(sqlite_store, [path], IngestOptions(limit=7), shown)
    assert shown.steps[-1][1:] == (7, 7)


def test_ingest_goes_on_after_an_error_in_one_file(sqlite_store: Database, tmp_path: Path) -> None:
    good = lines(tmp_path / "a.jsonl", {"content": "a"})
    wrong = lines(tmp_path / "b.jsonl", {"code": "b"})
    later = lines(tmp_path / "c.jsonl", {"content": "c"})
    tally = ingest(sqlite_store, [good, wrong, later], IngestOptions())
    assert (tally.new, tally.refused) == (2, Counter())
    assert tally.errors == ["b.jsonl: there is no column 'content'; choose one with --column: code"]


def test_ingest_stops_at_a_missing_file_before_writing(
    sqlite_store: Database, tmp_path: Path
) -> None:
    good = lines(tmp_path / "a.jsonl", {"content": "a"})
    with pytest.raises(UsageError, match="no such file"):
        ingest(sqlite_store, [good, tmp_path / "nowhere"], IngestOptions())
    assert counted(sqlite_store) == (0, 0)


def test_ingest_accepts_real_files(sqlite_store: Database, data: Path) -> None:
    tally = taken(sqlite_store, data / "rawcode.jsonl")
    assert (tally.new + tally.known, tally.refused, tally.errors) == (446, Counter(), [])
    again = taken(sqlite_store, data / "rawcode.jsonl")
    assert (again.new, again.known) == (0, 446)


def test_ingest_reads_only_a_bounded_amount_ahead(sqlite_store: Database, tmp_path: Path) -> None:
    """Memory stays constant: no list of all rows is made."""
    path = tmp_path / "x.jsonl"
    with path.open("w") as out:
        for i in range(7000):
            out.write(f'{{"content": "x = {i}"}}\n')
    open_file = path.open("rb")
    positions: list[int] = []
    with pytest.MonkeyPatch.context() as patch, open_file:
        opened = nullcontext(Opened(open_file, "jsonl", None))
        patch.setattr("annoy_store.ingest.readers.open_file", lambda *_: opened)
        note = lambda *_: positions.append(-1 if open_file.closed else open_file.tell())  # noqa: E731
        ingest(sqlite_store, [path], IngestOptions(), note)
    assert len(positions) == 4
    assert positions[0] < path.stat().st_size / 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_metadata_json_is_canonical_for_any_row(fields: dict[str, Any]) -> None:
    text = metadata_json(fields)
    assert json.loads(text).keys() <= {clean_text(key) for key in fields}
    assert text == metadata_json(dict(reversed(fields.items())))
    text.encode()


def test_metadata_json_of_values_that_json_cannot_hold() -> None:
    assert metadata_json({"b": b"\xff", "n": float("inf")}) == '{"b":"b\'\\\\xff\'","n":"inf"}'


def test_read_ahead_yields_the_same_items_in_order() -> None:
    assert list(read_ahead(iter(range(100)))) == list(range(100))
    assert list(read_ahead(iter([]))) == []


def test_read_ahead_raises_where_the_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise UsageError("broken")

    made = read_ahead(items())
    assert next(made) == 1
    with pytest.raises(UsageError, match="broken"):
        next(made)


def test_read_ahead_produces_one_item_ahead() -> None:
    begun: list[int] = []
    made = read_ahead(begun.append(i) or i for i in range(10))  # type: ignore[func-returns-value]
    next(made)
    time.sleep(0.05)
    assert len(begun) <= 3
    made.close()
    time.sleep(0.05)
    assert len(begun) <= 4

"""Purged content is refused, whatever brings it back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import func, select

from annoy_store.db.engine import Database
from annoy_store.db.tables import io_pairs, prompts, responses, samples, sources
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.ingest.doctest.importer import ingest_samples
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.ingest.takedowns import take_down, takedown_rules
from annoy_store.maintenance.check import check
from annoy_store.maintenance.purge import purge
from tests.support import chains
from tests.support.codeio_rows import function, lines, predicted, script_prompt, user
from tests.support.factories import DOUBLE

pytestmark = pytest.mark.slow_on("postgres")

CODE = 'def double(x):\n    """Double.\n\n    >>> double(2)\n    4\n    >>> double(3)\n    6\n    """\n    return 2 * x\n'


def purged(store: Database, kind: str, value: str) -> None:
    with store.write() as connection:
        take_down(connection, kind, value, "asked")
        rule = takedown_rules(connection)[-1]
    purge(store, rule.id)


def texts(store: Database) -> str:
    """All texts of code and of conversations in the store."""
    columns = (sources.c.content, samples.c.refcode, prompts.c.messages, responses.c.text)
    with store.read() as connection:
        held = [value for column in columns for value in connection.scalars(select(column))]
        held += list(connection.scalars(select(io_pairs.c.output)))
    return "\n".join(held)


def test_a_purged_source_is_refused_under_any_name(store: Database, tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [{"content": CODE, "repo": "bad"}])
    ingest(store, [tmp_path / "a.jsonl"], IngestOptions())
    purged(store, "repo", "bad")
    (tmp_path / "copy.py").write_text(f"\n{CODE}")
    lines(tmp_path / "b.jsonl", [{"content": CODE, "repo": "good"}, {"content": "x", "repo": "y"}])
    for path, options in (
        ("b.jsonl", IngestOptions()),
        ("b.jsonl", IngestOptions(language="jupyter")),
        ("copy.py", IngestOptions()),
    ):
        report = ingest(store, [tmp_path / path], options)
        assert report.refused == {"purged": 1}
        assert "annoy takedown" in report.examples["purged"][0]
    assert ingest_samples(store, [tmp_path / "copy.py"], IngestOptions()).refused == {"purged": 1}
    assert "double" not in texts(store)
    assert check(store) == []


def test_a_purged_function_and_its_questions_are_refused(store: Database, tmp_path: Path) -> None:
    made = function(DOUBLE.strip())
    lines(tmp_path / "functions.jsonl", [made])
    asked = predicted("o", 0, {"x": 1}, "an answer")
    asked["messages"] = [user(script_prompt("input", {"x": 1}, DOUBLE.strip()))]
    unknown = predicted("o", 0, {"x": 99}, "an answer about a pair that no file has")
    unknown["messages"] = [user(script_prompt("input", {"x": 99}, DOUBLE.strip()))]
    lines(tmp_path / "answers.jsonl", [asked, unknown])
    import_files(store, [tmp_path / "functions.jsonl", tmp_path / "answers.jsonl"])
    assert "an answer" in texts(store)
    purged(store, "origin", made.get("source") or "functions.jsonl")
    before = texts(store)
    assert "an answer" not in before
    again = {**asked, "output": "another answer"}
    lines(tmp_path / "answers.jsonl", [asked, again])
    lines(tmp_path / "more.jsonl", [{**made, "input_generator": "def input_generator(): ..."}])
    done = import_files(store, [tmp_path / "answers.jsonl"])
    assert done.refused == {"purged": 2}
    done = import_files(store, [tmp_path / "functions.jsonl", tmp_path / "more.jsonl"])
    assert done.refused == {"purged": 2}
    assert texts(store) == before


def test_a_store_without_purges_refuses_nothing(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ("ant",))
    with store.write() as connection:
        take_down(connection, "repo", "team/ant", "asked")
    with store.read() as connection:
        content = connection.scalar(select(sources.c.content))
    (tmp_path / "x.jsonl").write_text(json.dumps({"content": content}))
    report = ingest(store, [tmp_path / "x.jsonl"], IngestOptions())
    assert (report.known, report.refused) == (1, {})
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(sources)) == 1


def test_a_function_of_a_purged_source_is_refused(store: Database, tmp_path: Path) -> None:
    lines(tmp_path / "raw.jsonl", [{"content": CODE, "repo": "bad", "blob_id": "b1"}])
    ingest(store, [tmp_path / "raw.jsonl"], IngestOptions())
    purged(store, "repo", "bad")
    rows = [function(meta={"blob_id": "b1"}), function("def main_solution(x):\n    return x\n")]
    done = import_files(store, [lines(tmp_path / "functions.jsonl", rows)])
    assert (done.refused, done.rows["samples"]) == ({"purged": 1}, 1)
    assert check(store) == []

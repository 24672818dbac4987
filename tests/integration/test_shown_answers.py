"""No question that the pipeline asks holds its own answer: counted by executing its examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import pair_checks
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.ingest.doctest.importer import ingest_samples
from annoy_store.ingest.readers import read_raw
from annoy_store.ingest.sources import IngestOptions, ingest_rows
from annoy_store.interfaces import Sandbox
from annoy_store.records.samples import new_origin
from annoy_store.sandbox import open_sandbox
from annoy_store.worker.run import run
from tests.support import factories
from tests.support.codeio_rows import ask
from tests.support.shown_examples import held_answers

TRACER = RunSettings(teacher="tracer")
SHOWN = '''def twice(y):
    """
    >>> twice(0)
    0
    >>> twice(1)
    2
    """
    return y * 2


def main_solution(x):
    return twice(x)


def check():
    """Say main_solution(2) == 4, and main_solution(3)."""


assert main_solution(4) == 8
'''


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def fill(store: Database) -> None:
    sample = factories.sample(SHOWN, None, 'For {"x": 5} say something.')
    pairs = [factories.io_pair(sample, {"x": x}, 2 * x, x) for x in range(12)]
    with store.write() as connection:
        insert_rows(connection, [new_origin(sample, "o", origin="o"), *pairs])


def held(store: Database, sandbox: Sandbox, kind: str, *, imported: bool = False) -> set[int]:
    """The positions of the pairs that questions of a kind ask about though they show the answer."""
    turns = [h.turn_id for h in held_answers(store, sandbox) if h.is_imported == imported]
    listed = ", ".join(map(str, [0, *turns]))
    query = "SELECT i.position FROM turns t JOIN io_pairs i ON i.id = t.io_pair_id"
    return {p for (p,) in ask(store, f"{query} WHERE t.kind = '{kind}' AND t.id IN ({listed})")}


def asked(store: Database, kind: str) -> int:
    [(n,)] = ask(store, f"SELECT COUNT(*) FROM turns WHERE kind = '{kind}' AND number = 1")
    return int(n)


def test_examples_are_found_by_executing_them(sqlite_store: Database, sandbox: Sandbox) -> None:
    fill(sqlite_store)
    run(sqlite_store, TRACER, ["generate"])
    with sqlite_store.write() as connection:
        connection.execute(update(pair_checks).values(shown="no"))  # as if nothing were compared
        connection.exec_driver_sql(
            "INSERT INTO policies (key, value, since) VALUES ('pairs_per_sample', '12', 'now')"
        )
    run(sqlite_store, TRACER, ["predict"])
    assert held(sqlite_store, sandbox, "predict_output") == {0, 1, 2, 4}
    assert held(sqlite_store, sandbox, "predict_input") == {0, 1, 2, 3, 4, 5}


def test_pipeline_asks_no_question_that_holds_its_answer(
    sqlite_store: Database, sandbox: Sandbox
) -> None:
    fill(sqlite_store)
    run(sqlite_store, TRACER, ["generate", "predict"])
    assert (asked(sqlite_store, "predict_output"), asked(sqlite_store, "predict_input")) == (3, 3)
    assert list(held_answers(sqlite_store, sandbox)) == []


@pytest.mark.slow
def test_real_sources_give_no_question_that_holds_its_answer(
    sqlite_store: Database, sandbox: Sandbox, data: Path
) -> None:
    ingest_rows(
        sqlite_store,
        (("rawcode", item) for item in read_raw(data / "rawcode.jsonl", "content", (), 131_072)),
        IngestOptions(),
    )
    run(sqlite_store, TRACER, ["transform", "complete", "parse", "generate", "predict"])
    assert asked(sqlite_store, "predict_output") > 150
    assert list(held_answers(sqlite_store, sandbox)) == []


@pytest.mark.slow
def test_reference_run_gives_no_question_that_holds_its_answer(
    sqlite_store: Database, sandbox: Sandbox, data: Path
) -> None:
    files = sorted((data / "reference_run").glob("rawcode_1k_parsed.jsonl.gz"))
    if not files:
        pytest.skip("the files of the reference's run are not beside this checkout")
    import_files(sqlite_store, files)
    run(sqlite_store, TRACER, ["generate", "predict"])
    assert asked(sqlite_store, "predict_output") > 300
    assert list(held_answers(sqlite_store, sandbox)) == []


@pytest.mark.slow
def test_functions_with_tests_give_no_question_that_holds_its_answer(
    sqlite_store: Database, sandbox: Sandbox, data: Path
) -> None:
    ingest_samples(sqlite_store, [data / "rawcode.jsonl"], IngestOptions())
    run(sqlite_store, TRACER, ["generate", "predict"])
    assert list(held_answers(sqlite_store, sandbox)) == []

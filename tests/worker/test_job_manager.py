"""The job manager: what it claims under a limit."""

from __future__ import annotations

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.worker.run import run
from tests.worker.test_outlook import DEMO


def test_limit_holds_for_the_variants_of_a_stage_together(sqlite_store: Database) -> None:
    paths = [DEMO / name for name in ("roman.py", "savings.py", "brackets.py")]
    ingest(sqlite_store, paths, IngestOptions(origin="demo", licence="MIT"))
    done = run(sqlite_store, RunSettings(teacher="tracer"), limit=3)
    assert max(sum(states.values()) for states in done.by_stage().values()) == 3

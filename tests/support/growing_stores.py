"""Stores that grow step by step, to be copied and merged."""

from __future__ import annotations

from collections import Counter

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import attempts, responses
from annoy_store.db.timestamps import utc_now
from annoy_store.interfaces import Attempt, Outcome, Row, StageContext, done
from annoy_store.maintenance.fingerprint import content_digests
from annoy_store.records.responses import new_attempt, new_response
from tests.support import factories
from tests.support.small_pipeline import (
    ANSWER,
    JUDGE,
    SPREAD,
    TOYS,
    ToyWorker,
    add_sources,
    doing,
)


def grow(store: Database, start: int, n: int, word: str = "") -> None:
    """Sources from `start` on with all rows that follow; answers depend on `word`."""

    def say(row: Row, tools: StageContext) -> Outcome:
        call = row["subject_id"]
        text = f"{word}{row['messages']}"
        response = new_response(call, 0, text, finish_reason="stop", created_at=utc_now())
        tried = Attempt("ok", f"{word} {call}", 1.5)
        return done(response, new_attempt(tried, call, 0, tools.worker_id))

    add_sources(store, n, start)
    with store.write() as connection:
        insert_rows(connection, [factories.origin(factories.source(f"x = {start}\n"), repo=word)])
    speaking = doing(ANSWER, say, writes=(responses, attempts))
    ToyWorker(store, [SPREAD, speaking, JUDGE]).run()


def held(store: Database) -> dict[str, Counter[str]]:
    with store.read() as connection:
        return content_digests(connection, TOYS)

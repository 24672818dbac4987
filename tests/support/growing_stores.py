"""Stores that grow step by step, to be copied and merged."""

from __future__ import annotations

from collections import Counter

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import (
    attempts,
    responses,
)
from annoy_store.interfaces import NewRow, Outcome, Row, StageContext, done
from annoy_store.maintenance.fingerprint import content_digests
from tests.support import factories
from tests.support.small_pipeline import (
    ANSWER,
    JUDGE,
    SPREAD,
    TOYS,
    ToyWorker,
    add_sources,
    answer,
    doing,
)


def grow(store: Database, start: int, n: int, word: str = "") -> None:
    """Sources from `start` on with all rows that follow; answers depend on `word`."""

    def say(row: Row, tools: StageContext) -> Outcome:
        response = answer(row, tools).rows[0]
        spoken = {**response.values, "text": f"{word}{row['messages']}"}
        tried = {"call_id": row["subject_id"], "teacher_id": 0, "worker_id": tools.worker_id}
        tried |= {"started_at": f"{word} {row['subject_id']}", "latency_ms": 1.5, "status": "ok"}
        tried |= dict.fromkeys(("error_class", "http_status", "prompt_tokens", "cached_tokens"))
        tried |= dict.fromkeys(("completion_tokens", "reasoning_tokens", "model", "error_message"))
        return done(NewRow(responses, spoken), NewRow(attempts, tried))

    add_sources(store, n, start)
    with store.write() as connection:
        insert_rows(connection, [factories.origin(factories.source(f"x = {start}\n"), repo=word)])
    speaking = doing(ANSWER, say, writes=(responses, attempts))
    ToyWorker(store, [SPREAD, speaking, JUDGE]).run()


def held(store: Database) -> dict[str, Counter[str]]:
    with store.read() as connection:
        return content_digests(connection, TOYS)

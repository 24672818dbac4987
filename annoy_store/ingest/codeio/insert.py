"""Insert imported rows, and schedule older rows that they affect.

    a turn of an older answer   verify and parse scan that answer again
    a pair of an older sample   generate runs the sample again, to check the pair

All of it is in the transaction that inserts the rows, so that a crash cannot come between.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Table, func, literal_column, select, update

from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import in_values
from annoy_store.db.tables import calls, io_pairs, jobs, responses, turns
from annoy_store.interfaces import NewRow
from annoy_store.queue.counters import NO_WORKER, add_to_counters, state_change
from annoy_store.queue.watermarks import rewind_watermark
from annoy_store.stages import PIPELINE


def insert_imported(connection: Connection, rows: Sequence[NewRow]) -> None:
    """Insert imported rows; rows that are in the store already are left unchanged."""
    before = {table.name: _newest(connection, table) for table in (turns, io_pairs)}
    touched = insert_rows(connection, rows)
    new = {name: [i for i in touched.get(name, []) if i > last] for name, last in before.items()}
    if new["turns"]:
        rescan_answers(connection, new["turns"])
    if new["io_pairs"]:
        _requeue_samples(connection, new["io_pairs"])


def _newest(connection: Connection, table: Table) -> int:
    return int(connection.scalar(select(func.max(table.c.id))) or 0)


def rescan_answers(connection: Connection, turn_ids: Sequence[int]) -> None:
    """Let the stages examine again the answers that new turns are about.

    Args:
        connection: A write transaction.
        turn_ids: Ids of the new turns.
    """
    answers = turns.join(calls, calls.c.prompt_id == turns.c.prompt_id).join(
        responses, responses.c.call_id == calls.c.id
    )
    mine = in_values(connection, turns.c.id, turn_ids)
    first = connection.scalar(select(func.min(responses.c.id)).select_from(answers).where(mine))
    if first is not None:
        rewind_watermark(connection, PIPELINE, responses, first)


def _requeue_samples(connection: Connection, pair_ids: Sequence[int]) -> None:
    chosen = select(io_pairs.c.sample_id).where(in_values(connection, io_pairs.c.id, pair_ids))
    sample_ids = sorted(set(connection.scalars(chosen)))
    for state in ("done", "rejected"):
        ended = (
            update(jobs)
            .where(jobs.c.stage == "generate", jobs.c.state == literal_column(f"'{state}'"))
            .where(in_values(connection, jobs.c.subject_id, sample_ids))
            .values(state=literal_column("'pending'"), reason=None, detail=None, attempts=0)
        )
        again = connection.execute(ended).rowcount
        add_to_counters(connection, NO_WORKER, state_change({"generate": again}, state, "pending"))

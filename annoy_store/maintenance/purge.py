"""Purge: blank the texts of rows that were taken down, irreversibly.

Decisions
- Rows, digests, lengths and numbers stay as tombstones, for other rows refer to them.
- Only what purged rules alone hide is blanked. What another source still allows is kept, and so is
  a prompt, with its answers, that was asked about something allowed too.
- Freed pages of a SQLite file are overwritten and its log is truncated. On PostgreSQL old row
  versions disappear with the next VACUUM. Copies elsewhere (backups, exports, batch files at a
  provider) are out of reach; the command says so.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, or_, select, update

from annoy_store.analysis.lineage_edges import STAGES_OF
from annoy_store.analysis.snapshot.query import snapshot_folder
from annoy_store.db.engine import Database
from annoy_store.db.sql import in_values
from annoy_store.db.tables import (
    attempts,
    benchmark_overlaps,
    calls,
    executions,
    io_pairs,
    jobs,
    origins,
    prompts,
    responses,
    samples,
    signatures,
    sources,
    takedowns,
    turn_pairs,
    turns,
    verdicts,
)
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError
from annoy_store.ingest.takedowns import (
    PURGED,
    refresh_hidden,
    samples_under_rules,
    sources_under_rules,
    takedown_rules,
)

PAGE = 5_000


def purge(store: Database, rule_id: int) -> Counter[str]:
    """Blank the texts of what a rule hides; cannot be undone.

    Args:
        store: The store.
        rule_id: Id of the takedown.

    Returns:
        Number of blanked rows by table.

    Raises:
        UsageError: The rule does not exist or was lifted.
    """
    with store.write() as connection:
        if store.is_sqlite:
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        if not any(
            rule.id == rule_id and not rule.lifted_at for rule in takedown_rules(connection)
        ):
            raise UsageError(f"takedown {rule_id} is not in force; see: annoy takedown --list")
        mine = takedowns.c.id == rule_id
        connection.execute(update(takedowns).where(mine).values(purged_at=utc_now()))
        blanked = _blank_all(connection)
        refresh_hidden(connection)
    if store.is_sqlite:
        _empty_log(store)
    shutil.rmtree(snapshot_folder(store), ignore_errors=True)
    return blanked


def _empty_log(store: Database) -> None:
    with store.write_engine.connect() as connection:
        raw: Any = (
            connection.connection.dbapi_connection
        )  # a checkpoint cannot run in a transaction
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _blank_all(connection: Connection) -> Counter[str]:
    gone = list(connection.scalars(sources_under_rules(PURGED)))
    code = list(connection.scalars(samples_under_rules(PURGED)))
    for kind, table, ids in (("source", sources, gone), ("sample", samples, code)):
        _add_rules_by_digest(connection, kind, table, ids)
    blanked: Counter[str] = Counter()
    for page in _pages(gone):
        blanked += _blank_source(connection, page)
    for page in _pages(code):
        blanked += _blank_sample(connection, page)
    for page in _pages(_prompts_of(connection, gone, code)):
        blanked += _blank_prompt(connection, page)
    return +blanked


def _add_rules_by_digest(
    connection: Connection, kind: str, table: Table, ids: Sequence[int]
) -> None:
    """Add rules by digest: purged content stays hidden wherever it is ingested again."""
    known = set(
        connection.scalars(select(takedowns.c.value).where(PURGED, takedowns.c.kind == kind))
    )
    now = utc_now()
    for page in _pages(ids):
        chosen = select(table.c.digest).where(in_values(connection, table.c.id, page))
        rows = [
            {"kind": kind, "value": named, "why": "purged", "created_at": now, "purged_at": now}
            for named in connection.scalars(chosen)
            if named not in known
        ]
        if rows:
            connection.execute(insert(takedowns), rows)


def _pages(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))


def _prompts_of(connection: Connection, gone: Sequence[int], code: Sequence[int]) -> list[int]:
    """Prompts that were asked about purged sources and samples, and about nothing else.

    A turn is about purged code when its source, its sample or one of its pairs' samples is.
    """
    asking = select(turns.c.id, turns.c.prompt_id)
    several = asking.join(turn_pairs, turn_pairs.c.turn_id == turns.c.id).join(
        io_pairs, io_pairs.c.id == turn_pairs.c.io_pair_id
    )
    condemned: dict[int, int] = {}
    for chosen, column, ids in (
        (asking, turns.c.source_id, gone),
        (asking, turns.c.sample_id, code),
        (several, io_pairs.c.sample_id, code),
    ):
        for page in _pages(ids):
            found = connection.execute(chosen.where(in_values(connection, column, page)))
            condemned.update((row.id, row.prompt_id) for row in found)
    asked = set(condemned.values())
    allowed: set[int] = set()
    for page in _pages(sorted(asked)):
        found = connection.execute(asking.where(in_values(connection, turns.c.prompt_id, page)))
        allowed.update(row.prompt_id for row in found if row.id not in condemned)
    return sorted(asked - allowed)


# Blanking ------------------------------------------------------------------------------------


def _set(
    connection: Connection, table: Table, where: ColumnElement[bool], values: Mapping[str, Any]
) -> Counter[str]:
    changed = connection.execute(update(table).where(where).values(**values)).rowcount
    return Counter({table.name: changed})


def _clear_details(connection: Connection, kind: str, page: Sequence[int]) -> None:
    """Clear the details of jobs, which may quote their subject."""
    mine = jobs.c.stage.in_(STAGES_OF[kind]), in_values(connection, jobs.c.subject_id, page)
    connection.execute(update(jobs).where(*mine, jobs.c.detail.is_not(None)).values(detail=None))


def _derived(connection: Connection, kind: str, page: Sequence[int]) -> None:
    mine = signatures.c.kind == kind, in_values(connection, signatures.c.subject_id, page)
    connection.execute(delete(signatures).where(*mine))
    shared = (
        benchmark_overlaps.c.kind == kind,
        in_values(connection, benchmark_overlaps.c.subject_id, page),
    )
    connection.execute(update(benchmark_overlaps).where(*shared).values(evidence=""))


def _blank_source(connection: Connection, page: Sequence[int]) -> Counter[str]:
    _clear_details(connection, "source", page)
    _derived(connection, "source", page)
    found_in = in_values(connection, origins.c.source_id, page)
    _set(connection, origins, found_in, {"metadata": "{}"})
    return _set(connection, sources, in_values(connection, sources.c.id, page), {"content": ""})


def _blank_sample(connection: Connection, page: Sequence[int]) -> Counter[str]:
    _clear_details(connection, "sample", page)
    _derived(connection, "sample", page)
    pairs = list(
        connection.scalars(
            select(io_pairs.c.id).where(in_values(connection, io_pairs.c.sample_id, page))
        )
    )
    for some in _pages(pairs):
        _clear_details(connection, "io_pair", some)
    blanked = _set(
        connection,
        io_pairs,
        in_values(connection, io_pairs.c.sample_id, page),
        {"input": "null", "output": "null"},
    )
    ran = in_values(connection, executions.c.sample_id, page)
    blanked += _set(connection, executions, ran, {"error_message": None, "draws": None})
    empty = {"problem_statement": "", "io_requirements": "", "refcode": "", "input_generator": None}
    return blanked + _set(connection, samples, in_values(connection, samples.c.id, page), empty)


def _blank_prompt(connection: Connection, page: Sequence[int]) -> Counter[str]:
    asked = list(
        connection.scalars(select(calls.c.id).where(in_values(connection, calls.c.prompt_id, page)))
    )
    blanked = _set(
        connection, prompts, in_values(connection, prompts.c.id, page), {"messages": "[]"}
    )
    for some in _pages(asked):
        blanked += _blank_calls(connection, some)
    return blanked


def _blank_calls(connection: Connection, page: Sequence[int]) -> Counter[str]:
    _clear_details(connection, "call", page)
    tried = in_values(connection, attempts.c.call_id, page)
    _set(connection, attempts, tried, {"error_message": None, "reasoning": None})
    _set(connection, attempts, and_(tried, attempts.c.text.is_not(None)), {"text": ""})
    mine = in_values(connection, responses.c.call_id, page)
    answers = list(connection.scalars(select(responses.c.id).where(mine)))
    _clear_details(connection, "response", answers)
    judged = in_values(connection, verdicts.c.response_id, answers)
    judged_ids = list(connection.scalars(select(verdicts.c.id).where(judged)))
    _clear_details(connection, "verdict", judged_ids)
    blanked = _set(connection, responses, mine, {"text": "", "reasoning": None})
    blanked += _set(connection, verdicts, judged, {"predicted": None, "got": None, "feedback": ""})
    ran = or_(in_values(connection, executions.c.response_id, answers))
    _set(connection, executions, ran, {"error_message": None, "draws": None})
    return blanked

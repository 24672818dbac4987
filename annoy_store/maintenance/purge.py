"""Purge: blank the texts of rows that were taken down, irreversibly.

Decisions
- Rows, digests, lengths and numbers stay as tombstones, for other rows refer to them. The digests
  of what was purged, and of its text alone, are kept in `purged_digests`: the same content is hidden
  or refused wherever it comes from, and whatever language or generator it is stored with.
- Only what purged rules alone hide is blanked. What another source still allows is kept, and so is
  a prompt, with its answers, that was asked about something allowed too.
- What workers and batches are doing with it is given up: a job that was claimed meanwhile writes
  nothing, and the line of a batch is not read.
- Freed pages of a SQLite file are overwritten and its log is truncated. On PostgreSQL old row
  versions disappear with the next VACUUM. Copies elsewhere (backups, exports, batch files at a
  provider) are out of reach; the command says so.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    case,
    delete,
    exists,
    literal_column,
    null,
    or_,
    select,
    update,
)

from annoy_store.analysis.lineage_edges import STAGES_OF
from annoy_store.analysis.snapshot.query import snapshot_folder
from annoy_store.db.engine import Database
from annoy_store.db.hidden import (
    load_rules,
    lock_rules,
    purged_digest_set,
    refresh_hidden,
    samples_under,
    sources_under,
)
from annoy_store.db.sql import in_values, insert_new
from annoy_store.db.tables import (
    annotation_log,
    attempts,
    batch_items,
    benchmark_overlaps,
    calls,
    executions,
    io_pairs,
    jobs,
    origins,
    prompts,
    purged_digests,
    responses,
    sample_origins,
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
from annoy_store.ingest.codeio.questions import read_question
from annoy_store.ingest.takedowns import takedown_rules
from annoy_store.maintenance.digests import fill_digests
from annoy_store.maintenance.tombstones import BLANK, blank_row
from annoy_store.queue.counters import NO_WORKER, add_to_counters, state_change
from annoy_store.records.digests import text_digest

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
        lock_rules(connection, shared=False)
        blanked = blank_purged(connection)
        refresh_hidden(connection)
    forget_copies(store)
    return blanked


def forget_copies(store: Database) -> None:
    """Remove what the log of a SQLite file and the snapshot of `annoy sql` keep of old texts."""
    if store.is_sqlite:
        _empty_log(store)
    shutil.rmtree(snapshot_folder(store), ignore_errors=True)


def _empty_log(store: Database) -> None:
    with store.write_engine.connect() as connection:
        raw: Any = (
            connection.connection.dbapi_connection
        )  # a checkpoint cannot run in a transaction
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def blank_purged(connection: Connection) -> Counter[str]:
    """Blank what rules with purged texts hide, in the transaction that changed rules or rows.

    Returns:
        Number of rows by table whose texts were still there.
    """
    rules = load_rules(connection, purged=True)
    if not rules.values and not connection.scalar(select(exists(select(purged_digests.c.kind)))):
        return Counter()
    gone = list(connection.scalars(sources_under(connection, rules)))
    code = list(connection.scalars(samples_under(connection, rules)))
    insert_new(connection, purged_digests, digests_to_refuse(connection, gone, code))
    blanked: Counter[str] = Counter()
    for page in _pages(gone):
        blanked += _blank_source(connection, page)
    for page in _pages(code):
        blanked += _blank_sample(connection, page)
    for page in _pages(prompts_about(connection, gone, code) + _loose_prompts(connection)):
        blanked += _blank_prompt(connection, page)
    return +blanked


def digests_to_refuse(
    connection: Connection, gone: Sequence[int], code: Sequence[int]
) -> list[dict[str, str]]:
    """Return the rows of `purged_digests` by which content is refused wherever it comes from.

    Args:
        connection: A connection to the store that still has the texts.
        gone: Ids of purged sources.
        code: Ids of purged samples.
    """
    now, named = utc_now(), set()
    for kind, text, ids in (
        ("source", sources.c.content, gone),
        ("sample", samples.c.refcode, code),
    ):
        for page in _pages(ids):
            mine = in_values(connection, text.table.c.id, page)
            chosen = select(text.table.c.digest, text).where(mine)
            for digest, content in connection.execute(chosen):
                named.add((kind, digest))
                if content.strip():
                    named.add(("text", text_digest(content)))
    return [{"kind": kind, "digest": digest, "purged_at": now} for kind, digest in sorted(named)]


def _loose_prompts(connection: Connection) -> list[int]:
    """Imported prompts that are linked to nothing yet, and that show purged code."""
    texts = purged_digest_set(connection, "text")["text"]
    chosen = select(prompts.c.id, prompts.c.messages).where(
        ~exists().where(turns.c.prompt_id == prompts.c.id),
        prompts.c.messages != BLANK[prompts]["messages"],
    )
    found = []
    for key, messages in connection.execute(chosen.execution_options(yield_per=PAGE)):
        question = read_question(json.loads(messages))
        if question is not None and text_digest(question.code) in texts:
            found.append(key)
    return found


def _pages(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))


def prompts_about(connection: Connection, gone: Sequence[int], code: Sequence[int]) -> list[int]:
    """Return the prompts that were asked about some sources and samples, and about nothing else.

    A turn is about purged code when its source, its sample or one of its pairs' samples is.

    Args:
        connection: A connection to the store.
        gone: Ids of purged sources.
        code: Ids of purged samples.
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


def _blank(connection: Connection, column: Column[Any], ids: Sequence[int]) -> Counter[str]:
    """Blank the rows with one of some ids in a column that hold a text yet, and count them."""
    table = column.table
    held = {
        n: table.c[n].is_distinct_from(v) & table.c[n].is_not(None) for n, v in BLANK[table].items()
    }
    blank = {n: case((table.c[n].is_(None), null()), else_=v) for n, v in BLANK[table].items()}
    mine = in_values(connection, column, ids)
    changed = connection.execute(
        update(table).where(mine, or_(*held.values())).values(blank)
    ).rowcount
    return Counter({table.name: changed})


def _end_jobs(connection: Connection, kind: str, page: Sequence[int]) -> None:
    """Take claimed jobs from their workers, and clear details of jobs, which may quote a text."""
    mine = jobs.c.stage.in_(STAGES_OF[kind]), in_values(connection, jobs.c.subject_id, page)
    connection.execute(update(jobs).where(*mine, jobs.c.detail.is_not(None)).values(detail=None))
    ended = (
        update(jobs)
        .where(*mine, jobs.c.state == literal_column("'claimed'"))
        .values(
            state=literal_column("'rejected'"), reason="not_wanted", worker_id=None, claimed_at=None
        )
        .returning(jobs.c.stage)
    )
    stages = Counter(connection.scalars(ended))
    add_to_counters(connection, NO_WORKER, state_change(stages, "claimed", "rejected"))


def _derived(connection: Connection, kind: str, page: Sequence[int]) -> None:
    mine = signatures.c.kind == kind, in_values(connection, signatures.c.subject_id, page)
    connection.execute(delete(signatures).where(*mine))
    shared = (
        benchmark_overlaps.c.kind == kind,
        in_values(connection, benchmark_overlaps.c.subject_id, page),
    )
    connection.execute(update(benchmark_overlaps).where(*shared).values(evidence=""))


def _blank_marks(connection: Connection, column: Column[Any], page: Sequence[int]) -> None:
    """Blank the tags and notes on rows that belong to some sources, samples or prompts."""
    named = connection.scalars(
        select(column.table.c.digest).where(in_values(connection, column, page))
    )
    mine = in_values(connection, annotation_log.c.root, list(named))
    connection.execute(update(annotation_log).where(mine).values(BLANK[annotation_log]))


def _ids(connection: Connection, column: Column[Any], page: Sequence[int]) -> list[int]:
    """The ids of the rows that refer to others by a column."""
    return list(
        connection.scalars(select(column.table.c.id).where(in_values(connection, column, page)))
    )


def _blank_source(connection: Connection, page: Sequence[int]) -> Counter[str]:
    _end_jobs(connection, "source", page)
    _derived(connection, "source", page)
    _blank_marks(connection, sources.c.id, page)
    mine = in_values(connection, origins.c.source_id, page)
    for origin in connection.execute(select(origins).where(mine)).mappings().all():
        blank = blank_row(origins, dict(origin))
        if blank != dict(origin):
            this = update(origins).where(origins.c.id == origin["id"])
            connection.execute(this.values(metadata=blank["metadata"]))
    return _blank(connection, sources.c.id, page)


def _blank_sample(connection: Connection, page: Sequence[int]) -> Counter[str]:
    _end_jobs(connection, "sample", page)
    _derived(connection, "sample", page)
    _blank_marks(connection, samples.c.id, page)
    for some in _pages(_ids(connection, io_pairs.c.sample_id, page)):
        _end_jobs(connection, "io_pair", some)
    _blank(connection, sample_origins.c.sample_id, page)
    blanked = _blank(connection, io_pairs.c.sample_id, page)
    blanked += _blank(connection, executions.c.sample_id, page)
    return blanked + _blank(connection, samples.c.id, page)


def _blank_prompt(connection: Connection, page: Sequence[int]) -> Counter[str]:
    _blank_marks(connection, prompts.c.id, page)
    blanked = _blank(connection, prompts.c.id, page)
    for some in _pages(_ids(connection, calls.c.prompt_id, page)):
        blanked += _blank_calls(connection, some)
    return blanked


def _blank_calls(connection: Connection, page: Sequence[int]) -> Counter[str]:
    _end_jobs(connection, "call", page)
    asked = in_values(connection, batch_items.c.call_id, page)
    connection.execute(update(batch_items).where(asked).values(is_open=0, is_read=1))
    _blank(connection, attempts.c.call_id, page)
    answers = _ids(connection, responses.c.call_id, page)
    _end_jobs(connection, "response", answers)
    _end_jobs(connection, "verdict", _ids(connection, verdicts.c.response_id, answers))
    fill_digests(connection, responses, answers)
    blanked = _blank(connection, responses.c.id, answers)
    blanked += _blank(connection, verdicts.c.response_id, answers)
    return blanked + _blank(connection, executions.c.response_id, answers)

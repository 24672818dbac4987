"""Purges leave no text of what was taken down, and every row."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, insert, select, text, update

from annoy_store.db.engine import Database
from annoy_store.db.hidden import hidden_ids
from annoy_store.db.tables import (
    annotation_log,
    batch_items,
    batches,
    io_pairs,
    jobs,
    prompts,
    responses,
    samples,
    sources,
    turn_pairs,
)
from annoy_store.errors import UsageError
from annoy_store.ingest.takedowns import (
    lift,
    take_down,
    takedown_rules,
)
from annoy_store.interfaces import NewRow, done
from annoy_store.maintenance.check import check, recount
from annoy_store.maintenance.purge import purge
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.jobs import Claim, JobResult, settle
from annoy_store.queue.variants import load_plan
from annoy_store.queue.workers import register_worker
from annoy_store.records.annotations import Mark, set_mark
from annoy_store.stages import PIPELINE
from tests.support import chains, factories
from tests.support.marks import BAD
from tests.support.takedown_stores import sources_in_two_repositories

pytestmark = pytest.mark.slow_on("postgres")


KEEP_ANSWERS_BESIDE_ATTEMPTS = """
    INSERT INTO attempts (call_id, teacher_id, worker_id, started_at, latency_ms, status, text,
                          reasoning)
    SELECT c.id, (SELECT MAX(id) FROM teachers), 0, '', 0, 'retry', p.messages, p.messages
    FROM calls c JOIN prompts p ON p.id = c.prompt_id
"""


def purged(store: Database, repo: str) -> dict[str, int]:
    with store.write() as connection:
        take_down(connection, "repo", repo, "asked")
        rule = takedown_rules(connection)[-1]
    return dict(purge(store, rule.id))


def texts(connection: Connection, names: str) -> list[str]:
    """Every text in any table that contains one of these names."""
    found = []
    for table in (
        "sources",
        "samples",
        "prompts",
        "responses",
        "io_pairs",
        "verdicts",
        "executions",
        "origins",
        "attempts",
        "jobs",
        "annotation_log",
    ):
        for row in connection.execute(text(f"SELECT * FROM {table}")).mappings():
            words = " ".join(str(v) for k, v in row.items() if k not in ("repo", "path", "digest"))
            found += [f"{table} {row}"] * (names in words)
    return found


def test_purge_leaves_no_text_and_every_row(store: Database) -> None:
    chains.fill(store, ("zebra", "bee"))
    with store.write() as connection:
        connection.execute(text(KEEP_ANSWERS_BESIDE_ATTEMPTS))
    with store.read() as connection:
        count = "SELECT (SELECT COUNT(*) FROM sources), (SELECT COUNT(*) FROM responses)"
        before = connection.execute(text(count)).one()
        assert texts(connection, "zebra")
        others = texts(connection, "bee")
    blanked = purged(store, "team/zebra")
    assert {"sources", "samples", "prompts", "responses", "io_pairs", "verdicts"} <= set(blanked)
    changed = {found.table for found in check(store) if "digest" in found.what}
    assert not changed & {"sources", "samples", "origins", "prompts"}
    with store.read() as connection:
        assert texts(connection, "zebra") == []
        assert texts(connection, "bee") == others
        assert connection.execute(text(count)).one() == before
        assert connection.scalar(select(sources.c.n_chars).where(sources.c.content == "")) > 0


def test_purge_leaves_nothing_in_the_file(sqlite_store: Database) -> None:
    secret = "a password that nobody should ever have committed"
    with sqlite_store.write() as connection:
        factories.write_all(connection, [factories.origin(factories.source(secret), "team/leak")])
    purged(sqlite_store, "team/leak")
    sqlite_store.close()
    assert sqlite_store.path is not None
    for path in sqlite_store.path.parent.glob(f"{sqlite_store.path.name}*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


def test_purged_content_stays_hidden_when_ingested_again(store: Database) -> None:
    chains.fill(store, ("zebra",))
    purged(store, "team/zebra")
    chains.fill(store, ("zebra",), repo="team/other")
    with store.write() as connection:
        assert [len(v) for v in hidden_ids(connection).values()] == [1, 1]
        assert texts(connection, "zebra") == []
        with pytest.raises(UsageError, match="purged"):
            lift(connection, "repo", "team/zebra")


def test_purge_spares_what_another_source_allows(store: Database) -> None:
    ids = sources_in_two_repositories(store)
    with store.write() as connection:
        red = factories.asked("shared?", about="red", source_id=ids["one"])
        blue = factories.asked("shared?", about="blue", source_id=ids["two"])
        factories.write_all(connection, [*red, *blue, factories.response(blue[-1], "shared!")])
    purged(store, "team/blue")
    with store.read() as connection:
        assert sorted(connection.scalars(select(sources.c.content))) == ["", "one"]
        assert connection.scalar(select(responses.c.text)) == "shared!"
        assert "shared?" in str(connection.scalar(select(prompts.c.messages)))
        assert sorted(len(c) > 0 for c in connection.scalars(select(samples.c.refcode))) == [
            False,
            True,
        ]


def test_purge_blanks_a_question_that_shows_a_purged_pair(store: Database) -> None:
    chains.fill(store, ("zebra", "bee"))
    with store.write() as connection:
        chosen = select(samples.c.id).where(samples.c.problem_statement.contains("bee"))
        bee = connection.scalar(chosen)
        zebra = connection.scalar(select(io_pairs.c.id).where(io_pairs.c.sample_id != bee))
        turn, *_ = factories.asked("zebra and bee?", "induce_function", "both", sample_id=bee)
        shown = {"turn_id": turn, "io_pair_id": zebra, "role": "shown"}
        factories.write_all(connection, [NewRow(turn_pairs, shown)])
    purged(store, "team/zebra")
    with store.read() as connection:
        assert texts(connection, "zebra") == []


def test_purge_spares_what_another_rule_hides(store: Database) -> None:
    """A text that is hidden by a rule that can be lifted is kept when something else is purged."""
    ids = sources_in_two_repositories(store)
    with store.write() as connection:
        take_down(connection, "licence", "mit", "for now")
        assert lift(connection, "licence", "mit").shown == 0
        take_down(connection, "licence", "mit", "for now")
    purged(store, "team/blue")
    with store.write() as connection:
        assert hidden_ids(connection)["source"] == set(ids.values())
        assert sorted(connection.scalars(select(sources.c.content))) == ["", "one"]
        lift(connection, "licence", "mit")
        assert hidden_ids(connection)["source"] == {ids["two"]}


def test_purge_rejects_a_lifted_rule(sqlite_store: Database) -> None:
    sources_in_two_repositories(sqlite_store)
    with sqlite_store.write() as connection:
        take_down(connection, "repo", "team/blue", "asked")
        lift(connection, "repo", "team/blue")
    with pytest.raises(UsageError, match="not in force"):
        purge(sqlite_store, 1)


def test_purge_takes_what_workers_and_batches_are_doing(store: Database) -> None:
    """An answer that comes afterwards is not written."""
    with store.write() as connection:
        source = factories.source("zebra")
        turn, call = factories.asked("zebra?", about="zebra", source_id=source)
        rows = [factories.origin(source, "team/zebra"), turn, call]
        call_id = factories.write_all(connection, rows)["calls"][0]
        plan = load_plan(connection, PIPELINE)
        enqueue_all(connection, plan)
        worker = register_worker(connection, ["complete"], 60.0)
        row = {"name": "b", "teacher_id": 0, "state": "sent", "created_at": "now"}
        connection.execute(insert(batches).values(row))
        connection.execute(insert(batch_items).values(batch_id=1, call_id=call_id, is_open=1))
        mine = jobs.c.stage == "complete", jobs.c.subject_id == call_id
        variant = connection.scalar(select(jobs.c.variant_id).where(*mine))
        connection.execute(
            update(jobs).where(*mine).values(state="claimed", worker_id=worker, attempts=1)
        )
        recount(connection)
    purged(store, "team/zebra")
    answer = factories.response(call_id, "of zebra")
    ended = JobResult(Claim("complete", call_id, variant, 1), done(answer))
    with store.write() as connection:
        assert settle(connection, worker, [ended], plan).accepted == []
        assert texts(connection, "zebra") == []
        item = connection.execute(select(batch_items.c.is_open, batch_items.c.is_read)).one()
        assert tuple(item) == (0, 1)
    assert [f for f in check(store) if f.table == "job_counters"] == []


def test_purge_blanks_the_marks_of_all_that_it_blanks(store: Database) -> None:
    chains.fill(store, ("zebra", "bee"))
    with store.write() as connection:
        before = []
        for kind in ("source", "origin", "sample", "io_pair", "prompt", "turn", "response"):
            table = {"source": sources, "sample": samples}.get(kind)
            name = table.name if table is not None else f"{kind}s"
            for key in connection.scalars(text(f"SELECT id FROM {name} ORDER BY id")).all():
                note = Mark("note", f"{kind} {key} quotes zebra")
                set_mark(connection, kind, key, note, "ann")
                before.append((kind, key))
        set_mark(connection, "sample", 1, BAD, "ann")
    purged(store, "team/zebra")
    with store.read() as connection:
        left = {row.value for row in connection.execute(select(annotation_log))}
        hidden = connection.scalars(select(sources.c.id).where(sources.c.content == "")).all()
        assert len(left) == len(before) // 2 + 1 + (len(before) % 2)
        assert not {f"source {key} quotes zebra" for key in hidden} & left
        shown = connection.execute(text("SELECT value FROM v_annotations")).all()
        assert len(shown) == len(before) // 2
    assert check(store) == []

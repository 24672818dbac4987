"""Enqueueing: every selected subject gets one job, however late its row is committed."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import committed_upto, insert_new
from annoy_store.db.tables import calls, commit_horizons, job_counters, jobs, sources, watermarks
from annoy_store.interfaces import NewRow, done
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs as job_queue
from annoy_store.queue import selection
from annoy_store.queue.counters import funnel
from annoy_store.queue.enqueue import (
    count_wanted,
    enqueue_again,
    enqueue_all,
    enqueue_new,
    enqueue_page,
)
from annoy_store.queue.jobs import Claim
from annoy_store.queue.variants import load_plan
from annoy_store.queue.watermarks import move_watermark, rewind_watermark
from annoy_store.queue.workers import register_worker
from annoy_store.records.policy import load_policy
from annoy_store.stages import PIPELINE, stages_named
from annoy_store.tasks.policy import set_policy
from tests.support.factories import asked, io_pair, response, sample, source
from tests.support.query_plans import explained, scans, watched
from tests.support.small_pipeline import SPREAD, TOYS, add_sources, plan


def entered(connection: Connection) -> set[tuple[str, int, int]]:
    found = connection.execute(select(jobs.c.stage, jobs.c.subject_id, jobs.c.variant_id))
    return {tuple(row) for row in found}  # type: ignore[misc]


def forget_jobs(connection: Connection) -> None:
    for table in (jobs, job_counters, watermarks, commit_horizons):
        connection.execute(delete(table))


def everything() -> list[NewRow]:
    """Rows that make work for every stage."""
    rows: list[NewRow] = []
    for n in range(3):
        of = source(f"x = {n}")
        turn, call = asked(f"rewrite {n}", about=str(n), source_id=of)
        rows += [of, turn, call, response(call, f"text {n}")]
        made = sample(f"def main_solution(x):\n    return x + {n}\n")
        pair = io_pair(made, {"x": n}, n)
        rows += [made, pair, *asked(f"predict {n}", "predict_output", str(n), io_pair_id=pair)]
        turn, call = asked(f"invert {n}", "predict_input", str(n), io_pair_id=pair)
        rows += [turn, call, response(call, "{}")]
    return rows


def test_enqueue_new_agrees_with_enqueue_all(store: Database) -> None:
    with store.write() as connection:
        agenda = load_plan(connection, PIPELINE)
        touched = insert_rows(connection, everything())
        counts = enqueue_new(connection, agenda, touched)
        restricted = entered(connection)
        assert enqueue_all(connection, agenda).total() == 0
        forget_jobs(connection)
        assert enqueue_all(connection, agenda) == counts
        assert entered(connection) == restricted
        assert {stage for stage, _, _ in restricted} == {
            "transform",
            "complete",
            "parse",
            "generate",
            "verify",
        }


def test_enqueue_all_again_enters_nothing_and_reads_nothing(store: Database) -> None:
    add_sources(store, 5)
    agenda = plan(store)
    with store.write() as connection:
        assert enqueue_all(connection, agenda).total() == 0
        assert connection.scalar(
            select(watermarks.c.upto).where(watermarks.c.stage == "spread")
        ) == connection.scalar(select(func.max(sources.c.id)))
    add_sources(store, 2, start=5)
    with store.write() as connection:
        assert count_wanted(connection, SPREAD, agenda.policy) == 2
        assert enqueue_all(connection, agenda) == {"spread": 2, "answer": 0, "judge": 0}
        assert funnel(connection) == {"spread": {"pending": 7}}


def test_enqueue_page_by_page_is_enqueue_all(store: Database) -> None:
    add_sources(store, 10)
    sizes = []
    with store.write() as connection:
        agenda = load_plan(connection, TOYS)
        more = True
        while more:
            counts, more = enqueue_page(connection, agenda, page=4)
            sizes.append(counts["spread"])
    assert sizes == [4, 4, 2]


def test_partitions_are_told_apart(store: Database) -> None:
    with store.write() as connection:
        agenda = load_plan(connection, PIPELINE)
        insert_rows(connection, everything())
        enqueue_all(connection, agenda)
        kinds = {case.variant_id: case.columns["kind"] for case in agenda.partitions["complete"]}
        found = {kinds[v] for stage, _, v in entered(connection) if stage == "complete"}
    assert found == {"predict_output"}  # the other calls are answered


def test_new_variant_applies_to_new_rows_until_enqueue_again(store: Database) -> None:
    add_sources(store, 2)
    with store.write() as connection:
        old = load_plan(connection, PIPELINE)
        enqueue_all(connection, old)
        worker = register_worker(connection, ["transform"], 30)
        claims = job_claims.claim(connection, worker, "transform", *old.variant_ids("transform"), 9)
        job_queue.settle(connection, worker, [job_queue.JobResult(c, done()) for c in claims], old)
        set_policy(connection, {"max_prompt_chars": "5000"})
        new = load_plan(connection, PIPELINE)
        assert new.variant_ids("transform") != old.variant_ids("transform")
        assert enqueue_all(connection, new).total() == 0
        assert enqueue_again(connection, new, stages_named("transform")[0]) == 2
        assert enqueue_again(connection, new, stages_named("transform")[0]) == 0
        assert funnel(connection) == {"transform": {"done": 2, "pending": 2}}


def test_rescan_on_examines_old_rows_again(store: Database) -> None:
    wide = dataclasses.replace(SPREAD, rescan_on=("max_turns",), select=_only_up_to_max_turns)
    add_sources(store, 4)
    with store.write() as connection:
        agenda = load_plan(connection, [wide])
        assert enqueue_all(connection, agenda)["spread"] == 2
        set_policy(connection, {"max_turns": "4"})
        assert count_wanted(connection, wide, load_policy(connection)) == 2
        assert enqueue_all(connection, load_plan(connection, [wide]))["spread"] == 2


def test_rewind_watermark_examines_passed_rows_again(store: Database) -> None:
    add_sources(store, 6)
    agenda = plan(store)
    entered_before = len(_jobs(store))
    with store.write() as connection:
        connection.execute(delete(jobs).where(jobs.c.subject_id.in_([2, 5])))
        assert not enqueue_all(connection, agenda)["spread"]
        rewind_watermark(connection, TOYS, sources, 5)
        assert enqueue_all(connection, agenda)["spread"] == 1
    with store.write() as connection:
        rewind_watermark(connection, TOYS, sources, 2)
        # One who read the watermark before it was taken back leaves it there.
        move_watermark(connection, SPREAD, agenda.policy, 6, 7)
        assert enqueue_all(connection, agenda)["spread"] == 1
    assert len(_jobs(store)) == entered_before


def _jobs(store: Database) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(jobs)))


def _only_up_to_max_turns(policy: Any) -> Any:
    wanted = select(sources.c.id.label("subject_id"), sources.c.content)
    return wanted.where(sources.c.id <= policy.max_turns)


def test_statements_are_cached(store: Database) -> None:
    add_sources(store, 1)
    plan(store)
    before = selection.jobs_between.cache_info()
    for _ in range(3):
        plan(store)
    after = selection.jobs_between.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits


# Rows that are committed late ----------------------------------------------------------------


def rows(*contents: str) -> list[dict[str, Any]]:
    return [dict(source(content).values) for content in contents]


def test_enqueue_all_finds_a_row_committed_late(postgres_store: Database) -> None:
    """A long transaction takes low ids, others take higher ones and are planned before it ends."""
    late = postgres_store.write_engine.connect()
    with late.begin() as transaction:
        insert_new(late, sources, rows(*(f"late {i}" for i in range(3000))))
        add_sources(postgres_store, 10)
        agenda = plan(postgres_store)
        for _ in range(3):
            agenda = plan(postgres_store)
            with postgres_store.read() as connection:
                assert committed_upto(connection, sources.c.id) == 0
        transaction.commit()
    late.close()
    with postgres_store.write() as connection:
        assert enqueue_all(connection, agenda)["spread"] == 3000
        assert enqueue_all(connection, agenda)["spread"] == 0
        assert committed_upto(connection, sources.c.id) == connection.scalar(
            select(func.max(sources.c.id))
        )


def test_commit_horizon_moves_while_there_is_always_a_writer(postgres_store: Database) -> None:
    writer = postgres_store.write_engine.connect()
    writer.begin()
    insert_new(writer, sources, rows("0"))
    seen = []
    for i in range(1, 5):
        plan(postgres_store)
        another = postgres_store.write_engine.connect()
        another.begin()
        insert_new(another, sources, rows(f"{i}"))
        writer.commit()
        writer.close()
        writer = another
        plan(postgres_store)
        with postgres_store.read() as connection:
            seen.append(committed_upto(connection, sources.c.id))
    writer.close()
    assert seen == sorted(seen)
    assert seen[-1] > 0


def test_enqueue_by_two_at_once_does_not_collide(postgres_store: Database) -> None:
    add_sources(postgres_store, 20)
    with postgres_store.write() as connection:
        agenda = load_plan(connection, TOYS)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                postgres_store.transact(lambda c: enqueue_all(c, agenda))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with postgres_store.read() as connection:
        assert funnel(connection) == {"spread": {"pending": 20}}


# How the databases find what is missing ------------------------------------------------------


LARGE = (
    "sources",
    "prompts",
    "calls",
    "responses",
    "samples",
    "io_pairs",
    "turns",
    "jobs",
    "verdicts",
)


@pytest.mark.parametrize("name", [stage.name for stage in PIPELINE])
def test_load_rows_looks_rows_up_by_key(store: Database, name: str) -> None:
    """Planning for the rows just written, and loading what was claimed."""
    stage = stages_named(name)[0]
    with store.write() as connection:
        agenda = load_plan(connection, [stage])
        insert_rows(connection, everything())
        claims = [Claim(name, i, agenda.variant_ids(name)[0], 1) for i in (1, 2, 3)]
        with watched(store, "INSERT INTO jobs", "SELECT") as statements:
            enqueue_new(connection, agenda, {stage.trigger.table.name: [1, 2, 3]})
            job_claims.load_rows(connection, agenda, stage, claims)
        assert len(statements) == 2
        for statement in statements:
            assert scans(explained(connection, *statement), *LARGE) == []


def test_partitions_of_calls_are_by_pinned_teacher(store: Database) -> None:
    with store.write() as connection:
        insert_rows(connection, everything())
        assert connection.scalar(select(func.count()).where(calls.c.pinned_teacher_id > 0)) == 0

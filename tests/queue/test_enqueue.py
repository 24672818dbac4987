"""Planning: what is wanted is entered once, whoever commits late, however it is found."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, select

from annoy_store.db.engine import Store
from annoy_store.db.insert import write
from annoy_store.db.sql import insert_new, settled_upto
from annoy_store.db.tables import calls, counters, horizons, jobs, sources, watermarks
from annoy_store.interfaces import New, done
from annoy_store.queue import enqueue
from annoy_store.queue import jobs as job_queue
from annoy_store.queue.counters import funnel
from annoy_store.queue.enqueue import (
    count_wanted,
    look_again,
    plan_all,
    plan_new,
    plan_page,
    replan,
)
from annoy_store.queue.jobs import Claim
from annoy_store.queue.variants import draw_up
from annoy_store.queue.workers import enlist
from annoy_store.records.policy import load_policy, set_policy
from annoy_store.stages import PIPELINE, STAGES
from tests.support.factories import asked, io_pair, response, sample, source
from tests.support.query_plans import explained, scans, watched
from tests.support.small_pipeline import SPREAD, TOYS, add_sources, plan


def entered(connection: Connection) -> set[tuple[str, int, int]]:
    found = connection.execute(select(jobs.c.stage, jobs.c.subject_id, jobs.c.variant_id))
    return {tuple(row) for row in found}  # type: ignore[misc]


def forget_jobs(connection: Connection) -> None:
    for table in (jobs, counters, watermarks, horizons):
        connection.execute(delete(table))


def everything() -> list[New]:
    """Rows that make work for every stage."""
    rows: list[New] = []
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


def test_planning_within_the_rows_written_agrees_with_planning_it_all(store: Store) -> None:
    with store.write() as connection:
        agenda = draw_up(connection, PIPELINE)
        touched = write(connection, everything())
        counts = plan_new(connection, agenda, touched)
        restricted = entered(connection)
        assert plan_all(connection, agenda).total() == 0
        forget_jobs(connection)
        assert plan_all(connection, agenda) == counts
        assert entered(connection) == restricted
        assert {stage for stage, _, _ in restricted} == {
            "transform", "complete", "parse", "generate", "verify",
        }  # fmt: skip


def test_planning_again_enters_nothing_and_looks_at_nothing(store: Store) -> None:
    add_sources(store, 5)
    agenda = plan(store)
    with store.write() as connection:
        assert plan_all(connection, agenda).total() == 0
        assert connection.scalar(
            select(watermarks.c.upto).where(watermarks.c.stage == "spread")
        ) == connection.scalar(select(func.max(sources.c.id)))
    add_sources(store, 2, start=5)
    with store.write() as connection:
        assert count_wanted(connection, SPREAD, agenda.policy) == 2
        assert plan_all(connection, agenda) == {"spread": 2, "answer": 0, "judge": 0}
        assert funnel(connection) == {"spread": {"pending": 7}}


def test_pages_together_are_the_whole(store: Store) -> None:
    add_sources(store, 10)
    sizes = []
    with store.write() as connection:
        agenda = draw_up(connection, TOYS)
        more = True
        while more:
            counts, more = plan_page(connection, agenda, page=4)
            sizes.append(counts["spread"])
    assert sizes == [4, 4, 2]


def test_cases_are_told_apart(store: Store) -> None:
    with store.write() as connection:
        agenda = draw_up(connection, PIPELINE)
        write(connection, everything())
        plan_all(connection, agenda)
        kinds = {case.variant_id: case.only["kind"] for case in agenda.cases["complete"]}
        found = {kinds[v] for stage, _, v in entered(connection) if stage == "complete"}
    assert found == {"predict_output"}  # the other calls are answered


def test_a_new_variant_is_for_new_rows_unless_asked(store: Store) -> None:
    add_sources(store, 2)
    with store.write() as connection:
        old = draw_up(connection, PIPELINE)
        plan_all(connection, old)
        worker = enlist(connection, ["transform"], 30)
        claims = job_queue.claim(connection, worker, "transform", *old.claimable("transform"), 9)
        job_queue.settle(connection, worker, [job_queue.Ended(c, done()) for c in claims], old)
        set_policy(connection, {"max_prompt_chars": "5000"})
        new = draw_up(connection, PIPELINE)
        assert new.claimable("transform") != old.claimable("transform")
        assert plan_all(connection, new).total() == 0
        assert replan(connection, new, STAGES["transform"]) == 2
        assert replan(connection, new, STAGES["transform"]) == 0
        assert funnel(connection) == {"transform": {"done": 2, "pending": 2}}


def test_a_wider_reach_looks_at_old_rows_again(store: Store) -> None:
    wide = dataclasses.replace(SPREAD, reach=("max_turns",), wants=_only_up_to_max_turns)
    add_sources(store, 4)
    with store.write() as connection:
        agenda = draw_up(connection, [wide])
        assert plan_all(connection, agenda)["spread"] == 2
        set_policy(connection, {"max_turns": "4"})
        assert count_wanted(connection, wide, load_policy(connection)) == 2
        assert plan_all(connection, draw_up(connection, [wide]))["spread"] == 2


def test_rows_that_were_passed_are_looked_at_again_on_demand(store: Store) -> None:
    add_sources(store, 6)
    agenda = plan(store)
    entered_before = len(_jobs(store))
    with store.write() as connection:
        connection.execute(delete(jobs).where(jobs.c.subject_id.in_([2, 5])))
        assert not plan_all(connection, agenda)["spread"]
        look_again(connection, TOYS, sources, 5)
        assert plan_all(connection, agenda)["spread"] == 1
    with store.write() as connection:
        look_again(connection, TOYS, sources, 2)
        # One who read the watermark before it was taken back leaves it there.
        enqueue._move_watermark(connection, SPREAD, agenda.policy, 6, 7)
        assert plan_all(connection, agenda)["spread"] == 1
    assert len(_jobs(store)) == entered_before


def _jobs(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(jobs)))


def _only_up_to_max_turns(policy: Any) -> Any:
    wanted = select(sources.c.id.label("subject_id"), sources.c.content)
    return wanted.where(sources.c.id <= policy.max_turns)


def test_statements_are_kept(store: Store) -> None:
    add_sources(store, 1)
    plan(store)
    before = enqueue._jobs_between.cache_info()
    for _ in range(3):
        plan(store)
    after = enqueue._jobs_between.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits


# Rows that are committed late ----------------------------------------------------------------


def rows(*contents: str) -> list[dict[str, Any]]:
    return [dict(source(content).values) for content in contents]


def test_a_row_committed_late_is_found(postgres_store: Store) -> None:
    """A long transaction takes low ids, others take higher ones and are planned before it ends."""
    late = postgres_store.writing.connect()
    with late.begin() as transaction:
        insert_new(late, sources, rows(*(f"late {i}" for i in range(3000))))
        add_sources(postgres_store, 10)
        agenda = plan(postgres_store)
        for _ in range(3):
            agenda = plan(postgres_store)
            with postgres_store.read() as connection:
                assert settled_upto(connection, sources.c.id) == 0
        transaction.commit()
    late.close()
    with postgres_store.write() as connection:
        assert plan_all(connection, agenda)["spread"] == 3000
        assert plan_all(connection, agenda)["spread"] == 0
        assert settled_upto(connection, sources.c.id) == connection.scalar(
            select(func.max(sources.c.id))
        )


def test_the_horizon_moves_while_there_is_always_a_writer(postgres_store: Store) -> None:
    writer = postgres_store.writing.connect()
    writer.begin()
    insert_new(writer, sources, rows("0"))
    seen = []
    for i in range(1, 5):
        plan(postgres_store)
        another = postgres_store.writing.connect()
        another.begin()
        insert_new(another, sources, rows(f"{i}"))
        writer.commit()
        writer.close()
        writer = another
        plan(postgres_store)
        with postgres_store.read() as connection:
            seen.append(settled_upto(connection, sources.c.id))
    writer.close()
    assert seen == sorted(seen)
    assert seen[-1] > 0


def test_two_that_plan_at_once_do_not_collide(postgres_store: Store) -> None:
    add_sources(postgres_store, 20)
    with postgres_store.write() as connection:
        agenda = draw_up(connection, TOYS)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                postgres_store.transact(lambda c: plan_all(c, agenda))
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
def test_a_stage_looks_rows_up_by_key(store: Store, name: str) -> None:
    """Planning for the rows just written, and loading what was claimed."""
    stage = STAGES[name]
    with store.write() as connection:
        agenda = draw_up(connection, [stage])
        write(connection, everything())
        claims = [Claim(name, i, agenda.claimable(name)[0], 1) for i in (1, 2, 3)]
        with watched(store, "INSERT INTO jobs", "SELECT") as statements:
            plan_new(connection, agenda, {stage.watches.table.name: [1, 2, 3]})
            job_queue.load(connection, agenda, stage, claims)
        assert len(statements) == 2
        for statement in statements:
            assert scans(explained(connection, *statement), *LARGE) == []


def test_calls_know_their_pins(store: Store) -> None:
    with store.write() as connection:
        write(connection, everything())
        assert connection.scalar(select(func.count()).where(calls.c.pinned_teacher_id > 0)) == 0

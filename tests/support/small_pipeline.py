"""A small pipeline over real tables for tests of the ledger: source -> prompts -> calls -> done.

`spread` makes three prompts of a source, each with its turn and call; `answer` writes a response
to a call; `judge` writes a sample for a response. What a stage does to a row can be replaced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from annoy_store.config import Policy, RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import (
    calls,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    turns,
)
from annoy_store.db.timestamps import utc_now
from annoy_store.interfaces import NewRow, Outcome, Row, Stage, StageContext, done
from annoy_store.prompts.template import load_template
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import StagePlan, load_plan
from annoy_store.records.prompts import prompt_rows
from annoy_store.records.responses import new_response
from annoy_store.records.samples import new_origin, new_sample
from annoy_store.worker.executors import AsyncExecutor, ThreadExecutor
from annoy_store.worker.worker import Worker
from tests.support.factories import source

FAN_OUT = 3


def spread(row: Row, tools: StageContext) -> Outcome:
    rows: list[NewRow] = []
    for n in range(FAN_OUT):
        messages = [{"role": "user", "content": f"{n} {row.get('content', row['digest'])}"}]
        about = f"{n} {row['digest']}"
        rows += prompt_rows(
            messages, load_template("transform"), "transform", 1, about, source_id=row["subject_id"]
        )
    return done(*rows)


def answer(row: Row, tools: StageContext) -> Outcome:
    call, text = row["subject_id"], row["messages"]
    return done(new_response(call, 0, text, finish_reason="stop", created_at=utc_now()))


def judge(row: Row, tools: StageContext) -> Outcome:
    sample = new_sample(row["text"], "main_solution", "", "", None)
    return done(new_origin(sample, row["digest"], response_id=row["subject_id"]))


def _wants_sources(_: Policy) -> Any:
    return select(sources.c.id.label("subject_id"), sources.c.digest, sources.c.content)


def _wants_calls(_: Policy) -> Any:
    return select(
        calls.c.id.label("subject_id"),
        calls.c.pinned_teacher_id,
        prompts.c.digest,
        prompts.c.messages,
    ).join(prompts, prompts.c.id == calls.c.prompt_id)


def _wants_responses(_: Policy) -> Any:
    return (
        select(responses.c.id.label("subject_id"), prompts.c.digest, responses.c.text)
        .join(calls, calls.c.id == responses.c.call_id)
        .join(prompts, prompts.c.id == calls.c.prompt_id)
    )


SPREAD = Stage("spread", _wants_sources, sources.c.id, spread, (prompts, turns, calls))
ANSWER = Stage("answer", _wants_calls, calls.c.id, answer, (responses,))
JUDGE = Stage("judge", _wants_responses, responses.c.id, judge, (samples, sample_origins))
TOYS = (SPREAD, ANSWER, JUDGE)


def doing(stage: Stage, work: Callable[[Row, StageContext], Outcome], **changes: Any) -> Stage:
    """The stage with another way to do its work."""
    return dataclasses.replace(stage, run=work, **changes)


def add_sources(store: Database, n: int, start: int = 0) -> None:
    with store.write() as connection:
        insert_rows(connection, [source(f"x = {i}\n") for i in range(start, start + n)])


def plan(store: Database, pipeline: Sequence[Stage] = TOYS) -> StagePlan:
    """Draw up the agenda and enter what is missing."""
    with store.write() as connection:
        agenda = load_plan(connection, pipeline)
        enqueue_all(connection, agenda)
    return agenda


class ToyWorker(Worker):
    """A worker on toys: its lanes are real, and behind them are neither sandbox nor teachers."""

    def __init__(
        self,
        store: Database,
        pipeline: Sequence[Stage] = TOYS,
        stages: Sequence[Stage] | None = None,
        in_flight: int = 2,
        **options: Any,
    ) -> None:
        run = options.pop("settings", None) or RunSettings()
        super().__init__(store, run, stages or pipeline, pipeline=pipeline, **options)
        self._in_flight = in_flight

    def _open_resources(self) -> None:
        for lane in {stage.executor for stage in self.stages}:
            if lane == "sandbox":
                self._executors[lane] = ThreadExecutor(self._results, self._in_flight)
            elif lane == "async":
                self._executors[lane] = AsyncExecutor(self._results, lambda: self._in_flight)


def unpinned(_: Connection, __: Policy) -> list[dict[str, Any]]:
    """The cases of an asking stage whose calls any teacher may answer."""
    return [{"pinned_teacher_id": 0}]

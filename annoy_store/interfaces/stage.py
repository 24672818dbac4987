"""A stage: one step of the pipeline, and the context that it runs in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, Connection, Select, Table

from annoy_store.config import Policy
from annoy_store.interfaces.outcome import NewRow, Outcome, Row
from annoy_store.interfaces.sandbox import Sandbox
from annoy_store.interfaces.teacher import Teacher

ExecutorName = Literal["inline", "sandbox", "async"]


@dataclass(frozen=True)
class StageContext:
    """The resources that a stage runs with, and the policy that it follows.

    Attributes:
        policy: the policy of the store.
        variant_id: the variant of the stage that the job belongs to.
        sandbox: returns the sandbox, opened by the first call.
        teacher: returns the id and the teacher for a kind of turn and a pinned teacher id (or 0).
        worker_id: the worker that runs the job.
        write_early: stores rows of the job while it is still in progress; None where nothing can.
    """

    policy: Policy
    variant_id: int
    sandbox: Callable[[], Sandbox]
    teacher: Callable[[str, int], tuple[int, Teacher]]
    worker_id: int
    write_early: Callable[[tuple[NewRow, ...]], None] | None = None


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline; a step that exists once per task is one Stage per task.

    Attributes:
        name: the name of the stage.
        select: returns, for a policy, a SELECT of one row per subject: `subject_id` and every
            column that `run` reads.
        trigger: the id column, in the FROM of `select`, of the table whose new rows create jobs.
        run: does the work of one job; a coroutine function for the executor `async`.
        writes: the tables that it may insert into.
        executor: where it runs: `inline` in the worker's own thread, `sandbox` in one of as many
            threads as there are sandbox slots, `async` on the event loop.
        version: part of the variant; changed when the same row would give a different result.
        depends: the policies that the results depend on; with `version` they define the variant.
        rescan_on: the policies that only widen what is selected; when one changes, old rows are
            examined again.
        partitions: returns one dict per partition: labelled columns of `select` and their values.
            The jobs of a partition have their own variant and are claimed separately. None for a
            single partition; an empty list selects nothing.
        task: the name of its task; empty unless the stage exists once per task.
        options: returns further values that the results depend on; part of the variant.
    """

    name: str
    select: Callable[[Policy], Select[Any]]
    trigger: Column[Any]
    run: Callable[[Row, StageContext], Outcome | Awaitable[Outcome]]
    writes: tuple[Table, ...]
    executor: ExecutorName = "inline"
    version: int | str = 1
    depends: tuple[str, ...] = ()
    rescan_on: tuple[str, ...] = ()
    partitions: Callable[[Connection, Policy], list[dict[str, Any]]] | None = None
    task: str = ""
    options: Callable[[Policy], Mapping[str, Any]] | None = None

    @property
    def key(self) -> str:
        """The stage's name, with its task if it has one: unique in a pipeline."""
        return f"{self.name}:{self.task}" if self.task else self.name

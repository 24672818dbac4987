"""A task: one kind of question with a stored ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Column, ColumnElement, Select, Table

from annoy_store.config import Policy
from annoy_store.interfaces.outcome import Outcome, Row
from annoy_store.interfaces.sandbox import ExecutionResult, Sandbox


@dataclass(frozen=True)
class Answer:
    """The text of a response as a task checks it, and its finish reason as stored."""

    text: str
    finish_reason: str = "stop"


@dataclass(frozen=True)
class CheckResult:
    """The result of checking one answer.

    Attributes:
        status: One of the verdict statuses, e.g. `correct`, `wrong`, `no_answer`.
        feedback: Sentences for the next turn; they never reveal the expected value.
        mismatch: How a wrong value differs, one word of `tasks.compare.KINDS`.
        predicted: The final answer as JSON text, shortened if long.
        got: What the code returned for a predicted input, as JSON text, if it ran.
        execution: The sandbox run that the result is based on, if any.
        execution_id: The stored one that it is based on instead.
    """

    status: str
    feedback: str
    mismatch: str | None = None
    predicted: str | None = None
    got: str | None = None
    execution: ExecutionResult | None = None
    execution_id: int | None = None


@dataclass(frozen=True)
class Question:
    """One question of a task.

    Attributes:
        values: The values of the template's placeholders.
        about: Content digest of the question's subject; part of the turn's digest.
        sample_id: The sample that the question is about.
        io_pair_id: The pair that it is about, if it is about one.
        pairs: Ids and roles (e.g. `shown`, `hidden`) of its pairs, if it is about several.
    """

    values: Mapping[str, str]
    about: str
    sample_id: int
    io_pair_id: int | None = None
    pairs: tuple[tuple[int, str], ...] = ()


class TaskOptions(BaseModel):
    """The policies of one task, set as `annoy policy TASK.KEY=VALUE`; descriptions are help."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str = Field(description="prompt template: bundled name, or @FILE")


@dataclass(frozen=True, eq=False)
class Task:
    """One kind of question with a stored ground truth: one file in `tasks/`.

    Attributes:
        name: The task's name: `kind` of its turns and `checker` of its verdicts.
        title: What the question asks for, in words for reports and pages.
        subject: The table whose rows are asked about.
        trigger: The id column, in the FROM of `select`, of the table whose new rows create jobs.
        select: Returns a SELECT of one row per subject: `subject_id` and all that `render` reads.
        render: Returns the question of one row, or the outcome of a row that is not asked about.
        truth: Returns the SELECT of the ground truth: one row per turn (`turn_id`), with `code`,
            `funcname` and all that `check` reads.
        check: Checks an answer against its turn's row of `truth`. Raises SandboxError.
        options: The task's own policies.
        version: Raised whenever questions, verdicts or feedback of the task change.
        rescan_on: Policies that only widen what is selected; a change examines old rows again.
        by_default: Whether the task is enabled when the policy `tasks` is `default`.
        legacy_options: Older policy keys of options, by the option's name.
        known_runs: Returns the column `known_runs` for the rows that `check` gets from `verify`, for
            a policy: stored results that may stand in for a run. Correlated to `turns`.
        revealing: The values of `pair_checks.shown` of pairs whose answer stands in the question.
    """

    name: str
    title: str
    subject: Table
    trigger: Column[Any]
    select: Callable[[Policy], Select[Any]]
    render: Callable[[Row, Policy], Question | Outcome]
    truth: Callable[[], Select[Any]]
    check: Callable[[Answer, Row, Callable[[], Sandbox], Policy], CheckResult]
    options: type[TaskOptions]
    version: int = 1
    rescan_on: tuple[str, ...] = ()
    by_default: bool = False
    legacy_options: Mapping[str, str] = field(default_factory=dict)
    known_runs: Callable[[Policy], ColumnElement[Any]] | None = None
    revealing: tuple[str, ...] = ()

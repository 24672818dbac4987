"""The whole architecture on one page: the types that the parts of the pipeline share.

A stage is one SELECT (the subjects it works on), one function (what it does with one row) and a
tuple of tables (what it may write). The queue enters its jobs, the worker calls its function, and
the rows it returns are written in the transaction that settles the job. Stages meet only in tables.
Resources (a sandbox, teachers) reach a stage through `StageContext`, so each can be replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Column, Connection, Select, Table

from annoy_store.config import Policy

Row = Mapping[str, Any]
JobState = Literal["pending", "claimed", "done", "rejected", "failed", "deferred", "suspect"]
ExecutorName = Literal["inline", "sandbox", "async"]


# What a stage returns ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NewRow:
    """A row to insert unless its natural key exists; a value that is a NewRow stands for its id."""

    table: Table
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How one job ended.

    Attributes:
        state: the new state of the job; `pending` returns it and keeps its rows.
        rows: the rows that it made.
        reason: a word that can be counted (`syntax_error`, `missing_module:sympy`), unless done.
        detail: the sentence that goes with the reason.
    """

    state: JobState
    rows: tuple[NewRow, ...] = ()
    reason: str | None = None
    detail: str | None = None


def done(*rows: NewRow) -> Outcome:
    """Return the outcome of a job that is done and made `rows`."""
    return Outcome("done", rows)


def rejected(reason: str, *rows: NewRow, detail: str | None = None) -> Outcome:
    """Return the outcome of a job whose subject is at fault, in the way that `reason` names."""
    return Outcome("rejected", rows, reason, detail)


def failed(reason: str, *rows: NewRow, detail: str | None = None) -> Outcome:
    """Return the outcome of a job that failed for a reason outside of its subject.

    `annoy retry` requeues it.
    """
    return Outcome("failed", rows, reason, detail)


# The sandbox ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """What one call inside the sandbox may use.

    Attributes:
        cpu_seconds: CPU time; this limit decides.
        wall_seconds: wall time of a call that uses no CPU time (one that sleeps).
        ceiling_seconds: wall time of any call.
        memory_mb: address space, in MiB.
        output_bytes: size of the output as JSON.
        lines: executed lines are counted up to this number; 0 counts none.
    """

    cpu_seconds: float = 5.0
    wall_seconds: float = 15.0
    ceiling_seconds: float = 120.0
    memory_mb: int = 1024
    output_bytes: int = 65_536
    lines: int = 0


@dataclass(frozen=True)
class Program:
    """Untrusted code.

    Attributes:
        code: source of a module that defines `entry`.
        entry: name of the function to call.
        generator: source of `input_generator`, run in the module's namespace, if there is one.
    """

    code: str
    entry: str = "main_solution"
    generator: str | None = None


@dataclass(frozen=True)
class ExecutionResult:
    """The result of one call. A failure of the sandbox itself is no result: it raises SandboxError.

    Attributes:
        outcome: `ok` or one of `exception bad_args missing_module exit no_result cpu_timeout
            wall_timeout memory crash output_too_large not_json bad_frame repeated` (the last of
            `draw` only: the input was drawn before).
        input: the arguments as a JSON object, encoded before the call.
        output: the result as JSON.
        error_type: class of the exception.
        error_message: its message.
        missing_module: the module whose import failed.
        phase: where the call ended: load, generate, call or result.
        lines: executed lines, if they were counted.
        mutated: whether the call changed its arguments.
        cpu_ms: CPU time, milliseconds.
        wall_ms: wall time, milliseconds.
    """

    outcome: str
    input: str | None = None
    output: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    missing_module: str | None = None
    phase: str | None = None
    lines: int | None = None
    mutated: bool = False
    cpu_ms: float = 0.0
    wall_ms: float = 0.0


@dataclass(frozen=True)
class SandboxInfo:
    """Where code runs; stored with every execution, so that results can be traced to it.

    Attributes:
        isolation: isolation level: strong, fallback or minimum.
        runner_version: hash of the program inside the sandbox.
        interpreter: digest of the Python version and the installed packages.
        python: Python version, e.g. 3.11.7.
        packages: installed packages and their versions.
    """

    isolation: str
    runner_version: str
    interpreter: str
    python: str
    packages: Mapping[str, str] = field(default_factory=dict)


class Sandbox(Protocol):
    """Runs untrusted code in other processes. Thread-safe; blocks while all slots are busy."""

    @property
    def info(self) -> SandboxInfo:
        """Where the code runs."""

    @property
    def slots(self) -> int:
        """How many calls run at the same time."""

    def call(
        self,
        program: Program,
        inputs: Sequence[str],
        limits: Limits,
        environment_seed: int = 0,
        *,
        share_process: bool = False,
    ) -> list[ExecutionResult]:
        """Call the entry of a program with each input, each call in a process of its own.

        Args:
            program: the code.
            inputs: JSON objects of keyword arguments.
            limits: what each call may use.
            environment_seed: sets the hash seed, the random seed and the second of the clock.
            share_process: calls that succeed may share one process. That is cheaper, and good only
                for comparing their outputs with those of isolated calls.

        Returns:
            One result per input, in their order.

        Raises:
            SandboxError: the sandbox itself failed.
        """

    def draw(
        self,
        program: Program,
        seeds: Sequence[int],
        limits: Limits,
        known_inputs: Sequence[str] = (),
    ) -> list[ExecutionResult]:
        """Draw one input per seed from the program's generator, and call the entry with it.

        Args:
            program: the code, with a generator.
            seeds: the random seeds.
            limits: what each draw with its call may use.
            known_inputs: inputs as canonical JSON that are not called again: they are `repeated`.

        Returns:
            One result per seed, in their order.

        Raises:
            SandboxError: the sandbox itself failed.
        """

    def close(self) -> None:
        """End all processes of the sandbox."""


# Teachers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TeacherIdentity:
    """Which model answers; equal identities are one row of `teachers`.

    Attributes:
        backend: name of the backend, e.g. openai.
        model: model name as the endpoint knows it.
        base_url: the endpoint; empty for a backend without one.
        parameters: sampling parameters. Never a key.
    """

    backend: str
    model: str
    base_url: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One call as a teacher sees it.

    Attributes:
        call_id: id of the row in `calls`.
        kind: kind of the turn that asks.
        messages: chat messages with `role` and `content`.
        seed: sampling seed, another one per sample number.
        sample_no: number of the answer to the same prompt, from 0.
    """

    call_id: int
    kind: str
    messages: Sequence[Mapping[str, str]]
    seed: int
    sample_no: int = 0


@dataclass(frozen=True)
class Completion:
    """The answer of a teacher.

    Attributes:
        text: the answer.
        finish_reason: why it ended; `length` marks a truncated answer.
        reasoning: the reasoning that the endpoint returned apart from the answer.
        model: model name in the response, if it is there.
    """

    text: str
    finish_reason: str = "stop"
    reasoning: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One HTTP try of a call, as in the table `attempts`; token counts are None if unknown.

    Attributes:
        status: ok, retry, limited, failed or stopped.
        started_at: UTC, as `utc_now` writes it.
        latency_ms: milliseconds until the answer was complete.
        error_class: class of the error, a word that can be counted.
        error_message: the error in words.
        http_status: status code of the response.
        prompt_tokens: billed prompt tokens, the cached ones included.
        cached_tokens: prompt tokens that the provider had cached.
        completion_tokens: billed answer tokens, reasoning included.
        reasoning_tokens: those of the answer tokens that are reasoning.
        model: model name in the response.
    """

    status: str
    started_at: str
    latency_ms: float
    error_class: str | None = None
    error_message: str | None = None
    http_status: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    model: str | None = None


@dataclass(frozen=True)
class CallResult:
    """How one call ended.

    Attributes:
        status: `answered`, `rejected` (the provider refuses this prompt) or `failed`.
        attempts: all tries of the call.
        completion: the answer, if there is one.
        reason: one word, e.g. content_filter, empty, http_400.
        detail: the sentence that goes with the reason.
    """

    status: Literal["answered", "rejected", "failed"]
    attempts: tuple[Attempt, ...]
    completion: Completion | None = None
    reason: str | None = None
    detail: str | None = None


class Teacher(Protocol):
    """A model behind an endpoint, or a program that answers like one."""

    @property
    def identity(self) -> TeacherIdentity:
        """Which model answers."""

    @property
    def capacity(self) -> int:
        """How many calls it is worth having in flight now."""

    async def ask(self, request: Request) -> CallResult:
        """Answer one call, with its own retries and rate limit.

        Raises:
            EndpointUnavailable: the endpoint answers no calls at all (key, credit, unknown model).
            CallPostponed: the teacher sends no more calls. Both carry the attempts made so far.
        """

    def drain(self) -> None:
        """Begin no more tries: waiting calls raise CallPostponed, those in flight finish."""

    async def close(self) -> None:
        """Close the connections."""


# Tasks ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """The text of a response as a task checks it; `finish_reason` `length` marks a truncated one."""

    text: str
    finish_reason: str = "stop"


@dataclass(frozen=True)
class CheckResult:
    """What a check found out about one answer.

    Attributes:
        status: One of the verdict statuses, e.g. `correct`, `wrong`, `no_answer`.
        feedback: Sentences for the next turn; they never tell what is still to be found.
        mismatch: How a wrong value differs, one word of `tasks.compare.KINDS`.
        predicted: The final answer as JSON text, shortened if long.
        got: What the code returned for a predicted input, as JSON text, if it ran.
        execution: The sandbox run that decided, if one did.
    """

    status: str
    feedback: str
    mismatch: str | None = None
    predicted: str | None = None
    got: str | None = None
    execution: ExecutionResult | None = None


@dataclass(frozen=True)
class Question:
    """One question of a task.

    Attributes:
        values: What fills the places of the task's template.
        about: Digest of what is asked about, built from content; part of the turn's digest.
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
    """The policies of one task, set as `annoy policy TASK.KEY=VALUE`; a field's description is help."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str = Field(description="prompt template: bundled name, or @FILE")


@dataclass(frozen=True, eq=False)
class Task:
    """One kind of question about stored truth: one file in `tasks/`.

    Attributes:
        name: The task's name: `kind` of its turns and `checker` of its verdicts.
        title: What the question asks for, in words for reports and pages.
        subject: The table whose rows are asked about.
        trigger: The id column, in the FROM of `select`, of the rows whose arrival makes work.
        select: One row per subject with `subject_id` and all that `render` reads.
        render: One row made into a question, or the outcome that says why it is not asked.
        truth: One row per turn (`turn_id`) with `code`, `funcname` and all that `check` reads.
        check: The answer judged by its turn's row of `truth`. Raises SandboxError.
        options: The task's own policies.
        version: Raised whenever questions, verdicts or sentences of the task change.
        rescan_on: Policies that widen what `select` gives: changed, old rows are looked at again.
        by_default: Whether the task is asked unless the policy `tasks` says otherwise.
        legacy_options: Older policy keys of options, by the option's name.
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


# Stages --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageContext:
    """The resources that a stage runs with, and the policy that it follows.

    Attributes:
        policy: the policy of the store.
        variant_id: the variant of the stage that the job belongs to.
        sandbox: returns the sandbox, opened by the first call.
        teacher: returns the id and the teacher for a kind of turn and a pinned teacher id (or 0).
        worker_id: the worker that runs the job.
    """

    policy: Policy
    variant_id: int
    sandbox: Callable[[], Sandbox]
    teacher: Callable[[str, int], tuple[int, Teacher]]
    worker_id: int


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline, or of a step that is one per task the part of one task.

    Attributes:
        name: the name of the stage.
        select: returns, for a policy, a SELECT of one row per subject: `subject_id` and every
            column that `run` reads.
        trigger: the id column, in the FROM of `select`, of the rows whose arrival makes jobs.
        run: does the work of one job; a coroutine function for the executor `async`.
        writes: the tables whose rows it may make.
        executor: where it runs: `inline` in the worker's own thread, `sandbox` in one of as many
            threads as there are sandbox slots, `async` on the event loop.
        version: part of the variant; changed when the same row would give another result.
        depends: the policies that the results depend on: with `version` they make the variant.
        rescan_on: the policies that only widen what is selected; when one changes, old rows are
            examined again.
        partitions: returns the labelled columns of `select`, with their values, by which the jobs
            of the stage are claimed apart, each a variant of its own; None for one partition, an
            empty list where nothing is selected.
        task: the task that it is about, empty where the stage is not one per task.
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

"""The whole architecture on one page: the shapes that the parts of the pipeline agree on.

A stage is one SELECT (what it wants), one function (what it does to one row) and a tuple of
tables (what it may write). The ledger enters its jobs, the worker calls its function, and the
rows it returns are written in the transaction that settles the job. Stages meet only in tables.
Hands (a sandbox, teachers) reach a stage through `Tools`, so every one of them can be replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sqlalchemy import Column, Connection, Select, Table

from annoy_store.config import Policy

Row = Mapping[str, Any]
JobState = Literal["pending", "claimed", "done", "rejected", "failed", "deferred", "suspect"]
ExecutorName = Literal["inline", "sandbox", "async"]
TURN_KINDS = ("transform", "predict_output", "predict_input")


# What a stage gives back ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NewRow:
    """A row to be written unless its natural key is there; a value may be another New (its id)."""

    table: Table
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How one job ended: its new state, a reason unless it is done, and the rows it made.

    `pending` gives the job back and keeps its rows. `reason` is a word that can be counted
    (`syntax_error`, `missing_module:sympy`); `detail` is the sentence that goes with it.
    """

    state: JobState
    rows: tuple[NewRow, ...] = ()
    reason: str | None = None
    detail: str | None = None


def done(*rows: NewRow) -> Outcome:
    """The work is done and made `rows`."""
    return Outcome("done", rows)


def rejected(reason: str, *rows: NewRow, detail: str | None = None) -> Outcome:
    """The subject is at fault, and `reason` names the fault."""
    return Outcome("rejected", rows, reason, detail)


def failed(reason: str, *rows: NewRow, detail: str | None = None) -> Outcome:
    """We or the world are at fault and gave up; `annoy retry` takes it up again."""
    return Outcome("failed", rows, reason, detail)


# The sandbox ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """What one call inside the sandbox may use; CPU time decides, wall time only stops sleepers."""

    cpu_seconds: float = 5.0
    wall_seconds: float = 15.0
    ceiling_seconds: float = 120.0
    memory_mb: int = 1024
    output_bytes: int = 65_536
    lines: int = 0  # count executed lines up to this many; 0 counts none


@dataclass(frozen=True)
class Program:
    """Untrusted code: a module that defines `entry`, and maybe a generator run in its namespace."""

    code: str
    entry: str = "main_solution"
    generator: str | None = None


@dataclass(frozen=True)
class ExecutionResult:
    """What became of one call.

    `outcome` is `ok` or one of `exception bad_args missing_module exit no_result cpu_timeout
    wall_timeout memory crash output_too_large not_json bad_frame repeated` (the last for draws
    alone: such an input was drawn before). Trouble of the sandbox itself is never an outcome: it
    raises SandboxError. `input` and `output` are JSON texts; `input` is taken before the call,
    `mutated` says that the call changed its arguments.
    """

    outcome: str
    input: str | None = None
    output: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    missing_module: str | None = None
    phase: str | None = None  # load | generate | call | result
    lines: int | None = None
    mutated: bool = False
    cpu_ms: float = 0.0
    wall_ms: float = 0.0


@dataclass(frozen=True)
class SandboxInfo:
    """Where code runs: stored with every execution, so that a result can be told from another's."""

    isolation: str  # strong | fallback | minimum
    runner_version: str
    interpreter: str  # digest of version and installed packages
    python: str  # e.g. 3.11.7
    packages: Mapping[str, str] = field(default_factory=dict)


class Sandbox(Protocol):
    """Runs untrusted code in other processes. Thread-safe; blocks while all slots are busy."""

    @property
    def info(self) -> SandboxInfo: ...

    @property
    def slots(self) -> int: ...

    def call(
        self,
        program: Program,
        inputs: Sequence[str],
        limits: Limits,
        environment_seed: int = 0,
        *,
        share_process: bool = False,
    ) -> list[ExecutionResult]:
        """Call the entry with each of `inputs` (a JSON object of keyword arguments).

        Each call has a process of its own. `together`, those that succeed may share one: cheaper,
        and good only to be compared with what a call gave alone. Another `world` means another
        hash seed, random seed and clock second. Raises SandboxError.
        """

    def draw(
        self,
        program: Program,
        seeds: Sequence[int],
        limits: Limits,
        known_inputs: Sequence[str] = (),
    ) -> list[ExecutionResult]:
        """For each seed, draw an input from the program's generator and call the entry with it.

        An input that equals one of `known` (canonical JSON) is not called: it is `repeated`.
        Raises SandboxError.
        """

    def close(self) -> None: ...


# Teachers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TeacherIdentity:
    """Who answers: equal identities are one row of `teachers`. Never holds a key."""

    backend: str
    model: str
    base_url: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One call as a teacher sees it; `seed` differs per sample number."""

    call_id: int
    kind: str
    messages: Sequence[Mapping[str, str]]
    seed: int
    sample_no: int = 0


@dataclass(frozen=True)
class Completion:
    """What a teacher said. `finish_reason` `length` marks a truncated answer."""

    text: str
    finish_reason: str = "stop"
    reasoning: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One try of a call, for better or worse; token counts are None where nobody told."""

    status: str  # ok | retry | limited | failed | stopped
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
    """The end of one call: an answer, or a reason to reject or fail it; and every try it took.

    `verdict` is `answered`, `rejected` (the provider refuses this prompt) or `failed` (gave up).
    """

    status: Literal["answered", "rejected", "failed"]
    attempts: tuple[Attempt, ...]
    completion: Completion | None = None
    reason: str | None = None  # one word, e.g. content_filter, empty, http_400
    detail: str | None = None


class Teacher(Protocol):
    """A model behind an endpoint, or a program that answers like one."""

    @property
    def identity(self) -> TeacherIdentity: ...

    @property
    def capacity(self) -> int:
        """How many calls it is worth having in flight now (the limiter's present limit)."""

    async def ask(self, request: Request) -> CallResult:
        """Answer one call, with retries and pacing of its own.

        Raises StopRun when the endpoint refuses everybody (key, money, model unknown) and NotNow
        when it asks nothing more; both carry the attempts made until then.
        """

    def drain(self) -> None:
        """Begin no more tries: calls that wait raise NotNow, those in flight come to their end."""

    async def close(self) -> None: ...


# Checkers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckResult:
    """A checker's word on one answer. `got` is what the predicted input gives, if it ran."""

    status: str
    feedback: str
    mismatch: str | None = None
    predicted: str | None = None
    got: str | None = None
    execution: ExecutionResult | None = None


# Stages --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageContext:
    """The hands that a stage works with, and the rules that it works by."""

    policy: Policy
    variant_id: int
    sandbox: Callable[[], Sandbox]
    teacher: Callable[[str, int], tuple[int, Teacher]]  # (kind, pinned id) -> (teacher id, teacher)
    worker_id: int


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    `wants` gives one row per subject; it selects `subject_id` and all that `work` reads.
    `watches` is the id column, in the FROM of `wants`, of the rows whose arrival makes work.
    `depends` are the policies that the results depend on: with `version` they make the variant.
    `reach` are the policies that only widen what is wanted: changed, old rows are looked at again.
    `cases` names the labelled columns by which the jobs of one stage are told apart for claiming.
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
    partitions: Callable[[Connection], list[dict[str, Any]]] | None = None

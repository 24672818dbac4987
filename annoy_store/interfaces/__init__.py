"""The interfaces between the packages: the types that the parts of the pipeline share.

A stage is one SELECT (its subjects), one function (the work on one row) and a tuple of tables (what
it may write). The queue enqueues its jobs, the worker calls its function, and the rows it returns
are inserted in the transaction that settles the job. Stages communicate only through tables.
A stage gets its resources (sandbox, teachers) from `StageContext`, so each can be replaced.
"""

from __future__ import annotations

from annoy_store.interfaces.outcome import (
    JobState,
    NewRow,
    Outcome,
    Row,
    done,
    failed,
    rejected,
)
from annoy_store.interfaces.progress import ShowProgress, show_nothing
from annoy_store.interfaces.sandbox import (
    ExecutionResult,
    Limits,
    Program,
    Sandbox,
    SandboxInfo,
)
from annoy_store.interfaces.stage import (
    ExecutorName,
    Stage,
    StageContext,
)
from annoy_store.interfaces.task import (
    Answer,
    CheckResult,
    Question,
    Task,
    TaskOptions,
)
from annoy_store.interfaces.teacher import (
    Attempt,
    CallResult,
    Completion,
    Request,
    Teacher,
    TeacherIdentity,
)

__all__ = [
    "Answer",
    "Attempt",
    "CallResult",
    "CheckResult",
    "Completion",
    "ExecutionResult",
    "ExecutorName",
    "JobState",
    "Limits",
    "NewRow",
    "Outcome",
    "Program",
    "Question",
    "Request",
    "Row",
    "Sandbox",
    "SandboxInfo",
    "ShowProgress",
    "Stage",
    "StageContext",
    "Task",
    "TaskOptions",
    "Teacher",
    "TeacherIdentity",
    "done",
    "failed",
    "rejected",
    "show_nothing",
]

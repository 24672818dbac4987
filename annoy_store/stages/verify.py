"""verify: check the answer to a prediction question.

selects responses to prediction turns
does    passes the answer to the check of the turn's kind
writes  verdicts, executions
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from annoy_store import tasks
from annoy_store.config import Policy
from annoy_store.db.tables import executions, io_pairs, responses, samples, turns, verdicts
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import clean_text
from annoy_store.interfaces import (
    CheckResult,
    NewRow,
    Outcome,
    Program,
    Row,
    Stage,
    StageContext,
    done,
)
from annoy_store.records.executions import new_execution
from annoy_store.records.queries import answered_turns, not_hidden


def select_subjects(_: Policy) -> Select[Any]:
    """Select the responses to prediction turns whose sample is not taken down."""
    pairs = answered_turns().join(io_pairs, io_pairs.c.id == turns.c.io_pair_id)
    return (
        select(
            responses.c.id.label("subject_id"),
            responses.c.finish_reason,
            responses.c.text,
            turns.c.kind,
            io_pairs.c.input,
            io_pairs.c.output,
            samples.c.refcode,
            samples.c.funcname,
        )
        .select_from(pairs.join(samples, samples.c.id == io_pairs.c.sample_id))
        .where(not_hidden("sample", io_pairs.c.sample_id))
    )


def run(row: Row, tools: StageContext) -> Outcome:
    """Check one answer.

    Raises:
        SandboxError: The sandbox failed, which is never a verdict.
    """
    judged = tasks.named(row["kind"]).check(
        row["text"],
        row["finish_reason"],
        row["input"],
        row["output"],
        Program(row["refcode"], row["funcname"]),
        tools.sandbox,
        tools.policy,
    )
    return done(_verdict(judged, row, tools))


def _verdict(judged: CheckResult, row: Row, tools: StageContext) -> NewRow:
    ran = None
    if judged.execution is not None:
        habitat = tools.sandbox().info
        ran = new_execution(judged.execution, habitat, "verify", response_id=row["subject_id"])
    return NewRow(
        verdicts,
        {
            "response_id": row["subject_id"],
            "checker": row["kind"],
            "variant_id": tools.variant_id,
            "status": judged.status,
            "mismatch": judged.mismatch,
            "execution_id": ran,
            "created_at": utc_now(),
            "predicted": judged.predicted,
            "got": judged.got,
            "feedback": clean_text(judged.feedback),
        },
    )


STAGE = Stage(
    "verify",
    select_subjects,
    trigger=responses.c.id,
    run=run,
    writes=(verdicts, executions),
    executor="sandbox",
    version=tasks.version(),
    depends=("tolerance", "same_integer_part", "cpu_seconds", "wall_seconds", "memory_mb"),
)

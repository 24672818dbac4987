"""Failures grouped by cause, per stage, with a count, an example and a hint.

Decisions
- Failures come from four places: rejected and failed jobs, attempts without an answer, answers
  that are not correct, and pairs that are not stable. The error of an answer's program is in its
  execution.
- Messages are grouped by their signature in Python, after SQL has grouped equal ones; so the same
  SQL serves the store and its snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.analysis.error_signatures import signature
from annoy_store.analysis.hints import attempt_hint, hint
from annoy_store.analysis.lineage_edges import SUBJECT_KINDS
from annoy_store.db.states import FAILED_STATES, STAGE_NAMES, sql_list

RunSql = Callable[[str], Iterable[Sequence[Any]]]
_JOBS = f"""
    SELECT stage, state, COALESCE(reason, state) AS reason, detail, COUNT(*) AS n,
           MIN(subject_id) AS example
    FROM jobs WHERE state IN {sql_list(FAILED_STATES)} GROUP BY stage, state, reason, detail
"""
_ATTEMPTS = f"""
    SELECT outcome, COALESCE(error_class, status), error_message, COUNT(*), MIN(call_id)
    FROM (
        SELECT a.*, CASE WHEN r.id IS NOT NULL THEN 'mended'
                         WHEN ended.subject_id IS NULL THEN 'open' ELSE 'failed' END AS outcome
        FROM attempts a LEFT JOIN responses r ON r.call_id = a.call_id
        LEFT JOIN (SELECT DISTINCT subject_id FROM jobs
                   WHERE stage = 'complete' AND state IN {sql_list(FAILED_STATES)}) ended
        ON ended.subject_id = a.call_id
        WHERE a.status <> 'ok'
    ) tried
    GROUP BY outcome, error_class, status, error_message
"""
_ANSWERS = """
    SELECT 'verify', a.kind, a.status, a.mismatch, e.error_type, e.error_message,
           COUNT(DISTINCT a.response_id), MIN(a.response_id)
    FROM v_answers a JOIN verdicts v ON v.id = a.verdict_id
    LEFT JOIN executions e ON e.id = v.execution_id
    WHERE a.status <> 'correct'
    GROUP BY a.kind, a.status, a.mismatch, e.error_type, e.error_message
"""
_PAIRS = """
    SELECT 'generate', 'pair', status, NULL, COUNT(*), MIN(id) FROM v_current_pairs
    WHERE status <> 'stable' GROUP BY status
"""


@dataclass(frozen=True)
class Failure:
    """Failures of one cause.

    Attributes:
        stage: The stage where they happened.
        what: `rejected` or `failed` for jobs, `try` for attempts, `pair` for I/O pairs, or the
            kind of question for answers.
        reason: The reason or status, as stored.
        signature: What their messages have in common; '' without messages.
        n: How many there are.
        example: One of them, as `kind:id`.
        hint: What to do about it; '' if nothing is known.
    """

    stage: str
    what: str
    reason: str
    signature: str
    n: int
    example: str
    hint: str


def failures(run_sql: RunSql, stage: str | None = None) -> list[Failure]:
    """Return the failures of a stage, or of all stages, by stage and falling count.

    Args:
        run_sql: Runs one SQL statement on the store or its snapshot and returns the rows.
        stage: Name of a stage; None for all.
    """
    wanted = {
        None: (_jobs, _attempts, _answers, _pairs),
        "complete": (_jobs, _attempts),
        "generate": (_jobs, _pairs),
        "verify": (_jobs, _answers),
    }.get(stage, (_jobs,))
    found = [failure for part in wanted for failure in part(run_sql)]
    order = list(STAGE_NAMES)
    chosen = (f for f in _merged(found) if stage in (None, f.stage))
    return sorted(chosen, key=lambda f: (order.index(f.stage), -f.n, f.reason, f.signature))


def _jobs(run_sql: RunSql) -> list[Failure]:
    return [
        _failure(stage, state, reason, detail, n, f"{SUBJECT_KINDS[stage]}:{example}")
        for stage, state, reason, detail, n, example in run_sql(_JOBS)
        if stage in SUBJECT_KINDS
    ]


def _attempts(run_sql: RunSql) -> list[Failure]:
    return [
        Failure(
            *("complete", "try", reason, signature(message), int(n), f"call:{example}"),
            attempt_hint(reason, outcome),
        )
        for outcome, reason, message, n, example in run_sql(_ATTEMPTS)
    ]


def _answers(run_sql: RunSql) -> list[Failure]:
    found = []
    for stage, kind, status, mismatch, error, message, n, example in run_sql(_ANSWERS):
        reason = f"{status}:{mismatch or error}" if mismatch or error else status
        hinted = reason if status == "wrong" else status
        found.append(_failure(stage, kind, reason, message, n, f"response:{example}", hinted))
    return found


def _pairs(run_sql: RunSql) -> list[Failure]:
    return [
        _failure(stage, what, status, message, n, f"io_pair:{example}")
        for stage, what, status, message, n, example in run_sql(_PAIRS)
    ]


def _failure(
    stage: str,
    what: str,
    reason: str,
    message: str | None,
    n: int,
    example: str,
    hinted_reason: str | None = None,
) -> Failure:
    advice = hint(hinted_reason or reason, stage)
    return Failure(stage, what, reason, signature(message), int(n), example, advice)


def _merged(found: Iterable[Failure]) -> list[Failure]:
    """Merge failures whose messages have the same signature, and that need the same."""
    merged: dict[tuple[str, str, str, str, str], Failure] = {}
    for failure in found:
        group = failure.stage, failure.what, failure.reason, failure.signature
        key = (*group, failure.hint)
        known = merged.get(key)
        example = min(failure.example, known.example, key=_example_id) if known else failure.example
        n = failure.n + (known.n if known else 0)
        merged[key] = Failure(*group, n, example, failure.hint)
    return list(merged.values())


def _example_id(example: str) -> int:
    return int(example.partition(":")[2])


def largest_per_stage(
    found: Sequence[Failure], limit: int, stages: Sequence[str] = STAGE_NAMES
) -> list[Failure]:
    """Return the first `limit` failures of each stage, by stage.

    Args:
        found: Failures by falling count.
        limit: Most failures of one stage.
        stages: Names of the stages to include, in their order.
    """
    return [f for stage in stages for f in [g for g in found if g.stage == stage][:limit]]

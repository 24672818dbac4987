"""Why things fail: the same trouble counted once, per stage, with an example and what to do.

Decisions
- Four places tell of trouble: jobs that ended badly, tries of a call that gave no answer, answers
  that are not correct, and pairs that do not hold. What the sandbox said of an answer is in its
  execution.
- Messages are counted by their signature, in Python, over what SQL has grouped already; so the
  same SQL serves the store and its snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.analysis.error_signatures import signature
from annoy_store.analysis.hints import hint
from annoy_store.db.states import FAILED_STATES, STAGE_NAMES, sql_list

Ask = Callable[[str], Iterable[Sequence[Any]]]
SUBJECTS = {
    "transform": "source",
    "complete": "call",
    "parse": "response",
    "generate": "sample",
    "predict": "io_pair",
    "verify": "response",
    "revise": "verdict",
}

_JOBS = f"""
    SELECT stage, state, COALESCE(reason, state) AS reason, detail, COUNT(*) AS n,
           MIN(subject_id) AS example
    FROM jobs WHERE state IN {sql_list(FAILED_STATES)} GROUP BY stage, state, reason, detail
"""
_TRIES = """
    SELECT 'complete', 'try', COALESCE(error_class, status), error_message, COUNT(*), MIN(call_id)
    FROM attempts WHERE status <> 'ok' GROUP BY error_class, status, error_message
"""
_ANSWERS = """
    SELECT 'verify', a.kind, a.status, a.mismatch, e.error_type, e.error_message, COUNT(*),
           MIN(a.response_id)
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
    """One kind of trouble: where, as what (`rejected`, `failed`, `try`, `pair`, or the kind of
    question), the word for it, what its messages have in common, how often, and one to look at.
    """

    stage: str
    what: str
    reason: str
    signature: str
    n: int
    example: str
    hint: str


def failures(ask: Ask, stage: str | None = None) -> list[Failure]:
    """All kinds of trouble of a stage, or of all, in the order of the stages, the largest first."""
    wanted = {
        None: (_jobs, _tries, _answers, _pairs),
        "complete": (_jobs, _tries),
        "generate": (_jobs, _pairs),
        "verify": (_jobs, _answers),
    }.get(stage, (_jobs,))
    found = [failure for part in wanted for failure in part(ask)]
    order = list(STAGE_NAMES)
    chosen = (f for f in _merged(found) if stage in (None, f.stage))
    return sorted(chosen, key=lambda f: (order.index(f.stage), -f.n, f.reason, f.signature))


def _jobs(ask: Ask) -> list[Failure]:
    return [
        _failure(stage, state, reason, detail, n, f"{SUBJECTS[stage]}:{example}")
        for stage, state, reason, detail, n, example in ask(_JOBS)
        if stage in SUBJECTS
    ]


def _tries(ask: Ask) -> list[Failure]:
    return [
        _failure(stage, what, reason, message, n, f"call:{example}")
        for stage, what, reason, message, n, example in ask(_TRIES)
    ]


def _answers(ask: Ask) -> list[Failure]:
    made = []
    for stage, kind, status, mismatch, error, message, n, example in ask(_ANSWERS):
        reason = f"{status}:{mismatch or error}" if mismatch or error else status
        word = reason if status == "wrong" else status
        made.append(_failure(stage, kind, reason, message, n, f"response:{example}", word))
    return made


def _pairs(ask: Ask) -> list[Failure]:
    return [
        _failure(stage, what, status, message, n, f"io_pair:{example}")
        for stage, what, status, message, n, example in ask(_PAIRS)
    ]


def _failure(
    stage: str,
    what: str,
    reason: str,
    message: str | None,
    n: int,
    example: str,
    word: str | None = None,
) -> Failure:
    advice = hint(word or reason, stage)
    return Failure(stage, what, reason, signature(message), int(n), example, advice)


def _merged(found: Iterable[Failure]) -> list[Failure]:
    """Failures that differ only in what a signature leaves out, as one."""
    merged: dict[tuple[str, str, str, str], Failure] = {}
    for failure in found:
        key = failure.stage, failure.what, failure.reason, failure.signature
        known = merged.get(key)
        example = min(failure.example, known.example, key=_number) if known else failure.example
        n = failure.n + (known.n if known else 0)
        merged[key] = Failure(*key, n, example, failure.hint)
    return list(merged.values())


def _number(example: str) -> int:
    return int(example.partition(":")[2])


def top(found: Sequence[Failure], limit: int, stages: Sequence[str] = STAGE_NAMES) -> list[Failure]:
    """The `limit` largest of every stage."""
    return [f for stage in stages for f in [g for g in found if g.stage == stage][:limit]]

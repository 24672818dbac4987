"""Measured yields of a store: the pass rate of each step, and the usage of each kind of call.

Decisions
- A yield is measured on ended jobs and on verdicts. Where there are few it is mostly the usual one
  (usual_yields.py) and is marked as not measured, so no estimate hides that it is a guess.
- Tokens and cost are averages over the attempts of one kind of turn, attempts without an answer
  included, of the model that will be used if it was used before, else of all. What no backend
  reported stays unknown.
- Yields and averages of a large store come from 40,000 rows in slices from its first to its last,
  so that a forecast takes no longer when a store grows; jobs and turns are counted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from annoy_store.analysis.usual_yields import (
    USUAL_YIELDS,
    YieldRate,
    shrunk_rate,
    usual_incorrect,
)
from annoy_store.config import Policy
from annoy_store.db.cost import TOTAL_COST
from annoy_store.db.states import ENDED_STATES
from annoy_store.db.tables import attempts, calls, io_pairs, verdicts
from annoy_store.queue.counters import funnel

MAX_SAMPLED_ROWS, SLICES = 40_000, 40
Turn = tuple[str, int]
"""Kind and number of a turn."""


@dataclass(frozen=True)
class TurnUsage:
    """Tokens and cost of all attempts of one kind of turn, by one teacher.

    Attributes:
        kind: Kind of the turn.
        turn: Number of the turn, from 1.
        backend: Name of the teacher's backend.
        model: Name of the model.
        answered: Number of attempts with an answer.
        prompt_tokens: Sum over the attempts; None if no backend reported it.
        cached_tokens: Likewise, of the prompt tokens that were read from a cache.
        completion_tokens: Likewise.
        cost_usd: Sum in USD; None if unknown.
    """

    kind: str
    turn: int
    backend: str
    model: str
    answered: int
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None


@dataclass(frozen=True)
class History:
    """What a store has measured.

    Attributes:
        jobs: Number of jobs by stage and state.
        calls: Number of sampled jobs of `complete` by kind of turn and state.
        questions: Number of sampled jobs of `predict` by task and state.
        verdicts: By kind and number of the turn, how many answers are correct, and how many have a
            verdict.
        usage: Tokens and cost by kind of turn and teacher.
    """

    jobs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    questions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    verdicts: Mapping[Turn, tuple[int, int]] = field(default_factory=dict)
    usage: tuple[TurnUsage, ...] = ()

    def pass_rate(self, stage: str) -> YieldRate:
        """Return the share of done jobs among the ended jobs of a stage."""
        return _pass_rate(self.jobs.get(stage, {}), stage)

    def answer_rate(self, kind: str) -> YieldRate:
        """Return the share of calls of a kind that get an answer."""
        return _pass_rate(self.calls.get(kind, {}), "complete")

    def subjects_per_sample(self, task: str, policy: Policy, before: Policy) -> YieldRate:
        """Return the number of subjects of a task per ended job of `generate`.

        Args:
            task: Name of the task.
            policy: The policy of the run.
            before: The policy under which the history was measured.
        """
        ended = sum(self.jobs.get("generate", {}).get(state, 0) for state in ENDED_STATES)
        sampled = sum(sum(of.values()) for of in self.questions.values())
        own = sum(self.questions.get(task, {}).values())
        usual = USUAL_YIELDS["generate"] * policy.pairs_per_sample
        if not own:  # a task that is new, or the first sample is not done yet
            return shrunk_rate(0.0, 0.0, usual)
        of_task = sum(self.jobs.get("predict", {}).values()) * own / sampled
        scale = policy.pairs_per_sample / before.pairs_per_sample
        return shrunk_rate(of_task * scale, ended, usual)

    def calls_per_subject(self, task: str, policy: Policy) -> YieldRate:
        """Return the number of calls of the first turn per subject of a task."""
        each = float(policy.samples_per_prompt)
        rate = _pass_rate(self.questions.get(task, {}), "predict")
        return YieldRate(rate.value * each, rate.is_measured)

    def incorrect_rate(self, kind: str, turn: int) -> YieldRate:
        """Return the share of answers to a turn that are not correct."""
        correct, checked = self.verdicts.get((kind, turn), (0, 0))
        return shrunk_rate(checked - correct, checked, usual_incorrect(turn))


def _pass_rate(ended: Mapping[str, int], stage: str) -> YieldRate:
    total = sum(ended.get(state, 0) for state in ENDED_STATES)
    return shrunk_rate(ended.get("done", 0), total, USUAL_YIELDS[stage])


def read_yields(connection: Connection) -> History:
    """Read the measured yields of a store."""

    def run_sql(sql: str) -> Iterable[Any]:
        return connection.execute(text(sql))

    call_jobs: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for description, state, n in run_sql(_CALL_JOBS.format(sample=_sampled_ids(connection, calls))):
        call_jobs[json.loads(description).get("kind", "")][state] += int(n)
    questions: dict[str, dict[str, int]] = defaultdict(dict)
    for task, state, n in run_sql(_QUESTIONS.format(sample=_sampled_ids(connection, io_pairs))):
        questions[task][state] = int(n)
    found = run_sql(_VERDICTS.format(sample=_sampled_ids(connection, verdicts)))
    checked = {(kind, int(number)): (int(good), int(n)) for kind, number, good, n in found}
    usage = run_sql(_USAGE.format(sample=_sampled_ids(connection, attempts)))
    return History(
        funnel(connection), call_jobs, questions, checked, tuple(TurnUsage(*row) for row in usage)
    )


def _sampled_ids(connection: Connection, table: Table) -> str:
    """Return a subquery of ids: of all rows, or of slices from the first row to the last."""
    last = connection.scalar(select(func.max(table.c.id))) or 0
    if last <= MAX_SAMPLED_ROWS:
        return f"(SELECT id FROM {table.name})"
    size = MAX_SAMPLED_ROWS // SLICES
    starts = (1 + (last - size) * i // (SLICES - 1) for i in range(SLICES))
    slices = " OR ".join(f"id BETWEEN {start} AND {start + size - 1}" for start in starts)
    return f"(SELECT id FROM {table.name} WHERE {slices})"


_CALL_JOBS = """
    SELECT v.description, j.state, COUNT(*) FROM jobs j JOIN variants v ON v.id = j.variant_id
    WHERE j.stage = 'complete' AND j.subject_id IN {sample} GROUP BY v.description, j.state
"""
_QUESTIONS = """
    SELECT v.task, j.state, COUNT(*) FROM jobs j JOIN variants v ON v.id = j.variant_id
    WHERE j.stage = 'predict' AND j.subject_id IN {sample} GROUP BY v.task, j.state
"""
_VERDICTS = """
    SELECT kind, number, COUNT(DISTINCT CASE WHEN status = 'correct' THEN verdict_id END),
           COUNT(DISTINCT verdict_id)
    FROM v_answers WHERE status IS NOT NULL AND verdict_id IN {sample} GROUP BY kind, number
"""
_USAGE = f"""
    SELECT t.kind, t.number, b.backend, b.model,
           SUM(CASE WHEN a.status = 'ok' THEN 1 ELSE 0 END), SUM(a.prompt_tokens),
           SUM(a.cached_tokens), SUM(a.completion_tokens), {TOTAL_COST}
    FROM attempts a JOIN calls c ON c.id = a.call_id
    JOIN turns t ON t.id = (SELECT MIN(x.id) FROM turns x WHERE x.prompt_id = c.prompt_id)
    JOIN teachers b ON b.id = a.teacher_id
    LEFT JOIN prices p ON p.model = b.model AND p.from_time = (
         SELECT MAX(q.from_time) FROM prices q
         WHERE q.model = b.model AND q.from_time <= a.started_at)
    WHERE a.id IN {{sample}} GROUP BY t.kind, t.number, b.backend, b.model
"""

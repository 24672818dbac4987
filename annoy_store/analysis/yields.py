"""What a store has learned of itself: how much of each step comes through, and what asking costs.

Decisions
- A share comes from the jobs that ended and the answers that were judged here. Where there are
  none it is the most there can be, and is marked so: an estimate never hides that it is a guess.
- Tokens and money are averages over the tries of one kind of turn, tries without an answer
  included, of the model that will be asked if it was asked before, else of all. What nobody told
  stays unknown.
- Shares and averages of a large store come from 40,000 rows in slices from its first to its last,
  so that a plan takes no longer when a store grows; numbers of jobs and turns are counted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from annoy_store.config import Policy
from annoy_store.db.cost import TOTAL_COST
from annoy_store.db.states import ENDED_STATES
from annoy_store.db.tables import attempts, calls, io_pairs, verdicts
from annoy_store.queue.counters import funnel

SAMPLE, SLICES = 40_000, 40
Turn = tuple[str, int]


@dataclass(frozen=True)
class Share:
    """How many of the next come of one; `known` if the store has seen it."""

    value: float
    known: bool = True


@dataclass(frozen=True)
class Spent:
    """What the tries of one kind of turn used, by one teacher; None where nobody told."""

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
    """Ended jobs by stage and state; calls by kind, questions by task; judged answers; costs."""

    jobs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    asked: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    questions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    judged: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    spent: tuple[Spent, ...] = ()

    def through(self, stage: str) -> Share:
        """How many of a stage's jobs are done, of those that ended."""
        return _share(self.jobs.get(stage, {}))

    def answered(self, kind: str) -> Share:
        """How many calls of a kind get an answer."""
        return _share(self.asked.get(kind, {}))

    def subjects(self, task: str, policy: Policy, before: Policy) -> Share:
        """How many subjects of a task come of one job of `generate`."""
        ended = sum(self.jobs.get("generate", {}).get(state, 0) for state in ENDED_STATES)
        seen = sum(sum(of.values()) for of in self.questions.values())
        if not ended or not sum(self.questions.get(task, {}).values()):
            return Share(float(policy.pairs_per_sample), False)
        jobs = sum(self.jobs.get("predict", {}).values())
        mine = jobs * sum(self.questions[task].values()) / seen
        return Share(mine / ended * policy.pairs_per_sample / before.pairs_per_sample)

    def calls(self, task: str, policy: Policy) -> Share:
        """How many calls are made for one subject of a task."""
        each = float(policy.samples_per_prompt)
        filled = _share(self.questions.get(task, {}))
        return Share(filled.value * each, filled.known)

    def wrong(self, turn: int) -> Share:
        """How many answers to a turn are not correct."""
        right, judged = self.judged.get(turn, (0, 0))
        if judged:
            return Share(1 - right / judged)
        return Share(self.wrong(turn - 1).value, False) if turn > 1 else Share(1.0, False)


def _share(ended: Mapping[str, int]) -> Share:
    total = sum(ended.get(state, 0) for state in ENDED_STATES)
    return Share(ended.get("done", 0) / total) if total else Share(1.0, False)


def read_yields(connection: Connection) -> History:
    """Read what a store knows of itself."""

    def ask(sql: str) -> Iterable[Any]:
        return connection.execute(text(sql))

    asked: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for description, state, n in ask(_ASKED.format(sample=_sample(connection, calls))):
        asked[json.loads(description).get("kind", "")][state] += int(n)
    questions: dict[str, dict[str, int]] = defaultdict(dict)
    for task, state, n in ask(_QUESTIONS.format(sample=_sample(connection, io_pairs))):
        questions[task][state] = int(n)
    found = ask(_JUDGED.format(sample=_sample(connection, verdicts)))
    judged = {int(number): (int(right), int(n)) for number, right, n in found}
    spent = ask(_SPENT.format(sample=_sample(connection, attempts)))
    return History(
        funnel(connection), asked, questions, judged, tuple(Spent(*row) for row in spent)
    )


def _sample(connection: Connection, table: Table) -> str:
    """Rows of a table from its first to its last, all if they are few, as a subquery of ids."""
    last = connection.scalar(select(func.max(table.c.id))) or 0
    if last <= SAMPLE:
        return f"(SELECT id FROM {table.name})"
    size = SAMPLE // SLICES
    starts = (1 + (last - size) * i // (SLICES - 1) for i in range(SLICES))
    slices = " OR ".join(f"id BETWEEN {start} AND {start + size - 1}" for start in starts)
    return f"(SELECT id FROM {table.name} WHERE {slices})"


_ASKED = """
    SELECT v.description, j.state, COUNT(*) FROM jobs j JOIN variants v ON v.id = j.variant_id
    WHERE j.stage = 'complete' AND j.subject_id IN {sample} GROUP BY v.description, j.state
"""
_QUESTIONS = """
    SELECT v.task, j.state, COUNT(*) FROM jobs j JOIN variants v ON v.id = j.variant_id
    WHERE j.stage = 'predict' AND j.subject_id IN {sample} GROUP BY v.task, j.state
"""
_JUDGED = """
    SELECT number, SUM(CASE WHEN status = 'correct' THEN 1 ELSE 0 END), COUNT(*)
    FROM v_answers WHERE status IS NOT NULL AND verdict_id IN {sample} GROUP BY number
"""
_SPENT = f"""
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

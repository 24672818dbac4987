"""What a store has learned of itself: how much of each step comes through, and what asking costs.

Decisions
- A share comes from the jobs that ended and the answers that were judged here. Where there are
  none it is the most there can be, and is marked so: an estimate never hides that it is a guess.
- Tokens and money are averages over the tries of one kind of turn, tries without an answer
  included, of the model that will be asked if it was asked before, else of all. What nobody told
  stays unknown.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annoy_store.settings import Policy

Ask = Callable[[str], Iterable[Sequence[Any]]]
Turn = tuple[str, int]
PREDICTIONS = ("predict_output", "predict_input")
FREE = ("tracer", "replay")
_ENDED = ("done", "rejected", "failed")


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
    """Ended jobs by stage and state; the same of asking by kind; turns; judged answers; costs."""

    jobs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    asked: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    turns: Mapping[Turn, int] = field(default_factory=dict)
    judged: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    spent: tuple[Spent, ...] = ()

    def through(self, stage: str) -> Share:
        """How many of a stage's jobs are done, of those that ended."""
        return _share(self.jobs.get(stage, {}))

    def answered(self, kind: str) -> Share:
        """How many calls of a kind get an answer."""
        return _share(self.asked.get(kind, {}))

    def pairs(self, policy: Policy, before: Policy) -> Share:
        """How many pairs of a sample are asked about."""
        ended = sum(self.jobs.get("generate", {}).get(state, 0) for state in _ENDED)
        made = sum(self.jobs.get("predict", {}).values())
        if not ended or not made:
            return Share(float(policy.pairs_per_sample), False)
        return Share(made / ended * policy.pairs_per_sample / before.pairs_per_sample)

    def questions(self, kind: str, policy: Policy) -> Share:
        """How many calls of a kind are made about a pair."""
        ended = sum(self.jobs.get("predict", {}).get(state, 0) for state in _ENDED)
        asked = self.turns.get((kind, 1), 0)
        each = float(policy.samples_per_prompt)
        return Share(asked / ended * each) if ended and asked else Share(each, False)

    def wrong(self, turn: int) -> Share:
        """How many answers to a turn are not correct."""
        right, judged = self.judged.get(turn, (0, 0))
        if judged:
            return Share(1 - right / judged)
        return Share(self.wrong(turn - 1).value, False) if turn > 1 else Share(1.0, False)


def _share(ended: Mapping[str, int]) -> Share:
    total = sum(ended.get(state, 0) for state in _ENDED)
    return Share(ended.get("done", 0) / total) if total else Share(1.0, False)


def learn(ask: Ask) -> History:
    """Read what a store, or its snapshot, knows of itself."""
    jobs: dict[str, dict[str, int]] = defaultdict(dict)
    for stage, state, n in ask("SELECT stage, state, jobs FROM v_funnel"):
        jobs[stage][state] = int(n)
    asked: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for description, state, n in ask(_ASKED):
        asked[json.loads(description).get("kind", "")][state] += int(n)
    turns = {(kind, int(number)): int(n) for kind, number, n in ask(_TURNS)}
    judged = {int(number): (int(right), int(n)) for number, right, n in ask(_JUDGED)}
    spent = tuple(Spent(*row) for row in ask(_SPENT))
    return History(jobs, asked, turns, judged, spent)


_ASKED = """
    SELECT v.description, j.state, COUNT(*) FROM jobs j JOIN variants v ON v.id = j.variant_id
    WHERE j.stage = 'complete' GROUP BY v.description, j.state
"""
_TURNS = "SELECT kind, number, COUNT(*) FROM turns GROUP BY kind, number"
_JUDGED = """
    SELECT number, SUM(CASE WHEN status = 'correct' THEN 1 ELSE 0 END), COUNT(*)
    FROM v_answers WHERE status IS NOT NULL GROUP BY number
"""
_SPENT = """
    SELECT kind, turn, backend, model, answered, prompt_tokens, cached_tokens, completion_tokens,
           cost_usd
    FROM v_cost
"""

"""Counts of the work that a run would do at once: open jobs, new jobs, and subjects to rerun.

Decision: a changed policy is applied to the counting: its variants are computed, not written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, FromClause, func, select

from annoy_store.analysis.yields import Turn
from annoy_store.config import Policy
from annoy_store.db.states import OPEN_STATES
from annoy_store.db.tables import calls, jobs, responses, turns, variants, verdicts
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import funnel
from annoy_store.queue.enqueue import (
    count_enqueue_again,
    count_wanted,
    count_wanted_by,
    is_enabled,
)
from annoy_store.queue.jobs import in_state
from annoy_store.queue.variants import preview_partitions, variants_of
from annoy_store.records.queries import first_turn_of
from annoy_store.stages import PIPELINE
from annoy_store.stages.complete import STAGE as COMPLETE
from annoy_store.stages.revise import STAGE as REVISE
from annoy_store.stages.verify import STAGES as VERIFY


@dataclass(frozen=True)
class StageWork:
    """The jobs of one stage.

    Attributes:
        open: Open jobs by state.
        new: Jobs that a run would enqueue.
        rerun: Subjects that a rerun under the current variants would do again.
    """

    open: Mapping[str, int]
    new: int = 0
    rerun: int = 0

    def __add__(self, other: StageWork) -> StageWork:
        states = self.open.keys() | other.open.keys()
        both = {state: self.open.get(state, 0) + other.open.get(state, 0) for state in states}
        return StageWork(both, self.new + other.new, self.rerun + other.rerun)


@dataclass(frozen=True)
class WaitingTurns:
    """Open and new jobs of the stages that know a turn, by its kind and number.

    Attributes:
        calls: Calls to make, by the turn that they answer.
        answers: Answers to check.
        revisions: Incorrect answers to ask about again, by the turn of the answer.
    """

    calls: Mapping[Turn, int] = field(default_factory=Counter)
    answers: Mapping[Turn, int] = field(default_factory=Counter)
    revisions: Mapping[Turn, int] = field(default_factory=Counter)


def count_work(
    connection: Connection, after: Policy, stages: Sequence[Stage] = PIPELINE
) -> tuple[dict[str, StageWork], WaitingTurns]:
    """Count the work of stages under a policy.

    Args:
        connection: A connection to the store.
        after: The policy of the run.
        stages: The stages to count.

    Returns:
        The work by key of the stage, and the part of it that is about turns.
    """
    open_jobs = _open(connection, stages, after)
    work = {
        stage.key: StageWork(
            open_jobs.get(stage.key, {}),
            count_wanted(connection, stage, after),
            _count_rerun(connection, stage, after),
        )
        for stage in stages
    }
    answered = responses.join(calls, calls.c.id == responses.c.call_id)
    counted = (
        _waiting(connection, COMPLETE, after, calls, calls.c.id),
        sum((_waiting(connection, s, after, answered, responses.c.id) for s in VERIFY), Counter()),
        _waiting(
            connection,
            REVISE,
            after,
            answered.join(verdicts, verdicts.c.response_id == responses.c.id),
            verdicts.c.id,
        ),
    )
    return work, WaitingTurns(*counted)


def _open(
    connection: Connection, stages: Sequence[Stage], after: Policy
) -> dict[str, dict[str, int]]:
    """Return open jobs by the stage's key and state; those of stages per task are counted.

    The jobs of a task that is not enabled stay open, and no run does them.
    """
    counted = funnel(connection)
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for stage in stages:
        if not is_enabled(connection, stage, after):
            continue
        of = _open_of_task(connection, stage) if stage.task else counted.get(stage.name, {})
        found[stage.key] = {state: of[state] for state in OPEN_STATES if of.get(state)}
    return found


def _open_of_task(connection: Connection, stage: Stage) -> dict[str, int]:
    own = select(variants.c.id).where(variants_of(stage))
    return {
        state: connection.scalar(
            select(func.count()).where(
                jobs.c.stage == stage.name, in_state(state), jobs.c.variant_id.in_(own)
            )
        )
        or 0
        for state in OPEN_STATES
    }


def _waiting(
    connection: Connection,
    stage: Stage,
    after: Policy,
    asked: FromClause,
    subject: ColumnElement[int],
) -> Counter[Turn]:
    """Count open and new jobs of a stage by kind and number of their turn.

    Args:
        connection: A connection to the store.
        stage: The stage.
        after: The policy of the run.
        asked: The table of its subjects, joined with their calls.
        subject: The column with their ids.
    """
    if not is_enabled(connection, stage, after):
        return Counter()
    asked = asked.join(turns, turns.c.id == first_turn_of(calls.c.prompt_id))
    waiting: Counter[Turn] = Counter()
    for state in OPEN_STATES:
        chosen = (
            select(turns.c.kind, turns.c.number, func.count())
            .select_from(jobs.join(asked, subject == jobs.c.subject_id))
            .where(jobs.c.stage == stage.name, in_state(state))
            .group_by(turns.c.kind, turns.c.number)
        )
        if stage.task:
            own = select(variants.c.id).where(variants_of(stage))
            chosen = chosen.where(jobs.c.variant_id.in_(own))
        for kind, number, n in connection.execute(chosen):
            waiting[kind, int(number)] += int(n)
    new = count_wanted_by(connection, stage, after, turns.c.kind, turns.c.number)
    for (kind, number), n in new.items():
        waiting[kind, int(number)] += n
    return waiting


def _count_rerun(connection: Connection, stage: Stage, after: Policy) -> int:
    """Count subjects that were done under other variants only. Calls are never made again."""
    if stage.executor == "async":
        return 0
    cases = preview_partitions(connection, stage, after)
    known = select(variants.c.id).where(variants_of(stage))
    if not cases or set(connection.scalars(known)) <= {case.variant_id for case in cases}:
        return 0
    ids = [case.variant_id for case in cases]
    stale = sum(
        connection.scalar(
            select(func.count()).where(
                jobs.c.stage == stage.name,
                in_state(state),
                jobs.c.variant_id.in_(known),
                jobs.c.variant_id.not_in(ids),
            )
        )
        or 0
        for state in OPEN_STATES
    )
    wanted = count_enqueue_again(connection, stage, after, cases)
    return max(0, wanted - count_wanted(connection, stage, after) - stale)

"""Forecasts of the work and the cost of a run. Nothing is written.

Decisions
- Open jobs and jobs that would be enqueued are counted. What follows from them is estimated by the
  yields that the store has measured (yields.py); where these are few, the usual ones weigh more, and
  a note reports it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from sqlalchemy import Connection

from annoy_store.analysis.expected_usage import (
    CallForecast,
    ChooseModel,
    Prices,
    expected_usage,
)
from annoy_store.analysis.task_titles import TRANSFORM
from annoy_store.analysis.usual_yields import YieldRate
from annoy_store.analysis.work_counts import StageWork, WaitingTurns, count_work
from annoy_store.analysis.yields import History, Turn
from annoy_store.config import Policy
from annoy_store.stages import PIPELINE
from annoy_store.tasks import TASKS
from annoy_store.tasks.policy import enabled_names

VERIFY = "verify"  # rerun: answers that were incorrect before have their next turn already
DETERMINISTIC_STAGES = ("parse", "generate")  # rerun: equal results make no new work


@dataclass(frozen=True)
class Forecast:
    """What a run would do and cost.

    Attributes:
        work: Open and new jobs, by stage.
        expected: Expected number of jobs in all, by stage.
        call_forecasts: Expected calls and usage, by kind and turn.
        notes: What the estimate could not take from the store.
        is_rough: Whether usual yields or tokens weigh more in it than measured ones.
    """

    work: Mapping[str, StageWork]
    expected: Mapping[str, float]
    call_forecasts: tuple[CallForecast, ...]
    notes: tuple[str, ...]
    is_rough: bool = False

    @property
    def calls(self) -> float:
        """Expected number of calls."""
        return sum(one.calls for one in self.call_forecasts)

    @property
    def usd(self) -> float | None:
        """Expected cost in USD; None if that of some calls is unknown."""
        known = [one.usd for one in self.call_forecasts if one.usd is not None]
        return sum(known) if len(known) == len(self.call_forecasts) else None

    @property
    def tokens(self) -> float | None:
        """Expected prompt and completion tokens; None if those of some calls are unknown."""
        each = [(one.prompt_tokens, one.completion_tokens) for one in self.call_forecasts]
        known = [p + c for p, c in each if p is not None and c is not None]
        return sum(known) if len(known) == len(each) else None


# Work that is estimated ----------------------------------------------------------------------


def expected_work(
    start: Mapping[str, float],
    waiting: WaitingTurns,
    history: History,
    policy: Policy,
    before: Policy,
) -> tuple[dict[str, float], dict[Turn, float], list[str]]:
    """Estimate the jobs and calls that follow from open work.

    Args:
        start: Jobs to do, by key of the stage.
        waiting: What of it is about turns.
        history: What the store has measured.
        policy: The policy of the run.
        before: The policy under which the history was measured.

    Returns:
        The expected jobs by key of the stage, the expected calls by turn, and the steps without a measured
        yield.
    """
    jobs_of: dict[str, float] = {stage.key: float(start.get(stage.key, 0)) for stage in PIPELINE}
    calls_of: dict[Turn, float] = defaultdict(
        float, {turn: float(n) for turn, n in waiting.calls.items()}
    )
    unmeasured: list[str] = []

    def times(n: float, rate: YieldRate, step: str) -> float:
        if n and not rate.is_measured and step not in unmeasured:
            unmeasured.append(step)
        return n * rate.value

    first = (TRANSFORM, 1)
    calls_of[first] += times(jobs_of["transform"], history.pass_rate("transform"), "transform")
    answers = times(calls_of[first], history.answer_rate("transform"), "complete")
    jobs_of["parse"] += answers
    jobs_of["generate"] += times(jobs_of["parse"], history.pass_rate("parse"), "parse")
    for task in enabled_names(policy):
        rate = history.subjects_per_sample(task, policy, before)
        jobs_of[f"predict:{task}"] += times(jobs_of["generate"], rate, "generate")
        questions = jobs_of[f"predict:{task}"]
        calls_of[task, 1] += times(questions, history.calls_per_subject(task, policy), "predict")
    _add_turns(jobs_of, calls_of, waiting, history, policy, times)
    jobs_of["complete"] = sum(calls_of.values())
    return jobs_of, calls_of, unmeasured


def _add_turns(
    jobs_of: dict[str, float],
    calls_of: dict[Turn, float],
    waiting: WaitingTurns,
    history: History,
    policy: Policy,
    times: Callable[[float, YieldRate, str], float],
) -> None:
    """Add the checks, revisions and calls that follow from the answers of each task, by turn.

    A revision is counted with the turn of the answer that it is about: its call has the next one.
    One that is rerun is about an answer of any turn, and is taken to be about a first one.
    """
    known = sum(waiting.revisions.values())
    again = max(0.0, jobs_of["revise"] - known) / len(enabled_names(policy) or TASKS)
    last = max([policy.max_turns, *(turn for _, turn in calls_of)])
    for turn, task in product(range(1, last + 1), TASKS):
        answers = times(calls_of[task, turn], history.answer_rate(task), "complete")
        jobs_of[f"verify:{task}"] += answers
        if turn >= policy.max_turns:
            continue
        checked = answers + waiting.answers.get((task, turn), 0)
        incorrect = times(checked, history.incorrect_rate(task, turn), f"turn {turn}")
        jobs_of["revise"] += incorrect
        revised = waiting.revisions.get((task, turn), 0) + (again if turn == 1 else 0.0)
        calls_of[task, turn + 1] += incorrect + revised


# The forecast --------------------------------------------------------------------------------


def forecast(
    connection: Connection,
    history: History,
    before: Policy,
    after: Policy,
    choose: ChooseModel,
    known: Prices,
    again: Mapping[str, int | None] | None = None,
) -> Forecast:
    """Forecast a run.

    Args:
        connection: A connection to the store.
        history: What the store has measured.
        before: The policy in force.
        after: The policy of the run.
        choose: The backend and model for a kind of turn.
        known: Prices by model.
        again: Stages that are rerun first, with the number of jobs of each (None: all).
    """
    work, waiting = count_work(connection, after)
    by_name = _by_name(work)
    redone = {name: by_name[name].rerun if n is None else n for name, n in (again or {}).items()}
    start = {key: float(sum(of.open.values()) + of.new) for key, of in work.items()}
    for name, n in redone.items():
        if name != VERIFY:
            for key, share in _rerun_shares(work, name).items():
                start[key] += n * share
    jobs_of, calls_of, unmeasured = expected_work(start, waiting, history, after, before)
    expected = _sum_by_name(jobs_of)
    expected[VERIFY] += redone.get(VERIFY, 0)
    usage = tuple(expected_usage(calls_of, history, choose, known))
    notes = tuple(_notes(unmeasured, usage, list(redone)))
    is_rough = bool(unmeasured) or not all(one.is_measured for one in usage)
    return Forecast(by_name, expected, usage, notes, is_rough)


def _name(key: str) -> str:
    return key.partition(":")[0]


def _by_name(work: Mapping[str, StageWork]) -> dict[str, StageWork]:
    """Add up the parts of stages that are one per task."""
    total: dict[str, StageWork] = {}
    for key, of in work.items():
        total[_name(key)] = total[_name(key)] + of if _name(key) in total else of
    return total


def _sum_by_name(jobs_of: Mapping[str, float]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for key, n in jobs_of.items():
        total[_name(key)] += n
    return total


def _rerun_shares(work: Mapping[str, StageWork], name: str) -> dict[str, float]:
    """Return how the jobs to rerun divide among the parts of a stage, by key."""
    parts = {key: of.rerun for key, of in work.items() if _name(key) == name}
    total = sum(parts.values())
    return {key: n / total if total else 1 / len(parts) for key, n in parts.items()}


def _notes(
    unmeasured: Sequence[str], usage: Sequence[CallForecast], again: Sequence[str]
) -> Iterator[str]:
    if same := [name for name in again if name in DETERMINISTIC_STAGES]:
        yield f"equal results of {' and '.join(same)} make no new work: this is the maximum"
    if unmeasured:
        yield f"few results yet, so usual yields are assumed: {', '.join(unmeasured)}"
    assumed = [one for one in usage if not one.is_measured and one.prompt_tokens is not None]
    if assumed:
        turns = ", ".join(f"{one.kind} turn {one.turn}" for one in assumed)
        yield f"no answers yet, so usual tokens are assumed: {turns}"
    unknown = [f"{one.kind} turn {one.turn}" for one in usage if one.prompt_tokens is None]
    if unknown:
        yield f"no attempts to estimate tokens from: {', '.join(unknown)}"
    if any(one.usd is None and one.prompt_tokens is not None for one in usage):
        yield "no price for the model: set prices in annoy.toml"

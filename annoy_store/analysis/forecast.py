"""What a run would do, and what it would cost, before anything runs; nothing is written.

Decisions
- What is open and what would be entered is counted; what comes of it later is expected, from the
  shares that the store has seen (yields.py). Where it has seen none the most there can be stands
  in, and a note says so.
- A changed policy is tried on the counting itself: its variants are worked out, not entered.
- Money that nobody can know is None, and then the sum is None too. Programs ask for nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from annoy_store.analysis.yields import History, Share, Spent, Turn
from annoy_store.config import Policy
from annoy_store.db.states import FREE_BACKENDS, OPEN_STATES
from annoy_store.db.tables import calls, jobs, prices, turns, variants
from annoy_store.inference.prices import Price, price_from_settings
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import funnel
from annoy_store.queue.enqueue import count_enqueue_again, count_wanted, count_wanted_by
from annoy_store.queue.jobs import in_state
from annoy_store.queue.variants import preview_partitions, variants_of
from annoy_store.records.queries import first_turn_of
from annoy_store.stages import PIPELINE
from annoy_store.stages.complete import STAGE as COMPLETE
from annoy_store.tasks import TASKS
from annoy_store.tasks.policy import enabled_names

JUDGING = "verify"  # judged again, an answer that was wrong before has its revision already
MAKES_THE_SAME = ("parse", "generate")
Chooser = Callable[[str], tuple[str, str | None]]  # kind of turn -> backend and model that answer
Prices = Mapping[str, Price]  # by model


@dataclass(frozen=True)
class Now:
    """What is open at a stage, what a run would enqueue, and what a rerun would do again."""

    open: Mapping[str, int]
    new: int = 0
    again: int = 0

    def __add__(self, other: Now) -> Now:
        states = self.open.keys() | other.open.keys()
        still = {state: self.open.get(state, 0) + other.open.get(state, 0) for state in states}
        return Now(still, self.new + other.new, self.again + other.again)


@dataclass(frozen=True)
class Asking:
    """Calls of one kind of turn, with what they are expected to use; None is unknown."""

    kind: str
    turn: int
    calls: float
    prompt_tokens: float | None
    completion_tokens: float | None
    usd: float | None


@dataclass(frozen=True)
class Forecast:
    """What is there now by stage, the jobs expected in all, what asking costs, and caveats."""

    now: Mapping[str, Now]
    expected: Mapping[str, float]
    asking: tuple[Asking, ...]
    notes: tuple[str, ...]

    @property
    def calls(self) -> float:
        return sum(one.calls for one in self.asking)

    @property
    def usd(self) -> float | None:
        known = [one.usd for one in self.asking if one.usd is not None]
        return sum(known) if len(known) == len(self.asking) else None

    @property
    def tokens(self) -> float | None:
        each = [(one.prompt_tokens, one.completion_tokens) for one in self.asking]
        known = [p + c for p, c in each if p is not None and c is not None]
        return sum(known) if len(known) == len(each) else None


# What is there -------------------------------------------------------------------------------


def stand(
    connection: Connection, after: Policy, stages: Sequence[Stage] = PIPELINE
) -> tuple[dict[str, Now], Counter[Turn]]:
    """What is open, new and to be done again under the policy `after`; calls by kind and turn."""
    still = _open(connection, stages)
    now = {
        stage.key: Now(
            still.get(stage.key, {}),
            count_wanted(connection, stage, after),
            _again(connection, stage, after),
        )
        for stage in stages
    }
    waiting = _open_calls(connection)
    for (kind, number), n in count_wanted_by(
        connection, COMPLETE, after, turns.c.kind, turns.c.number
    ).items():
        waiting[kind, int(number)] += n
    return now, waiting


def _open(connection: Connection, stages: Sequence[Stage]) -> dict[str, dict[str, int]]:
    """Open jobs by the stage's key and state; those of stages that are per task are counted."""
    counted = funnel(connection)
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for stage in stages:
        of = _open_of_task(connection, stage) if stage.task else counted.get(stage.name, {})
        found[stage.key] = {state: of[state] for state in OPEN_STATES if of.get(state)}
    return found


def _open_of_task(connection: Connection, stage: Stage) -> dict[str, int]:
    mine = select(variants.c.id).where(variants_of(stage))
    return {
        state: connection.scalar(
            select(func.count()).where(
                jobs.c.stage == stage.name, in_state(state), jobs.c.variant_id.in_(mine)
            )
        )
        or 0
        for state in OPEN_STATES
    }


def _open_calls(connection: Connection) -> Counter[Turn]:
    waiting: Counter[Turn] = Counter()
    for state in OPEN_STATES:
        chosen = (
            select(turns.c.kind, turns.c.number, func.count())
            .select_from(
                jobs.join(calls, calls.c.id == jobs.c.subject_id).join(
                    turns, turns.c.id == first_turn_of(calls.c.prompt_id)
                )
            )
            .where(jobs.c.stage == "complete", in_state(state))
            .group_by(turns.c.kind, turns.c.number)
        )
        for kind, number, n in connection.execute(chosen):
            waiting[kind, int(number)] += int(n)
    return waiting


def _again(connection: Connection, stage: Stage, after: Policy) -> int:
    """Subjects that were done under another variant only; nothing is ever asked again by this."""
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


# What comes of it ----------------------------------------------------------------------------


def flow(
    start: Mapping[str, float],
    waiting: Mapping[Turn, float],
    history: History,
    policy: Policy,
    before: Policy,
) -> tuple[dict[str, float], dict[Turn, float], list[str]]:
    """Expect the jobs (by stage key) and calls (by kind and turn) that come of open work.

    Returns:
        The jobs, the calls, and the steps whose yield the store has not seen yet.
    """
    jobs_of: dict[str, float] = {stage.key: float(start.get(stage.key, 0)) for stage in PIPELINE}
    asked: dict[Turn, float] = defaultdict(float, {turn: float(n) for turn, n in waiting.items()})
    unseen: list[str] = []

    def times(n: float, share: Share, step: str) -> float:
        if n and not share.known and step not in unseen:
            unseen.append(step)
        return n * share.value

    first = ("transform", 1)
    asked[first] += times(jobs_of["transform"], history.through("transform"), "transform")
    answers = times(asked[first], history.answered("transform"), "complete")
    jobs_of["parse"] += answers
    jobs_of["generate"] += times(jobs_of["parse"], history.through("parse"), "parse")
    for task in enabled_names(policy):
        share = history.subjects(task, policy, before)
        jobs_of[f"predict:{task}"] += times(jobs_of["generate"], share, "generate")
        questions = jobs_of[f"predict:{task}"]
        asked[task, 1] += times(questions, history.calls(task, policy), "predict")
    _expect_turns(jobs_of, asked, history, policy, times)
    jobs_of["complete"] = sum(asked.values())
    return jobs_of, asked, unseen


def _expect_turns(
    jobs_of: dict[str, float],
    asked: dict[Turn, float],
    history: History,
    policy: Policy,
    times: Callable[[float, Share, str], float],
) -> None:
    """Follow the answers of each task through checking and revision, turn by turn."""
    judging = {task: jobs_of[f"verify:{task}"] for task in TASKS}
    revising = {task: jobs_of["revise"] / len(enabled_names(policy) or TASKS) for task in TASKS}
    for turn in range(1, policy.max_turns + 1):
        for task in [task for task in TASKS if asked[task, turn] or judging[task]]:
            got = times(asked[task, turn], history.answered(task), "complete")
            jobs_of[f"verify:{task}"] += got
            if turn < policy.max_turns:
                wrong = times(got + judging[task], history.wrong(turn), f"turn {turn}")
                jobs_of["revise"] += wrong
                asked[task, turn + 1] += wrong + revising[task]
            judging[task] = revising[task] = 0.0


# What it costs -------------------------------------------------------------------------------


def latest_prices(connection: Connection, settings: Mapping[str, Mapping[str, float]]) -> Prices:
    """The prices that the next call is charged: the settings', else the store's latest."""
    rows = connection.execute(select(prices).order_by(prices.c.from_time))
    known = {row.model: Price(row.input, row.cached, row.output) for row in rows}
    for model, price in settings.items():
        known[model] = price_from_settings(price)
    return known


def cost(
    asked: Mapping[Turn, float], history: History, choose: Chooser, known: Prices
) -> Iterator[Asking]:
    """What calls are expected to use."""
    for (kind, turn), n in sorted(asked.items(), key=lambda item: (item[0][1], item[0][0])):
        if n > 0:
            backend, model = choose(kind)
            if backend in FREE_BACKENDS:
                yield Asking(kind, turn, n, 0.0, 0.0, 0.0)
                continue
            price = known.get(model or "")
            charged = price and price.billed(backend)
            yield _asking(kind, turn, n, _alike(history, kind, turn, model), charged, model)


def _alike(history: History, kind: str, turn: int, model: str | None) -> list[Spent]:
    """What was spent on such turns: by that model, else by any; on another turn if on none."""
    told = [s for s in history.spent if s.kind == kind and s.answered and s.prompt_tokens]
    for chosen in ([s for s in told if s.turn == turn], told):
        if chosen:
            return [s for s in chosen if s.model == model] or chosen
    return []


def _asking(
    kind: str, turn: int, n: float, spent: Sequence[Spent], price: Price | None, model: str | None
) -> Asking:
    answered = sum(s.answered for s in spent)
    if not answered:
        return Asking(kind, turn, n, None, None, None)
    given = sum(s.prompt_tokens or 0 for s in spent) / answered
    cached = sum(s.cached_tokens or 0 for s in spent) / answered
    made = sum(s.completion_tokens or 0 for s in spent) / answered
    usd = None
    if price:
        usd = price.cost(given, cached, made)
    elif all(s.cost_usd is not None for s in spent) and (
        model is None or all(s.model == model for s in spent)
    ):
        usd = sum(s.cost_usd or 0.0 for s in spent) / answered
    return Asking(kind, turn, n, n * given, n * made, None if usd is None else n * usd)


# All of it -----------------------------------------------------------------------------------


def forecast(
    connection: Connection,
    history: History,
    before: Policy,
    after: Policy,
    choose: Chooser,
    known: Prices,
    again: Mapping[str, int | None] | None = None,
) -> Forecast:
    """What a run under the policy `after` would do; `again` says which stages are rerun first,
    and how many jobs of each (None: all).
    """
    now, waiting = stand(connection, after)
    by_name = _by_name(now)
    redone = {name: by_name[name].again if n is None else n for name, n in (again or {}).items()}
    start = {key: float(sum(of.open.values()) + of.new) for key, of in now.items()}
    for name, n in redone.items():
        if name != JUDGING:
            for key, share in _shares(now, name).items():
                start[key] += n * share
    jobs_of, asked, unseen = flow(start, waiting, history, after, before)
    expected = _sum_by_name(jobs_of)
    expected[JUDGING] += redone.get(JUDGING, 0)
    asking = tuple(cost(asked, history, choose, known))
    return Forecast(by_name, expected, asking, tuple(_notes(unseen, asking, list(redone))))


def _name(key: str) -> str:
    return key.partition(":")[0]


def _by_name(now: Mapping[str, Now]) -> dict[str, Now]:
    """Add up the parts of a stage that is one per task."""
    total: dict[str, Now] = {}
    for key, of in now.items():
        total[_name(key)] = total[_name(key)] + of if _name(key) in total else of
    return total


def _sum_by_name(jobs_of: Mapping[str, float]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for key, n in jobs_of.items():
        total[_name(key)] += n
    return total


def _shares(now: Mapping[str, Now], name: str) -> dict[str, float]:
    """How jobs that are done again divide among the parts of a stage."""
    mine = {key: of.again for key, of in now.items() if _name(key) == name}
    total = sum(mine.values())
    return {key: n / total if total else 1 / len(mine) for key, n in mine.items()}


def _notes(guessed: Sequence[str], asking: Sequence[Asking], again: Sequence[str]) -> Iterator[str]:
    if same := [name for name in again if name in MAKES_THE_SAME]:
        yield f"what comes out of {' and '.join(same)} as it was makes nothing new: this is the most"
    if guessed:
        yield f"nothing of this kind was done yet, so this is the most it can be: {', '.join(guessed)}"
    unknown = [f"{one.kind} turn {one.turn}" for one in asking if one.prompt_tokens is None]
    if unknown:
        yield f"no tries to learn tokens from: {', '.join(unknown)}"
    if any(one.usd is None and one.prompt_tokens is not None for one in asking):
        yield "no price for the model: set prices in annoy.toml"

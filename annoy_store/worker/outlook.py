"""What the store tells of a run while it works: jobs ended and expected, usage, the time left.

Decisions
- A thread of its own reads, so a slow query delays no job: the counters and the new attempts every
  second, the forecast of `annoy plan` for at most a twentieth of its CPU time, and a sixth of the
  time where a database server or a busy machine makes it wait.
- All workers of the store are counted, from the start of this run: they share the work that is left.
- The time left is that of time_left.py. What the store has not measured yet counts with its usual
  yield and tokens, and the outlook is then rough.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from annoy_store.analysis.expected_usage import latest_prices
from annoy_store.analysis.forecast import Forecast, forecast
from annoy_store.analysis.yields import read_yields
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.states import ENDED_STATES, STAGE_NAMES
from annoy_store.db.tables import attempts, verdicts
from annoy_store.inference.backends import backend_and_model
from annoy_store.inference.spend import Usage, usage_since
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import funnel
from annoy_store.records.policy import load_policy
from annoy_store.stages import PIPELINE
from annoy_store.worker.time_left import (
    READ_SECONDS,
    CallsLeft,
    EndedJobs,
    JobsLeft,
    Reading,
    Readings,
    seconds_left,
)

logger = logging.getLogger(__name__)

FORECAST_CPU_SHARE, FORECAST_SHARE = 20, 5  # of its own time passes before the next one
RATE_SECONDS = 30.0


@dataclass(frozen=True)
class StageOutlook:
    """One stage of a run.

    Attributes:
        ended: jobs that ended since the run started, by state.
        remaining: jobs that are still expected; None as long as there is no forecast.
        per_second: jobs that ended per second, over the last `RATE_SECONDS`.
    """

    ended: Mapping[str, int]
    remaining: float | None = None
    per_second: float = 0.0

    @property
    def n_ended(self) -> int:
        """How many jobs have ended."""
        return sum(self.ended.values())

    @property
    def total(self) -> int | None:
        """How many jobs are expected in all; None if unknown."""
        return None if self.remaining is None else self.n_ended + round(self.remaining)


@dataclass(frozen=True)
class Outlook:
    """A run at one moment: what was done, what it cost, what is to come.

    Attributes:
        stages: the stages of the run by name, in the order of the pipeline.
        usage: attempts since the run started, and what they used.
        usd: what the run is expected to cost in all, in USD; None if unknown.
        requests_per_minute: over the last `RATE_SECONDS`.
        tokens_per_minute: prompt and completion tokens, likewise.
        seconds_left: when the run is expected to end; None if unknown.
        is_rough: whether usual yields or tokens weigh more in it than measured ones.
        goal: correct chains in the store, and how many are wanted; None without a goal.
        verdicts: new verdicts by status.
    """

    stages: Mapping[str, StageOutlook]
    usage: Usage = field(default_factory=Usage)
    usd: float | None = None
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    seconds_left: float | None = None
    is_rough: bool = False
    goal: tuple[int, int] | None = None
    verdicts: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_ended(self) -> int:
        """How many jobs have ended."""
        return sum(stage.n_ended for stage in self.stages.values())


# Reading the store ---------------------------------------------------------------------------


class StoreWatcher:
    """Reads the outlook of a run from the store, in a thread of its own.

    Args:
        store: the store.
        settings: which models answer, and their prices.
        stages: the stages of the run.
        limit: the maximum number of jobs per stage; None for no limit.
        goal: returns how many chains are correct, and how many are wanted; None without a goal.
    """

    def __init__(
        self,
        store: Database,
        settings: RunSettings,
        stages: Sequence[Stage],
        limit: int | None = None,
        goal: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._store, self._settings, self._limit, self._goal = store, settings, limit, goal
        chosen = {stage.name for stage in stages}
        self._names = [name for name in STAGE_NAMES if name in chosen]
        self._is_whole = chosen == {stage.name for stage in PIPELINE}
        self._readings, self._usage = Readings(), Usage()
        self._verdicts: Counter[str] = Counter()
        self._forecast: Forecast | None = None
        self._at_forecast: Reading | None = None
        self._forecast_due = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="store-watcher", daemon=True)
        with store.read() as connection:
            self._before = funnel(connection)
            last_attempt = int(connection.scalar(select(func.max(attempts.c.id))) or 0)
            self._last_verdict = int(connection.scalar(select(func.max(verdicts.c.id))) or 0)
        self._before_usage = self._usage = Usage(last_attempt)
        self._started = time.monotonic()
        self._readings.add(Reading(self._started, {}))
        self.outlook = Outlook({name: StageOutlook({}) for name in self._names})

    def __enter__(self) -> StoreWatcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def read_last(self) -> Outlook:
        """Return the outlook after the end of the run, with every attempt of it."""
        self._usage = self._before_usage
        self._forecast_due = float("inf")
        with self._store.read() as connection:
            return self.read(connection)

    def _watch(self) -> None:
        while True:
            try:
                with self._store.read() as connection:
                    self.outlook = self.read(connection)
            except Exception as error:  # the run itself reports a store that is out of reach
                logger.info("no progress from the store: %s", error)
            if self._ended.wait(READ_SECONDS):
                return

    def read(self, connection: Connection) -> Outlook:
        """Return the outlook of this moment.

        Args:
            connection: a transaction that reads.
        """
        self._usage += usage_since(connection, self._usage.last_attempt_id)
        self._count_verdicts(connection)
        goal = self._goal() if self._goal else None
        counts = funnel(connection)
        busy = frozenset(name for name in self._names if counts.get(name, {}).get("claimed"))
        correct = goal[0] if goal else 0
        now = Reading(time.monotonic(), self._since(counts), self._usage, correct, busy)
        self._readings.add(now)
        if now.at >= self._forecast_due or self._has_first_tokens(now):
            cpu = time.thread_time()
            self._forecast, self._at_forecast = self._read_forecast(connection), now
            done = time.monotonic()
            spent = (
                FORECAST_CPU_SHARE * (time.thread_time() - cpu),
                FORECAST_SHARE * (done - now.at),
            )
            self._forecast_due = done + max(READ_SECONDS, *spent)
        return self._outlook(now, counts, goal)

    def _has_first_tokens(self, now: Reading) -> bool:
        """Return whether the forecast was made before any answer, and there is one now."""
        before = self._at_forecast
        return bool(before and now.completion_tokens and not before.completion_tokens)

    def _count_verdicts(self, connection: Connection) -> None:
        new = verdicts.c.id > self._last_verdict
        rows = connection.execute(
            select(verdicts.c.status, func.count(), func.max(verdicts.c.id))
            .where(new)
            .group_by(verdicts.c.status)
        )
        for status, n, last in rows.all():
            self._verdicts[status] += n
            self._last_verdict = max(self._last_verdict, last)

    def _since(self, counts: EndedJobs) -> dict[str, dict[str, int]]:
        """Return the jobs that ended since the run started, by stage and state."""
        return {
            name: {
                state: max(0, counts.get(name, {}).get(state, 0) - before.get(state, 0))
                for state in ENDED_STATES
            }
            for name in self._names
            for before in [self._before.get(name, {})]
        }

    def _read_forecast(self, connection: Connection) -> Forecast:
        policy = load_policy(connection)
        return forecast(
            connection,
            read_yields(connection),
            policy,
            policy,
            lambda kind: backend_and_model(self._settings, kind),
            latest_prices(connection, self._settings.prices),
        )

    # The outlook -----------------------------------------------------------------------------

    def _outlook(self, now: Reading, counts: EndedJobs, goal: tuple[int, int] | None) -> Outlook:
        remaining = self._remaining(now)
        stages = {
            name: StageOutlook(
                now.ended[name], remaining.get(name), self._rate(RATE_SECONDS, _ended_of(name))
            )
            for name in self._names
        }
        return Outlook(
            stages,
            now.usage,
            self._expected_usd(now),
            60 * self._rate(RATE_SECONDS, lambda r: r.usage.attempts),
            60 * self._rate(RATE_SECONDS, _tokens),
            self._seconds_left(now, remaining, counts, goal),
            self._is_whole and self._forecast is not None and self._forecast.is_rough,
            goal,
            dict(self._verdicts),
        )

    def _expected_usd(self, now: Reading) -> float | None:
        """Return what the run will have cost; None if unknown, or if it does not do all work."""
        is_bounded = self._limit is not None or self._goal is not None or not self._is_whole
        if is_bounded or self._forecast is None or self._at_forecast is None:
            return None
        to_come, spent = self._forecast.usd, self._at_forecast.usage.cost_usd
        if to_come is None or spent is None or now.usage.cost_usd is None:
            return None
        return max(now.usage.cost_usd, spent + to_come)

    def _rate(self, seconds: float, count: Callable[[Reading], float]) -> float:
        return self._readings.per_second(seconds, count)

    def _remaining(self, now: Reading) -> dict[str, float]:
        """Return the jobs that are expected from now on, by stage; empty without a forecast."""
        if self._forecast is None or self._at_forecast is None:
            return {}
        left = {}
        for name in self._names:
            work = self._forecast.work[name]
            known = sum(work.open.values()) + work.new
            expected = self._forecast.expected[name] if self._is_whole else float(known)
            ended = now.n_ended(name)
            left[name] = max(0.0, expected - (ended - self._at_forecast.n_ended(name)))
            if self._limit is not None:
                left[name] = min(left[name], max(0.0, self._limit - ended))
        return left

    def _seconds_left(
        self,
        now: Reading,
        remaining: Mapping[str, float],
        counts: EndedJobs,
        goal: tuple[int, int] | None,
    ) -> float | None:
        if not remaining:
            return None
        elapsed = now.at - self._started
        others = [name for name in self._names if name != "complete"]
        waiting = sum(counts.get(name, {}).get("pending", 0) for name in others)
        jobs = sum(remaining[name] for name in others)
        left = JobsLeft(jobs, waiting, self._readings.working_rate(elapsed, others))
        times = [seconds_left(self._calls_left(elapsed, remaining.get("complete", 0.0)), left)]
        if goal and (rate := self._readings.working_rate(elapsed, ["verify"], lambda r: r.correct)):
            times.append(max(0, goal[1] - goal[0]) / rate)
        return min((t for t in times if t is not None), default=None)

    def _calls_left(self, elapsed: float, calls: float) -> CallsLeft:
        """Return the calls to come, with the tokens of the forecast's calls on average."""
        expected = self._forecast.call_forecasts if self._forecast else ()
        known = [one for one in expected if one.completion_tokens is not None]
        tokens = None
        if known and len(known) == len(expected):
            n = sum(one.calls for one in known)
            tokens = calls * sum(one.completion_tokens or 0.0 for one in known) / n
        return CallsLeft(
            calls,
            tokens,
            self._readings.working_rate(elapsed, ["complete"]),
            self._readings.working_rate(elapsed, ["complete"], lambda r: r.completion_tokens),
        )


def _ended_of(stage: str) -> Callable[[Reading], float]:
    return lambda reading: reading.n_ended(stage)


def _tokens(reading: Reading) -> float:
    return reading.usage.tokens["prompt"] + reading.usage.tokens["completion"]

"""When a run is expected to end: the work that is left at the rate of its bottleneck.

Decisions
- Calls to a model decide how long a run takes: the time left is that of the calls to come. The other
  stages share threads and sandbox, so they are counted together: where their jobs pile up faster
  than they are done, these decide if they take longer.
- A call takes a time of its own and a time per token, in a proportion that no endpoint tells. The
  calls left at the rate of calls and their tokens left at the rate of tokens bound the truth where
  the answers to come are longer or shorter than those so far; the geometric mean lies between.
- A rate covers the last third of a run, from 30 s to ten minutes, but not the time before its stage
  began; it does cover the time of the first calls, which end all at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import sqrt

from annoy_store.inference.spend import Usage

READ_SECONDS = 1.0
TIME_LEFT_SHARE = 3
TIME_LEFT_SECONDS = (30.0, 600.0)
BACKLOG_SECONDS = 10.0  # open jobs for so long at the present rate are a backlog
EndedJobs = Mapping[str, Mapping[str, int]]
"""Numbers of jobs by stage and state."""


@dataclass(frozen=True)
class Reading:
    """The counts of one moment, since the run started.

    Attributes:
        at: monotonic time in seconds.
        ended: jobs that ended, by stage and state.
        usage: attempts and what they used.
        correct: correct chains in the store; 0 without a goal.
        busy: stages of which a job is claimed.
    """

    at: float
    ended: EndedJobs
    usage: Usage = field(default_factory=Usage)
    correct: int = 0
    busy: frozenset[str] = frozenset()

    def n_ended(self, stage: str) -> int:
        """Return how many jobs of a stage have ended."""
        return sum(self.ended.get(stage, {}).values())

    @property
    def completion_tokens(self) -> int:
        """Completion tokens of the attempts."""
        return self.usage.tokens["completion"]


class Readings:
    """The readings of a run in the order of time; those of the last ten minutes are kept."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque()

    def add(self, reading: Reading) -> None:
        """Add a reading, later than all others."""
        self._readings.append(reading)
        while self._readings[0].at < reading.at - max(TIME_LEFT_SECONDS) - READ_SECONDS:
            self._readings.popleft()

    def per_second(self, seconds: float, count: Callable[[Reading], float]) -> float:
        """Return the rate at which a count has grown over the last `seconds`."""
        last = self._readings[-1]
        window = [r for r in self._readings if r.at >= last.at - seconds]
        return _rate(window[0], last, count)

    def working_rate(
        self,
        elapsed: float,
        stages: Collection[str],
        count: Callable[[Reading], float] | None = None,
    ) -> float:
        """Return the rate at which a count has grown in the last third of a run.

        Args:
            elapsed: seconds since the run started.
            stages: the stages that make it grow.
            count: what is counted; None for the jobs of the stages.
        """
        count = count or (lambda reading: sum(map(reading.n_ended, stages)))
        least, most = TIME_LEFT_SECONDS
        last = self._readings[-1]
        start = last.at - min(most, max(least, elapsed / TIME_LEFT_SHARE))
        window = [r for r in self._readings if r.at >= start]
        idle = [r for r in window if not count(r) and r.busy.isdisjoint(stages)]
        return _rate(idle[-1] if idle else window[0], last, count)


def _rate(first: Reading, last: Reading, count: Callable[[Reading], float]) -> float:
    grown = count(last) - count(first)
    return max(0.0, grown) / (last.at - first.at) if last.at > first.at else 0.0


@dataclass(frozen=True)
class CallsLeft:
    """The calls that are expected, and how fast such calls are answered.

    Attributes:
        calls: expected calls.
        tokens: their expected completion tokens; None if unknown.
        calls_per_second: calls that end.
        tokens_per_second: their completion tokens.
    """

    calls: float = 0.0
    tokens: float | None = None
    calls_per_second: float = 0.0
    tokens_per_second: float = 0.0

    @property
    def seconds(self) -> float | None:
        """How long they take; None if nothing can be said."""
        if self.calls < 0.5:
            return 0.0
        if not self.calls_per_second:
            return None
        by_calls = self.calls / self.calls_per_second
        if not self.tokens or not self.tokens_per_second:
            return by_calls
        return sqrt(by_calls * self.tokens / self.tokens_per_second)


@dataclass(frozen=True)
class JobsLeft:
    """The jobs of all other stages that are expected.

    Attributes:
        jobs: expected jobs.
        pending: those of them that are enqueued and not claimed.
        per_second: jobs that end.
    """

    jobs: float = 0.0
    pending: float = 0.0
    per_second: float = 0.0

    @property
    def pile_up(self) -> bool:
        """Whether there are more of them than are done in a while."""
        return self.pending > self.per_second * BACKLOG_SECONDS


def seconds_left(calls: CallsLeft, others: JobsLeft) -> float | None:
    """Return how long the expected jobs take, in seconds; None if nothing can be said."""
    if calls.calls < 0.5 and others.jobs < 0.5:
        return 0.0
    if calls.seconds is None:
        return None
    if calls.seconds and not (others.pile_up and others.per_second):
        return calls.seconds
    return max(calls.seconds, others.jobs / others.per_second) if others.per_second else None

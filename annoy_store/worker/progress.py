"""The progress of a run: what was done so far."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from annoy_store.worker.outlook import Outlook


@dataclass
class Progress:
    """What a run has done so far.

    Attributes:
        ended: ended jobs by (stage, state).
        reasons: ended jobs by (stage, reason); the latest reason is the last.
        enqueued: new jobs by stage.
        in_flight: jobs that are claimed and have not ended.
        submitted_calls: calls that were submitted in batches.
        notice: why no call is sent now, as a sentence; empty otherwise.
        waiting_for: open jobs that the run waits for, by state and worker that holds them.
        connections: calls in flight and the most that may be, by model and host of the endpoint.
        outlook: what the store tells of the run; None until it was read.
        stopping: whether a signal asked the run to end.
        started: monotonic time at which the run started.
    """

    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    enqueued: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    submitted_calls: int = 0
    notice: str = ""
    waiting_for: dict[tuple[str, int | None], int] = field(default_factory=dict)
    connections: dict[str, tuple[int, int]] = field(default_factory=dict)
    outlook: Outlook | None = None
    stopping: bool = False
    started: float = field(default_factory=time.monotonic)

    def record(self, stage: str, state: str, reason: str | None) -> None:
        """Count a job that ended."""
        self.ended[stage, state] += 1
        if reason:
            self.reasons[stage, reason] = self.reasons.pop((stage, reason), 0) + 1

    def copy(self) -> Progress:
        """Return a copy that later jobs do not change."""
        return replace(
            self,
            ended=self.ended.copy(),
            reasons=self.reasons.copy(),
            enqueued=self.enqueued.copy(),
            waiting_for=dict(self.waiting_for),
        )

    @property
    def failed(self) -> int:
        """How many jobs failed."""
        return sum(n for (_, state), n in self.ended.items() if state == "failed")


def by_stage(progress: Progress) -> dict[str, dict[str, int]]:
    """Return the ended jobs of a run by stage and state."""
    out: dict[str, dict[str, int]] = defaultdict(dict)
    for (stage, state), n in sorted(progress.ended.items()):
        out[stage][state] = n
    return dict(out)

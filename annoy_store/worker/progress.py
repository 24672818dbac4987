"""What a run did so far, for whoever shows it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass
class Progress:
    """What a run did so far: ended jobs by (stage, state), what it waits for, and why."""

    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    enqueued: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    submitted_calls: int = 0  # calls, in batches
    notice: str = ""
    waiting_for: dict[tuple[str, int | None], int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def failed(self) -> int:
        return sum(n for (_, state), n in self.ended.items() if state == "failed")


def by_stage(progress: Progress) -> dict[str, dict[str, int]]:
    """Ended jobs of a run by stage and state."""
    out: dict[str, dict[str, int]] = defaultdict(dict)
    for (stage, state), n in sorted(progress.ended.items()):
        out[stage][state] = n
    return dict(out)

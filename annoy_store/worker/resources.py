"""The hands of a worker: its sandbox and its teachers, opened when first needed.

Decisions
- One sandbox and one teacher per (backend, model) serve the whole process, because a sandbox knows
  its slots and a teacher's limiter knows its endpoint.
- A teacher whose answers come in batches has a row as every teacher, but no worker claims its
  calls: nobody waits for them (batching/).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.inference import backends
from annoy_store.inference.budgeted_backend import with_budgets
from annoy_store.inference.budgets import BudgetShare, budget_shares
from annoy_store.inference.client.peak_hours import PeakHours
from annoy_store.inference.client.providers import peak_hours
from annoy_store.inference.shared_rate_limit import SharedRateLimit
from annoy_store.interfaces import TURN_KINDS, Sandbox, Teacher
from annoy_store.records.teachers import BATCH_BACKEND, register_teacher
from annoy_store.sandbox import open_sandbox

CLOCK_SECONDS = 5.0  # between two looks at the clock


class WorkerResources:
    """Opens the sandbox and the teachers that the settings name, once each."""

    def __init__(self, store: Database, settings: RunSettings) -> None:
        self._store, self._settings = store, settings
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._teachers: dict[int, Teacher] = {}
        self._by_kind: dict[str, int] = {}
        self._handed_in: set[int] = set()
        self._purses: list[BudgetShare] = []
        self._peak: PeakHours | None = None
        self._peak_end: datetime | None = None
        self._look_at = 0.0

    def sandbox(self) -> Sandbox:
        """The sandbox. Raises UsageError when none works here."""
        with self._lock:
            if self._sandbox is None:
                self._sandbox = open_sandbox(
                    slots=self._settings.slots,
                    python=self._settings.python,
                    unsafe=self._settings.unsafe_no_sandbox,
                    allow_subprocess=self._settings.allow_subprocess,
                )
            return self._sandbox

    def open_teachers(self) -> None:
        """Open the teachers of all kinds of turn and enter them in the store."""
        opened: dict[tuple[str, str | None], int] = {}
        self._open_budgets()
        for kind in TURN_KINDS:
            choice = backends.backend_and_model(self._settings, kind)
            if choice not in opened:
                teacher = backends.open_backend(choice[0], self._settings, choice[1])
                if hasattr(teacher, "use_sandbox"):
                    teacher.use_sandbox(self.sandbox)
                if hasattr(teacher, "share_rate_limit"):
                    teacher.share_rate_limit(SharedRateLimit(self._store, teacher.identity))
                opened[choice] = self._enter(teacher)
                if choice[0] == BATCH_BACKEND:
                    self._handed_in.add(opened[choice])
            self._by_kind[kind] = opened[choice]

    def _open_budgets(self) -> None:
        """Open what bounds our asking."""
        if self._settings.only_off_peak:
            self._peak = peak_hours(self._settings)
        self._purses = budget_shares(self._store, self._settings)

    def _enter(self, teacher: Teacher) -> int:
        key = register_teacher(self._store, teacher)
        bounded = teacher.identity.backend != BATCH_BACKEND
        purses = self._purses if bounded else []
        self._teachers[key] = with_budgets(self._store, teacher, purses, self._settings)
        return key

    def teacher(self, kind: str, pinned_teacher_id: int) -> tuple[int, Teacher]:
        """The teacher of a kind of turn, or the pinned one, with its id."""
        chosen = pinned_teacher_id or self._by_kind[kind]
        return chosen, self._teachers[chosen]

    @property
    def teachers(self) -> Mapping[int, Teacher]:
        return self._teachers

    def can_answer(self, only: Mapping[str, object]) -> bool:
        """True when these teachers can answer calls narrowed to `only` (kind, pinned teacher)."""
        if self.exhausted_budget:
            return False
        pinned = only.get("pinned_teacher_id")
        teacher_id = pinned or self._by_kind.get(str(only.get("kind")))
        known = pinned == 0 or pinned in self._teachers
        return known and teacher_id not in self._handed_in

    def max_in_flight(self) -> int:
        """How many calls may be in flight now; 0 when nothing is to be asked."""
        if self.exhausted_budget or self.peak_hours_end():
            return 0
        capacity = sum(teacher.capacity for teacher in self._teachers.values())
        return min(self._settings.max_connections, max(1, capacity))

    @property
    def exhausted_budget(self) -> str | None:
        """Which budget is reached, if one is."""
        return next((str(purse) for purse in self._purses if purse.reached), None)

    def peak_hours_end(self) -> datetime | None:
        """When the peak hours that we wait for are over; None when it is not them."""
        if self._peak is None:
            return None
        if time.monotonic() >= self._look_at:
            self._peak_end = self._peak.peak_end(datetime.now(UTC))
            self._look_at = time.monotonic() + CLOCK_SECONDS
        return self._peak_end

    def drain_teachers(self) -> None:
        """Begin no more tries; to be called on the loop that the teachers live in."""
        for teacher in self._teachers.values():
            teacher.drain()

    async def close_teachers(self) -> None:
        for teacher in self._teachers.values():
            await teacher.close()
        for purse in self._purses:
            await purse.close()

    def close(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()

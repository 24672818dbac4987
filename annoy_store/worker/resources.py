"""The resources of a worker: its sandbox and its model clients, opened when first needed.

Decisions
- One sandbox and one teacher per (backend, model) serve the whole process, because a sandbox owns
  its slots and a teacher's rate limiter belongs to one endpoint.
- A teacher that answers in batches has a row like every other teacher, but no worker claims its
  calls: they are submitted and collected by `batch/`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.inference import backends
from annoy_store.inference.budgeted_backend import with_budgets
from annoy_store.inference.budgets import BudgetShare, budget_shares
from annoy_store.inference.client.peak_hours import PeakHours
from annoy_store.inference.client.providers import peak_hours
from annoy_store.inference.shared_rate_limit import SharedRateLimit
from annoy_store.interfaces import Sandbox, Teacher
from annoy_store.records.executions import call_limits
from annoy_store.records.policy import load_policy
from annoy_store.records.teachers import BATCH_BACKEND, OmittedParameters, register_teacher
from annoy_store.sandbox import open_sandbox

CLOCK_SECONDS = 5.0  # between two checks for peak hours


class WorkerResources:
    """Opens and closes the sandbox and the teachers that the settings name, each once.

    Args:
        store: the store in which the teachers are registered.
        settings: the sandbox, the teachers and the budgets.
    """

    def __init__(self, store: Database, settings: RunSettings) -> None:
        self._store, self._settings = store, settings
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._teachers: dict[int, Teacher] = {}
        self._by_role: dict[str, int] = {}
        self._batch_ids: set[int] = set()
        self._budgets: list[BudgetShare] = []
        self._peak: PeakHours | None = None
        self._peak_end: datetime | None = None
        self._check_at = 0.0

    def sandbox(self) -> Sandbox:
        """Return the sandbox, opened by the first call; thread-safe.

        Raises:
            UsageError: no isolation level works on this machine, or this process inherited limits
                below those of the store's policy.
        """
        with self._lock:
            if self._sandbox is None:
                with self._store.read() as connection:
                    limits = call_limits(load_policy(connection))
                self._sandbox = open_sandbox(
                    slots=self._settings.slots,
                    python=self._settings.python,
                    unsafe=self._settings.unsafe_no_sandbox,
                    allow_subprocess=self._settings.allow_subprocess,
                    limits=limits,
                )
            return self._sandbox

    def open_teachers(self) -> None:
        """Open the teachers of all kinds of turns and register them in the store.

        Raises:
            UsageError: a setting is missing or wrong, or a budget is invalid.
        """
        opened: dict[tuple[str, str | None], int] = {}
        self._open_budgets()
        for role in backends.ROLES:
            choice = backends.backend_and_model(self._settings, role)
            if choice not in opened:
                teacher = backends.open_backend(choice[0], self._settings, choice[1])
                if hasattr(teacher, "use_sandbox"):
                    teacher.use_sandbox(self.sandbox)
                if hasattr(teacher, "share_rate_limit"):
                    teacher.share_rate_limit(SharedRateLimit(self._store, teacher.identity))
                opened[choice] = self._register(teacher)
                if hasattr(teacher, "share_omitted"):
                    teacher.share_omitted(OmittedParameters(self._store, opened[choice]))
                if choice[0] == BATCH_BACKEND:
                    self._batch_ids.add(opened[choice])
            self._by_role[role] = opened[choice]

    def _open_budgets(self) -> None:
        """Open the budgets and the peak hours that limit calls."""
        if self._settings.only_off_peak:
            self._peak = peak_hours(self._settings)
        self._budgets = budget_shares(self._store, self._settings)

    def _register(self, teacher: Teacher) -> int:
        teacher_id = register_teacher(self._store, teacher)
        is_batch = teacher.identity.backend == BATCH_BACKEND
        shares = [] if is_batch else self._budgets
        self._teachers[teacher_id] = with_budgets(self._store, teacher, shares, self._settings)
        return teacher_id

    def teacher(self, kind: str, pinned_teacher_id: int) -> tuple[int, Teacher]:
        """Return the id and the teacher of a call.

        Args:
            kind: the kind of turn.
            pinned_teacher_id: the teacher that the call is pinned to; 0 for the kind's teacher.
        """
        teacher_id = pinned_teacher_id or self._by_role[backends.role_of(kind)]
        return teacher_id, self._teachers[teacher_id]

    @property
    def teachers(self) -> Mapping[int, Teacher]:
        """The open teachers by id."""
        return self._teachers

    def can_answer(self, columns: Mapping[str, object]) -> bool:
        """Return whether these teachers answer the calls of a partition now.

        Args:
            columns: what all calls of the partition share: `kind`, `pinned_teacher_id`.
        """
        if self.exhausted_budget:
            return False
        pinned = columns.get("pinned_teacher_id")
        teacher_id = pinned or self._by_role.get(backends.role_of(str(columns.get("kind"))))
        known = pinned == 0 or pinned in self._teachers
        return known and teacher_id not in self._batch_ids

    def max_in_flight(self) -> int:
        """Return how many calls may be in flight now; 0 when no call may be sent."""
        if self.exhausted_budget or self.peak_hours_end():
            return 0
        teachers = self._teachers.values()
        capacity = sum(teacher.capacity for teacher in teachers)
        n_set_aside = sum(getattr(teacher, "n_set_aside", 0) for teacher in teachers)
        return min(self._settings.max_connections + n_set_aside, max(1, capacity))

    def connections(self) -> dict[str, tuple[int, int]]:
        """Return calls in flight and the most that may be, by model and host of the endpoint."""
        found: dict[str, tuple[int, int]] = {}
        for teacher in list(self._teachers.values()):
            if (connections := getattr(teacher, "connections", None)) is not None:
                host = urlsplit(teacher.identity.base_url).netloc.rpartition("@")[2]
                found[f"{teacher.identity.model} at {host}"] = connections
        return found

    def notice(self) -> str:
        """Return why teachers answer nothing now, as a sentence; empty if they do."""
        notices = {getattr(teacher, "notice", str)() for teacher in self._teachers.values()}
        return "; ".join(sorted(notices - {""}))

    @property
    def exhausted_budget(self) -> str | None:
        """The budget that is used up, as a sentence; None while there is none."""
        return next((str(share) for share in self._budgets if share.reached), None)

    def peak_hours_end(self) -> datetime | None:
        """Return when the present peak hours end; None outside of them, or if they are allowed."""
        if self._peak is None:
            return None
        if time.monotonic() >= self._check_at:
            self._peak_end = self._peak.peak_end(datetime.now(UTC))
            self._check_at = time.monotonic() + CLOCK_SECONDS
        return self._peak_end

    def drain_teachers(self) -> None:
        """Tell the teachers to start no more attempts; called on the loop that they run on."""
        for teacher in self._teachers.values():
            teacher.drain()

    async def close_teachers(self) -> None:
        """Close the connections of the teachers and return what is left of the budget blocks."""
        for teacher in self._teachers.values():
            await teacher.close()
        for share in self._budgets:
            await share.close()

    def close(self) -> None:
        """End the processes of the sandbox."""
        if self._sandbox is not None:
            self._sandbox.close()

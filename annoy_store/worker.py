"""The worker: the one loop that claims, works, settles and heartbeats until nothing is pending.

Decisions
- One thread talks to the store. Lanes work in others and hand back how jobs ended; results are
  settled in groups, so one commit serves many.
- Stages near the end are fed first: chains close early, and what waits is small.
- A suspect (its last holder died) is worked on alone; where it cannot kill, with the others.
- A run ends when nothing that it may claim is pending, due, suspect or held by anybody else. It
  plans once more before it ends, and it waits for others, saying for whom.
- The first signal drains: nothing new is begun, calls in flight are waited for, the rest goes
  back. The second stops at once. kill -9 loses at most the work in flight.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from annoy_store import ledger, workforce
from annoy_store.contracts import Lane as LaneName
from annoy_store.contracts import Outcome, Stage, Tools
from annoy_store.counting import fold_counters
from annoy_store.database import Store, analyse, is_transient
from annoy_store.errors import LostClaim, StopRun
from annoy_store.hands import Hands
from annoy_store.lanes import AskingLane, Lane, Results, Stopped, Task, ThreadLane, work_on
from annoy_store.ledger import Claim, Ended
from annoy_store.planning import plan_all
from annoy_store.policies import Agenda, draw_up
from annoy_store.settings import RunSettings
from annoy_store.stages import PIPELINE
from annoy_store.tables import jobs

INLINE_BATCH = 128
COMMIT_ROWS = 500
COMMIT_SECONDS = 0.1
IDLE_SECONDS = 0.25
MAINTAIN_SECONDS = 5.0
GRACE_SECONDS = 60.0
BYSTANDERS = tuple(stage.name for stage in PIPELINE if stage.lane == "asking")


@dataclass
class Progress:
    """What a run did so far: ended jobs by (stage, state), and what it waits for."""

    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    entered: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    waiting_for: dict[tuple[str, int | None], int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def failed(self) -> int:
        return sum(n for (_, state), n in self.ended.items() if state == "failed")


class Worker:
    """One process's share of a run over `stages` of a store."""

    def __init__(
        self,
        store: Store,
        settings: RunSettings,
        stages: Sequence[Stage] = PIPELINE,
        *,
        limit: int | None = None,
        watch: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.store, self.settings, self.stages = store, settings, stages
        self.limit, self.watch, self.on_progress = limit, watch, on_progress
        self.progress = Progress()
        self.hands = Hands(store, settings)
        self._results: Results = SimpleQueue()
        self._lanes: dict[LaneName, Lane] = {}
        self._held: dict[tuple[str, int, int], Claim] = {}
        self._cursors: dict[tuple[str, int], tuple[int, int]] = {}
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._error: StopRun | None = None
        self._worker_id = 0
        self._maintained = 0.0
        self._left = dict.fromkeys((s.name for s in stages), limit)
        self._alone = False
        self._agenda: Agenda

    # Life ------------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Work until nothing is left. Raises StopRun or LostClaim when it had to end early."""
        if any(stage.lane == "asking" for stage in self.stages):
            self.hands.open_teachers()
        if any(stage.lane == "sandbox" for stage in self.stages):
            self.hands.sandbox()
        self._enlist()
        beat = threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True)
        beat.start()
        try:
            self._open_lanes()
            self._loop()
            self._wind_up()
        finally:
            self._stop.set()
            self._leave()
        if self._error:
            raise self._error
        return self.progress

    def stop(self) -> None:
        """Drain: begin nothing new, finish what is in flight, give the rest back."""
        self._stop.set()

    def _enlist(self) -> None:
        names = [stage.name for stage in self.stages]
        with self.store.write() as connection:
            self._worker_id = workforce.enlist(connection, names, self.settings.lease_seconds)
        self._maintain()
        self._plan()

    def _open_lanes(self) -> None:
        wanted = {stage.lane for stage in self.stages}
        if "sandbox" in wanted:
            self._lanes["sandbox"] = ThreadLane(self._results, self.hands.sandbox().slots)
        if "asking" in wanted:
            self._lanes["asking"] = AskingLane(self._results, self.hands.limit)

    def _leave(self) -> None:
        for lane in self._lanes.values():
            if isinstance(lane, AskingLane):
                lane.cancel()
                lane.call(self.hands.close_teachers())
            lane.close()
        self.hands.close()
        self._settle(self._drain_queue())
        with self.store.write() as connection:
            ledger.release(connection, self._worker_id, list(self._held.values()))
            workforce.retire(connection, self._worker_id)
            fold_counters(connection)

    def _heartbeat(self) -> None:
        while not self._stop.wait(self.settings.lease_seconds / 3):
            self._beat()
        # draining keeps the lease, too
        while self._held and not self._lost.is_set():
            self._beat()
            time.sleep(self.settings.lease_seconds / 3)

    def _beat(self) -> None:
        try:
            with self.store.write() as connection:
                workforce.renew(connection, self._worker_id, self.settings.lease_seconds)
        except LostClaim:
            self._lost.set()
            self._stop.set()
        except Exception as error:
            if not is_transient(error):
                raise

    # The loop --------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._settle(self._collect())
            if self._error:
                return
            busy = self._feed()
            if time.monotonic() - self._maintained > MAINTAIN_SECONDS:
                self._maintain()
            self._report()
            if not busy and not self._held and self._over():
                return

    def _over(self) -> bool:
        """True when there is nothing left for us; waits a little when others may make more."""
        self._maintain()
        if self._plan():
            return False
        with self.store.read() as connection:
            claimable = self._claimable()
            still = ledger.open_jobs(connection, [(s.name, v) for s, v in claimable])
        self.progress.waiting_for = still
        exhausted = not claimable or not any(state in ("pending", "suspect") for state, _ in still)
        if not self.watch and (not still or (self._is_limited() and exhausted)):
            return True
        self._report()
        self._stop.wait(IDLE_SECONDS)
        return False

    def _is_limited(self) -> bool:
        return self.limit is not None and all(n == 0 for n in self._left.values())

    def _wind_up(self) -> None:
        """Give back what has not begun, wait for what is in flight, settle it."""
        for lane in self._lanes.values():
            self._release(lane.drain())
        deadline = time.monotonic() + GRACE_SECONDS
        while any(lane.held() for lane in self._lanes.values()) and time.monotonic() < deadline:
            self._settle(self._collect())
            self._report()
        self._settle(self._drain_queue())
        if self._lost.is_set():
            raise LostClaim("this worker was declared dead; others hold its jobs")

    def _report(self) -> None:
        self.progress.in_flight = len(self._held)
        self.on_progress(self.progress)

    # Planning and upkeep ---------------------------------------------------------------------

    def _plan(self) -> int:
        with self.store.write() as connection:
            self._agenda = draw_up(connection, PIPELINE)
            entered = plan_all(connection, self._agenda, self._worker_id)
            if entered.total() > 10_000:
                analyse(connection, jobs)
        self.progress.entered += entered
        return sum(entered[stage.name] for stage in self.stages)

    def _maintain(self) -> None:
        with self.store.write() as connection:
            workforce.maintain(connection, self._worker_id, BYSTANDERS)
            self._agenda = draw_up(connection, PIPELINE)
        self._maintained = time.monotonic()

    # Claiming --------------------------------------------------------------------------------

    def _claimable(self) -> list[tuple[Stage, int]]:
        """(stage, variant) that this worker may claim, nearest to the end first."""
        return [
            (stage, case.variant_id)
            for stage in reversed(self.stages)
            for case in self._agenda.cases[stage.name]
            if self._left[stage.name] != 0
            if stage.lane != "asking" or self.hands.answers(case.only)
        ]

    def _feed(self) -> bool:
        """Claim what there is room for and hand it to its lane; True when anything was claimed."""
        if self._alone and self._held:
            return True
        self._alone = False
        busy = False
        for stage, variant_id in self._claimable():
            lane = self._lanes.get(stage.lane)
            room = lane.room() if lane else INLINE_BATCH
            left = self._left[stage.name]
            room = room if left is None else min(room, left)
            if room > 0 and (claims := self._claim(stage, variant_id, room)):
                busy = True
                self._begin(stage, variant_id, claims, lane)
        return busy or self._try_suspect()

    def _claim(self, stage: Stage, variant_id: int, room: int) -> list[Claim]:
        place = stage.name, variant_id
        with self.store.write() as connection:
            workforce.renew(connection, self._worker_id, self.settings.lease_seconds)
            start = self._cursors.pop(place, ledger.START)
            claims = ledger.claim(connection, self._worker_id, *place, room, start)
            if not claims and start != ledger.START:
                claims = ledger.claim(connection, self._worker_id, *place, room)
            if not claims and stage.lane == "asking":
                claims = ledger.claim_suspects(connection, self._worker_id, *place, room)
            elif len(claims) == room:
                self._cursors[place] = claims[-1].priority, claims[-1].subject_id
        return claims

    def _try_suspect(self) -> bool:
        """Take one suspect, when nothing else is in hand that it could take along."""
        if self._held:
            return False
        for stage, variant_id in self._claimable():
            if stage.lane == "asking":
                continue
            with self.store.write() as connection:
                workforce.renew(connection, self._worker_id, self.settings.lease_seconds)
                claims = ledger.claim_suspects(
                    connection, self._worker_id, stage.name, variant_id, 1
                )
            if claims:
                self._alone = True
                self._begin(stage, variant_id, claims, self._lanes.get(stage.lane))
                return True
        return False

    def _begin(self, stage: Stage, variant_id: int, claims: list[Claim], lane: Lane | None) -> None:
        self._held.update(((c.stage, *c.key), c) for c in claims)
        if (left := self._left[stage.name]) is not None:
            self._left[stage.name] = left - len(claims)
        with self.store.read() as connection:
            rows = ledger.load(connection, self._agenda, stage, claims)
        tools = Tools(
            self._agenda.policy, variant_id, self.hands.sandbox, self.hands.teacher,
            self._worker_id,
        )  # fmt: skip
        unwanted = [Ended(c, Outcome("rejected", (), "not_wanted")) for c in claims
                    if c.subject_id not in rows]  # fmt: skip
        tasks = [Task(c, stage, rows[c.subject_id], tools) for c in claims if c.subject_id in rows]
        if lane is None:
            self._settle([*unwanted, *map(work_on, tasks)])
        else:
            lane.submit(tasks)
            self._settle(unwanted)

    # Settling --------------------------------------------------------------------------------

    def _collect(self) -> list[Ended | Stopped]:
        """Wait shortly for results, then gather what comes for one commit."""
        if not any(lane.held() for lane in self._lanes.values()) and self._results.empty():
            return []
        gathered: list[Ended | Stopped] = []
        until = time.monotonic() + COMMIT_SECONDS
        while len(gathered) < COMMIT_ROWS and (left := until - time.monotonic()) > 0:
            try:
                gathered.append(self._results.get(timeout=left))
            except Empty:
                break
        return gathered

    def _drain_queue(self) -> list[Ended | Stopped]:
        gathered = []
        while not self._results.empty():
            gathered.append(self._results.get())
        return gathered

    def _settle(self, results: Iterable[Ended | Stopped]) -> None:
        gathered = list(results)
        ended = [r for r in gathered if isinstance(r, Ended)]
        stopped = [r for r in gathered if isinstance(r, Stopped)]
        if stopped:
            self._error = self._error or stopped[0].error
            self._release([s.claim for s in stopped])
        if ended:
            self._settle_ended(ended)

    def _settle_ended(self, ended: list[Ended]) -> None:
        for attempt in range(5):
            try:
                with self.store.write() as connection:
                    accepted = ledger.settle(connection, self._worker_id, ended, self._agenda)
                break
            except Exception as error:
                if attempt == 4 or not is_transient(error):
                    raise
                time.sleep(0.05 * 2**attempt)
        kept = set(accepted)
        for e in ended:
            self._held.pop((e.claim.stage, *e.claim.key), None)
            if e.claim in kept:
                self.progress.ended[e.claim.stage, e.outcome.state] += 1
                if e.outcome.reason:
                    self.progress.reasons[e.claim.stage, e.outcome.reason] += 1

    def _release(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return
        with self.store.write() as connection:
            ledger.release(connection, self._worker_id, claims)
        for c in claims:
            self._held.pop((c.stage, *c.key), None)


def by_stage(progress: Progress) -> dict[str, dict[str, int]]:
    """Ended jobs of a run by stage and state."""
    out: dict[str, dict[str, int]] = defaultdict(dict)
    for (stage, state), n in sorted(progress.ended.items()):
        out[stage][state] = n
    return dict(out)

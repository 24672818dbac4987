"""A fleet on a Ray cluster: `annoy run` once per group of sandbox slots, all on one store.

Decisions
- Ray places processes and says when one is gone; the store stays the truth. An actor is a run like
  any other, with a worker's row and lease, so one that dies is a dead worker: the others take its
  jobs back, and nothing is started in its place.
- A group is `--slots` cores of one node, or all cores of it. What runs no code in a sandbox needs
  one group in all, because one process asks thousands of calls at once.
- Each node needs the same annoy-store and, in its own environment, the keys: settings travel to
  the actors, keys do not, because Ray shows and logs the environments that it is given.
- SQLite only where the cluster is this one machine: its file is locked on one host.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.errors import UsageError
from annoy_store.stages import PIPELINE
from annoy_store.worker.progress import Progress
from annoy_store.worker.run import RunResult, run

POLL_SECONDS = 1.0
CONNECT_SECONDS = 5.0
THREADS = 3  # of an actor: it runs, is looked at, and is told to stop


@dataclass(frozen=True)
class SlotGroup:
    """Cores of one node that one run gets."""

    node: str
    slots: int


class RayWorker:
    """A run inside an actor; `look` and `stop` are called while `run` works."""

    def __init__(
        self, url: str, settings: RunSettings, names: Sequence[str], options: Mapping[str, Any]
    ) -> None:
        self._url, self._settings, self._names, self._options = url, settings, names, options
        self._progress = Progress()
        self._stop: Callable[[], None] | None = None
        self._stopped = False

    def run(self) -> RunResult:
        """Work until nothing is left; errors of ours cross to the driver as they are."""
        store = open_store(self._url)
        try:
            return run(
                store,
                self._settings,
                self._names,
                **self._options,
                display=self._note,
                on_signal=self._take_stop,
            )
        finally:
            store.close()

    def look(self) -> Progress:
        """What this run did so far."""
        return self._progress

    def stop(self) -> None:
        """Drain, also when the run has only just begun."""
        self._stopped = True
        if self._stop:
            self._stop()

    def _take_stop(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        if self._stopped:
            stop()

    def _note(self, progress: Progress) -> None:
        self._progress = progress


def run_on_ray(
    address: str,
    store: Database,
    settings: RunSettings,
    names: Sequence[str] = (),
    *,
    watch: bool = False,
    until_correct: int | None = None,
    display: Callable[[Progress], None] = lambda _: None,
    on_signal: Callable[[Callable[[], None]], None] = lambda _: None,
    on_message: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Run the named stages on the Ray cluster at `address` until nothing is left.

    Raises UsageError when there is no such cluster, or it cannot reach the store, and what a run
    raises when all actors ended that way.
    """
    ray = _connect_ray(address)
    try:
        alive = [node for node in ray.nodes() if node["Alive"]]
        url = shared_url(store, {node["NodeManagerHostname"] for node in alive})
        cores = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in alive}
        groups = list(slot_groups(cores, settings.slots, uses_sandbox(names)))
        options = {"watch": watch, "until_correct": until_correct}
        hands = [_start_actor(ray, group, url, settings, names, options) for group in groups]
        crew = RayRun(ray, hands, on_message)
        on_signal(crew.stop)
        return crew.work(display)
    finally:
        ray.shutdown()


def _connect_ray(address: str) -> Any:
    """Ray, connected to a cluster that is there."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'annoy-store[ray]'") from error
    try:
        _check_reachable(address)
        ray.init(address=address, logging_level="error", log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        words = str(error).strip().splitlines() or ["nothing answers"]
        raise UsageError(
            f"no Ray cluster at {address}: {words[0]}; start one with: ray start --head"
        ) from error
    return ray


def _check_reachable(address: str) -> None:
    """See that somebody is at HOST:PORT; Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def slot_groups(cores: Mapping[str, int], slots: int | None, code: bool) -> Iterator[SlotGroup]:
    """What nodes with so many cores are divided into. Raises UsageError when none is big enough."""
    largest = max(cores.values(), default=0)
    wanted = (slots or 1) if code else 1
    if largest < wanted:
        raise UsageError(f"no node has {wanted} cores (--slots); the largest has {largest}")
    if not code:
        yield SlotGroup(max(cores, key=lambda node: cores[node]), 1)
        return
    for node, n in cores.items():
        size = slots or max(n, 1)
        yield from (SlotGroup(node, size) for _ in range(n // size))


def uses_sandbox(names: Sequence[str]) -> bool:
    """True when a run of these stages (all without names) uses the sandbox."""
    return any(s.executor == "sandbox" for s in PIPELINE if not names or s.name in names)


def shared_url(store: Database, hosts: set[str]) -> str:
    """The store's URL as every host can use it. Raises UsageError for a file that is on one."""
    if store.path is None:
        return store.url.render_as_string(hide_password=False)
    if hosts != {socket.gethostname()}:
        raise UsageError(
            f"a SQLite store is for one machine, and the cluster is {', '.join(sorted(hosts))}; "
            "move it with: annoy copy sqlite:///FILE postgresql://HOST/DATABASE"
        )
    return f"sqlite:///{store.path.resolve()}"


def _start_actor(
    ray: Any,
    group: SlotGroup,
    url: str,
    settings: RunSettings,
    names: Sequence[str],
    options: Mapping[str, Any],
) -> Any:
    """An actor on a node, when its cores are free; it ends with the driver."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    there = strategies.NodeAffinitySchedulingStrategy(group.node, soft=False)
    placed = ray.remote(RayWorker).options(
        num_cpus=group.slots, max_concurrency=THREADS, scheduling_strategy=there
    )
    own = settings.model_copy(update={"slots": group.slots, "store": url})
    return placed.remote(url, RunSettings.model_construct(**own.model_dump()), names, options)


class RayRun:
    """The actors of one fleet, seen from where it was started."""

    def __init__(self, ray: Any, hands: Sequence[Any], say: Callable[[str], None]) -> None:
        self._ray, self._say = ray, say
        self._started = time.monotonic()
        self._interrupted = False
        self._hands = list(hands)
        self._begun = {hand.__ray_ready__.remote(): hand for hand in hands}
        self._running = {hand.run.remote(): hand for hand in hands}
        self._seen: dict[Any, Progress] = {}
        self._ended: list[RunResult] = []
        self._errors: list[Exception] = []

    def stop(self) -> None:
        """Let every run drain."""
        self._interrupted = True
        for hand in self._hands:
            hand.stop.remote()

    def work(self, display: Callable[[Progress], None]) -> RunResult:
        """Wait until every run that found cores has ended; the others find nothing to do."""
        while self._running and not self._is_over():
            ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=POLL_SECONDS)
            for ref in ended:
                self._take(ref)
            self._look()
            display(self._sum())
        if not self._ended:
            raise self._errors[0]
        return self._done()

    def _is_over(self) -> bool:
        """True when what is left has never begun: others need its cores, and the work is done."""
        waiting = set(self._waiting().values())
        others = [hand for hand in self._running.values() if hand not in waiting]
        return bool(self._ended or self._interrupted) and not others

    def _waiting(self) -> dict[Any, Any]:
        """Actors that have no cores yet."""
        begun, _ = self._ray.wait(list(self._begun), num_returns=len(self._begun), timeout=0)
        return {ref: hand for ref, hand in self._begun.items() if ref not in begun}

    def _take(self, ref: Any) -> None:
        hand = self._running.pop(ref)
        try:
            done: RunResult = self._ray.get(ref)
        except Exception as error:
            self._errors.append(_cause(error))
            self._say(f"a run on the cluster ended: {self._errors[-1]}")
            return
        self._seen[hand] = done.progress
        self._ended.append(done)

    def _look(self) -> None:
        refs = {hand.look.remote(): hand for hand in self._running.values()}
        if not refs:
            return
        found, _ = self._ray.wait(list(refs), num_returns=len(refs), timeout=POLL_SECONDS)
        for ref in found:
            with contextlib.suppress(Exception):  # it is gone, and `run` will tell
                self._seen[refs[ref]] = self._ray.get(ref)

    def _sum(self) -> Progress:
        total = Progress(started=self._started)
        for seen in self._seen.values():
            total.ended += seen.ended
            total.reasons += seen.reasons
            total.enqueued += seen.enqueued
            total.in_flight += seen.in_flight
            total.submitted_calls += seen.submitted_calls
            total.waiting_for |= seen.waiting_for
            total.notice = total.notice or seen.notice
        if n := len(self._waiting()):
            total.notice = total.notice or f"{n} of {len(self._hands)} groups wait for free cores"
        return total

    def _done(self) -> RunResult:
        last = self._ended[-1]
        return replace(
            last,
            progress=self._sum(),
            seconds=time.monotonic() - self._started,
            interrupted=self._interrupted,
            stopped=next((d.stopped for d in self._ended if d.stopped), None),
        )


def _cause(error: Exception) -> Exception:
    """What an actor raised, out of what Ray wraps it in."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error

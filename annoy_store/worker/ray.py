"""Runs on a Ray cluster: one `annoy run` per group of sandbox slots, all on one store.

Decisions
- Ray places processes and reports those that ended; the store remains the source of truth. An actor
  is a run like any other, with a worker row and a lease. One that dies is a dead worker: others
  reclaim its jobs, and no actor is started in its place.
- A group is `--slots` cores of one node, or all its cores. Stages that run no code in a sandbox
  need one group in all, because one process has thousands of calls in flight.
- Each node needs the same annoy-store and, in its own environment, the API keys: settings are sent
  to the actors, keys are not, because Ray shows and logs the environments that it is given.
- SQLite is allowed only where the cluster is this one machine: its file is locked on one host.
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
THREADS = 3  # of an actor: for `run`, `progress` and `stop`


@dataclass(frozen=True)
class SlotGroup:
    """The cores of one node that one run gets.

    Attributes:
        node: Ray's id of the node.
        slots: number of cores, and of sandbox slots.
    """

    node: str
    slots: int


class RayWorker:
    """A run inside an actor; `progress` and `stop` are called while `run` works.

    Args:
        url: the store's URL, password included.
        settings: the settings of this run.
        names: the stages to run; all of them if empty.
        options: further arguments of `run`.
    """

    def __init__(
        self, url: str, settings: RunSettings, names: Sequence[str], options: Mapping[str, Any]
    ) -> None:
        self._url, self._settings, self._names, self._options = url, settings, names, options
        self._progress = Progress()
        self._stop: Callable[[], None] | None = None
        self._stopped = False

    def run(self) -> RunResult:
        """Run until no job is left; exceptions reach the driver unchanged."""
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

    def progress(self) -> Progress:
        """Return what this run has done so far."""
        return self._progress

    def stop(self) -> None:
        """Drain, also before the run has begun."""
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
    """Run stages on a Ray cluster until no job is left.

    Args:
        address: the cluster: `auto`, HOST:PORT or ray://HOST:PORT.
        store: the store; every node must be able to reach its URL.
        settings: the settings of every actor; `slots` is the size of a group in cores.
        names: the stages to run; all of them if empty.
        watch: keep running when no job is left, until the run is stopped.
        until_correct: the number of correct chains to stop at.
        display: called with the summed progress once a second.
        on_signal: called once with the function that stops the run.
        on_message: called with a sentence when an actor failed.

    Returns:
        How the run ended, summed over all actors.

    Raises:
        UsageError: there is no such cluster, its nodes are too small, or it cannot reach the store.
        Exception: what the first actor raised, when all of them failed.
    """
    ray = _connect_ray(address)
    try:
        alive = [node for node in ray.nodes() if node["Alive"]]
        url = shared_url(store, {node["NodeManagerHostname"] for node in alive})
        cores = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in alive}
        groups = list(slot_groups(cores, settings.slots, uses_sandbox(names)))
        options = {"watch": watch, "until_correct": until_correct}
        actors = [_start_actor(ray, group, url, settings, names, options) for group in groups]
        cluster_run = RayRun(ray, actors, on_message)
        on_signal(cluster_run.stop)
        return cluster_run.wait(display)
    finally:
        ray.shutdown()


def _connect_ray(address: str) -> Any:
    """Return the `ray` module, connected to a running cluster."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'annoy-store[ray]'") from error
    try:
        _check_reachable(address)
        ray.init(address=address, logging_level="error", log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or ["no answer"]
        raise UsageError(
            f"no Ray cluster at {address}: {lines[0]}; start one with: ray start --head"
        ) from error
    return ray


def _check_reachable(address: str) -> None:
    """Connect to HOST:PORT once, because Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def slot_groups(cores: Mapping[str, int], slots: int | None, code: bool) -> Iterator[SlotGroup]:
    """Divide the nodes of a cluster into groups, one per run.

    Args:
        cores: the number of cores by node.
        slots: cores per group; None for all cores of a node.
        code: whether the run executes code in the sandbox; else one group is enough.

    Raises:
        UsageError: no node has that many cores.
    """
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
    """Return whether a run of these stages (of all, if empty) executes code in the sandbox."""
    return any(s.executor == "sandbox" for s in PIPELINE if not names or s.name in names)


def shared_url(store: Database, hosts: set[str]) -> str:
    """Return a URL of the store, password included, that every host can use.

    Args:
        store: the store.
        hosts: the host names of the cluster's nodes.

    Raises:
        UsageError: a SQLite file, and the cluster is more than this machine.
    """
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
    """Start an actor on a node as soon as its cores are free; it ends with the driver."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    there = strategies.NodeAffinitySchedulingStrategy(group.node, soft=False)
    placed = ray.remote(RayWorker).options(
        num_cpus=group.slots, max_concurrency=THREADS, scheduling_strategy=there
    )
    own = settings.model_copy(update={"slots": group.slots, "store": url})
    return placed.remote(url, RunSettings.model_construct(**own.model_dump()), names, options)


class RayRun:
    """The actors of one run, as the driver sees them.

    Args:
        ray: the connected `ray` module.
        actors: handles of `RayWorker` actors.
        on_message: called with a sentence when an actor failed.
    """

    def __init__(self, ray: Any, actors: Sequence[Any], on_message: Callable[[str], None]) -> None:
        self._ray, self._on_message = ray, on_message
        self._started = time.monotonic()
        self._interrupted = False
        self._actors = list(actors)
        self._begun = {actor.__ray_ready__.remote(): actor for actor in actors}
        self._running = {actor.run.remote(): actor for actor in actors}
        self._seen: dict[Any, Progress] = {}
        self._ended: list[RunResult] = []
        self._errors: list[Exception] = []

    def stop(self) -> None:
        """Let every actor drain."""
        self._interrupted = True
        for actor in self._actors:
            actor.stop.remote()

    def wait(self, display: Callable[[Progress], None]) -> RunResult:
        """Wait until every actor that got its cores has ended; no job is left for the others.

        Raises:
            Exception: what the first actor raised, when all of them failed.
        """
        while self._running and not self._is_over():
            ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=POLL_SECONDS)
            for ref in ended:
                self._finish(ref)
            self._update()
            display(self._sum())
        if not self._ended:
            raise self._errors[0]
        return self._result()

    def _is_over(self) -> bool:
        """Whether only actors are left that never got cores, although others have ended."""
        waiting = set(self._waiting().values())
        others = [actor for actor in self._running.values() if actor not in waiting]
        return bool(self._ended or self._interrupted) and not others

    def _waiting(self) -> dict[Any, Any]:
        """The actors that have no cores yet."""
        begun, _ = self._ray.wait(list(self._begun), num_returns=len(self._begun), timeout=0)
        return {ref: actor for ref, actor in self._begun.items() if ref not in begun}

    def _finish(self, ref: Any) -> None:
        actor = self._running.pop(ref)
        try:
            done: RunResult = self._ray.get(ref)
        except Exception as error:
            self._errors.append(_cause(error))
            self._on_message(f"a run on the cluster ended: {self._errors[-1]}")
            return
        self._seen[actor] = done.progress
        self._ended.append(done)

    def _update(self) -> None:
        refs = {actor.progress.remote(): actor for actor in self._running.values()}
        if not refs:
            return
        found, _ = self._ray.wait(list(refs), num_returns=len(refs), timeout=POLL_SECONDS)
        for ref in found:
            with contextlib.suppress(Exception):  # the actor is gone: `run` raises
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
            for name, (used, allowed) in seen.connections.items():
                others = total.connections.get(name, (0, 0))
                total.connections[name] = (others[0] + used, others[1] + allowed)
            outlooks = [o for o in (total.outlook, seen.outlook) if o is not None]
            total.outlook = max(outlooks, key=lambda o: o.n_ended, default=None)  # the newest
        if n := len(self._waiting()):
            total.notice = total.notice or f"{n} of {len(self._actors)} groups wait for free cores"
        return total

    def _result(self) -> RunResult:
        last = self._ended[-1]
        return replace(
            last,
            progress=self._sum(),
            seconds=time.monotonic() - self._started,
            interrupted=self._interrupted,
            stopped=next((d.stopped for d in self._ended if d.stopped), None),
        )


def _cause(error: Exception) -> Exception:
    """Return what an actor raised, without Ray's wrapper."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error

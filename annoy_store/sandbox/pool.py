"""The sandbox as the pipeline sees it: slots, and idle zygotes by flavour and world.

Decisions
- A slot is a permit, not a process: a batch takes one, and with it any idle zygote of its flavour
  and world, so that batches of one program stay together and no core waits for another's kind.
- Callers block while all permits are taken. That is the back-pressure.
- Trouble ends the zygote; the tasks that have no result yet run once more in a fresh one, which
  keeps its compiler away from the program. A second trouble in a row is a SandboxError.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from annoy_store.errors import SandboxError
from annoy_store.interfaces import ExecutionResult, Limits, Program, SandboxInfo
from annoy_store.sandbox.interpreter import Interpreter
from annoy_store.sandbox.preload import modules_to_preload, preload_set
from annoy_store.sandbox.results import NotSerializable, normalise_json, parse_json, to_result
from annoy_store.sandbox.zygote import IsolationLevel, SandboxRequest, ZygoteError, ZygoteProcess

CALLS_PER_ZYGOTE = 2000
PoolKey = tuple[str, int]  # flavour, world


class LocalSandbox:
    """Runs programs in warm interpreters on this machine; see `interfaces.Sandbox`."""

    def __init__(
        self,
        rung: IsolationLevel,
        interpreter: Interpreter,
        slots: int,
        spawner: ThreadPoolExecutor,
        refused: dict[str, str],
    ) -> None:
        self._rung, self._interpreter, self._slots = rung, interpreter, slots
        self._spawner, self._refused = spawner, refused
        self._habitat = interpreter.sandbox_info(rung.name)
        self._permits = threading.Semaphore(slots)
        self._lock = threading.Lock()
        self._idle: dict[PoolKey, list[ZygoteProcess]] = defaultdict(list)
        self._busy: set[ZygoteProcess] = set()
        self._closed = False

    @property
    def info(self) -> SandboxInfo:
        """Where code runs; stored with every execution."""
        return self._habitat

    @property
    def slots(self) -> int:
        """How many batches run at the same time."""
        return self._slots

    def describe(self) -> dict[str, Any]:
        """Return what `annoy doctor --exec` shows: the rung, why not a stronger one, Python."""
        return {
            "rung": self._rung.name,
            "refused": dict(self._refused),
            "bubblewrap": self._rung.command[0] if self._rung.command else None,
            "subprocesses": self._rung.subprocesses,
            "slots": self._slots,
            "python": self._interpreter.path,
            "version": self._interpreter.version,
            "implementation": self._interpreter.implementation,
            "machine": self._interpreter.machine,
            "runner_version": self._habitat.runner_version,
            "interpreter": self._habitat.interpreter,
            "packages": dict(self._interpreter.packages),
        }

    def call(
        self,
        program: Program,
        inputs: Sequence[str],
        limits: Limits,
        environment_seed: int = 0,
        *,
        share_process: bool = False,
    ) -> list[ExecutionResult]:
        """Call the entry with each of `inputs`; see `interfaces.Sandbox`. Raises SandboxError."""
        unfit = {i: ran for i, text in enumerate(inputs) if (ran := _unfit(text)) is not None}
        fit = [text for i, text in enumerate(inputs) if i not in unfit]
        order = SandboxRequest(program, limits, fit, share_process=share_process and len(fit) > 1)
        made = iter(self._run(order, environment_seed))
        return [unfit[i] if i in unfit else next(made) for i in range(len(inputs))]

    def draw(
        self,
        program: Program,
        seeds: Sequence[int],
        limits: Limits,
        known_inputs: Sequence[str] = (),
    ) -> list[ExecutionResult]:
        """Draw an input for each seed and call the entry with it. Raises SandboxError."""
        return self._run(SandboxRequest(program, limits, list(seeds), known_inputs), 0)

    def zygote_usage(self, forks: int = 0) -> dict[PoolKey, Mapping[str, Any]]:
        """Return what an idle zygote of each flavour and world has used; see `Zygote.measure`."""
        with self._lock:
            idle = {key: zygotes[-1] for key, zygotes in self._idle.items() if zygotes}
        return {key: zygote.measure(forks) for key, zygote in idle.items()}

    def add_zygote(self, zygote: ZygoteProcess) -> None:
        """Take over an idle plain zygote of world 0."""
        self._idle["plain", 0].append(zygote)

    def close(self) -> None:
        """End every zygote; calls that are under way raise SandboxError."""
        with self._lock:
            self._closed = True
            idle = [zygote for zygotes in self._idle.values() for zygote in zygotes]
            self._idle.clear()
            busy = list(self._busy)
        for zygote in idle + busy:
            zygote.kill()
        self._spawner.shutdown()

    def __enter__(self) -> LocalSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, order: SandboxRequest, world: int) -> list[ExecutionResult]:
        """Run all tasks of an order. Raises SandboxError."""
        texts = f"{order.program.code}\n{order.program.generator or ''}"
        key = preload_set(texts, self._interpreter.installed), world
        done: list[ExecutionResult] = []
        troubles = 0
        with self._permits:
            while len(done) < len(order.tasks):
                before = len(done)
                try:
                    self._batch(key, order, done, troubles > 0)
                    troubles = 0
                except ZygoteError as error:
                    troubles = 1 if len(done) > before else troubles + 1
                    order = replace(order, share_process=False)
                    if troubles > 1 or self._closed:
                        raise SandboxError(f"the sandbox failed twice: {error}") from error
        return done

    def _batch(
        self, key: PoolKey, order: SandboxRequest, done: list[ExecutionResult], careful: bool
    ) -> None:
        """Run the tasks that are not `done` in one zygote, as far as it goes."""
        zygote = self._take(key)
        try:
            rest = order.tasks[len(done) : len(done) + CALLS_PER_ZYGOTE]
            for reply in zygote.run(replace(order, tasks=rest), careful):
                given = order.tasks[len(done)] if order.known_inputs is None else None
                done.append(to_result(reply, given, order.limits, zygote.kill_blocked))
        except BaseException:
            zygote.n_calls = CALLS_PER_ZYGOTE
            raise
        finally:
            self._give(key, zygote)

    def _take(self, key: PoolKey) -> ZygoteProcess:
        with self._lock:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            if self._idle[key]:
                zygote = self._idle[key].pop()
                self._busy.add(zygote)
                return zygote
        zygote = self._start(key)
        with self._lock:
            if not self._closed:
                self._busy.add(zygote)
                return zygote
        zygote.kill()
        raise SandboxError("the sandbox is closed")

    def _start(self, key: PoolKey) -> ZygoteProcess:
        names = modules_to_preload(key[0], self._interpreter.installed)
        try:
            return ZygoteProcess(self._rung, self._interpreter, names, key[1], self._spawner)
        except (OSError, RuntimeError) as error:
            raise ZygoteError(f"no zygote starts: {error}") from error

    def _give(self, key: PoolKey, zygote: ZygoteProcess) -> None:
        with self._lock:
            self._busy.discard(zygote)
            if zygote.n_calls < CALLS_PER_ZYGOTE and not self._closed:
                self._idle[key].append(zygote)
                return
        zygote.kill()


def _unfit(text: str) -> ExecutionResult | None:
    """Return the outcome of an input that no call could be made with, if it is one."""
    try:
        normalise_json(text)
        if isinstance(parse_json(text), dict):
            return None
        kind, message = "TypeError", "the input is not a JSON object"
    except NotSerializable as error:
        kind, message = error.error_type, str(error)
    return ExecutionResult(
        "bad_args", text, error_type=kind, error_message=message[:500], phase="call"
    )


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

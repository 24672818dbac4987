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
from annoy_store.interfaces import Habitat, Limits, Program, Ran
from annoy_store.sandbox.interpreter import Interpreter
from annoy_store.sandbox.preload import flavour, preload
from annoy_store.sandbox.results import Unfit, judge, parsed, rewritten
from annoy_store.sandbox.zygote import Order, Rung, Trouble, Zygote

CALLS_PER_ZYGOTE = 2000
Key = tuple[str, int]  # flavour, world


class LocalSandbox:
    """Runs programs in warm interpreters on this machine; see `interfaces.Sandbox`."""

    def __init__(
        self,
        rung: Rung,
        interpreter: Interpreter,
        slots: int,
        spawner: ThreadPoolExecutor,
        refused: dict[str, str],
    ) -> None:
        self._rung, self._interpreter, self._slots = rung, interpreter, slots
        self._spawner, self._refused = spawner, refused
        self._habitat = interpreter.habitat(rung.name)
        self._permits = threading.Semaphore(slots)
        self._lock = threading.Lock()
        self._idle: dict[Key, list[Zygote]] = defaultdict(list)
        self._busy: set[Zygote] = set()
        self._closed = False

    @property
    def habitat(self) -> Habitat:
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
        world: int = 0,
        *,
        together: bool = False,
    ) -> list[Ran]:
        """Call the entry with each of `inputs`; see `interfaces.Sandbox`. Raises SandboxError."""
        unfit = {i: ran for i, text in enumerate(inputs) if (ran := _unfit(text)) is not None}
        fit = [text for i, text in enumerate(inputs) if i not in unfit]
        order = Order(program, limits, fit, together=together and len(fit) > 1)
        made = iter(self._run(order, world))
        return [unfit[i] if i in unfit else next(made) for i in range(len(inputs))]

    def draw(
        self, program: Program, seeds: Sequence[int], limits: Limits, known: Sequence[str] = ()
    ) -> list[Ran]:
        """Draw an input for each seed and call the entry with it. Raises SandboxError."""
        return self._run(Order(program, limits, list(seeds), known), 0)

    def usage(self, forks: int = 0) -> dict[Key, Mapping[str, Any]]:
        """Return what an idle zygote of each flavour and world has used; see `Zygote.measure`."""
        with self._lock:
            idle = {key: zygotes[-1] for key, zygotes in self._idle.items() if zygotes}
        return {key: zygote.measure(forks) for key, zygote in idle.items()}

    def adopt(self, zygote: Zygote) -> None:
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

    def _run(self, order: Order, world: int) -> list[Ran]:
        """Run all tasks of an order. Raises SandboxError."""
        texts = f"{order.program.code}\n{order.program.generator or ''}"
        key = flavour(texts, self._interpreter.installed), world
        done: list[Ran] = []
        troubles = 0
        with self._permits:
            while len(done) < len(order.tasks):
                before = len(done)
                try:
                    self._batch(key, order, done, troubles > 0)
                    troubles = 0
                except Trouble as error:
                    troubles = 1 if len(done) > before else troubles + 1
                    order = replace(order, together=False)
                    if troubles > 1 or self._closed:
                        raise SandboxError(f"the sandbox failed twice: {error}") from error
        return done

    def _batch(self, key: Key, order: Order, done: list[Ran], careful: bool) -> None:
        """Run the tasks that are not `done` in one zygote, as far as it goes."""
        zygote = self._take(key)
        try:
            rest = order.tasks[len(done) : len(done) + CALLS_PER_ZYGOTE]
            for reply in zygote.run(replace(order, tasks=rest), careful):
                given = order.tasks[len(done)] if order.known is None else None
                done.append(judge(reply, given, order.limits, zygote.guarded))
        except BaseException:
            zygote.calls = CALLS_PER_ZYGOTE
            raise
        finally:
            self._give(key, zygote)

    def _take(self, key: Key) -> Zygote:
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

    def _start(self, key: Key) -> Zygote:
        names = preload(key[0], self._interpreter.installed)
        try:
            return Zygote(self._rung, self._interpreter, names, key[1], self._spawner)
        except (OSError, RuntimeError) as error:
            raise Trouble(f"no zygote starts: {error}") from error

    def _give(self, key: Key, zygote: Zygote) -> None:
        with self._lock:
            self._busy.discard(zygote)
            if zygote.calls < CALLS_PER_ZYGOTE and not self._closed:
                self._idle[key].append(zygote)
                return
        zygote.kill()


def _unfit(text: str) -> Ran | None:
    """Return the outcome of an input that no call could be made with, if it is one."""
    try:
        rewritten(text)
        if isinstance(parsed(text), dict):
            return None
        kind, message = "TypeError", "the input is not a JSON object"
    except Unfit as error:
        kind, message = error.kind, str(error)
    return Ran("bad_args", text, error_type=kind, error_message=message[:500], phase="call")


def all_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

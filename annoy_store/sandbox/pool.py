"""A pool of warm interpreters with a fixed number of slots; implements `interfaces.Sandbox`.

Decisions
- A slot is a permit, not a process. A batch takes a permit and any idle zygote of its preload set
  and environment seed, so that batches of one program stay together and no core waits for a
  process of another kind.
- Callers block while all permits are taken: that is the back-pressure.
- A zygote that fails is killed. The tasks without a result run once more in a fresh one, which
  compiles the program in a child. A second failure in a row is a SandboxError.
"""

from __future__ import annotations

import itertools
import logging
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
from annoy_store.sandbox.zygote import (
    IsolationLevel,
    LimitTooLow,
    SandboxRequest,
    ZygoteError,
    ZygoteProcess,
)

logger = logging.getLogger(__name__)

CALLS_PER_ZYGOTE = 2000
PoolKey = tuple[str, int]  # preload set, environment seed


class LocalSandbox:
    """Runs programs in warm interpreters on this machine; see `interfaces.Sandbox`. Thread-safe."""

    def __init__(
        self,
        level: IsolationLevel,
        interpreter: Interpreter,
        slots: int,
        spawner: ThreadPoolExecutor,
        failed_levels: dict[str, str],
    ) -> None:
        """Create an empty pool; processes start when they are needed.

        Args:
            level: The isolation level of all processes.
            interpreter: The interpreter that runs the samples.
            slots: How many batches of calls run at the same time.
            spawner: The executor whose single thread starts processes; closed with the pool.
            failed_levels: Why stronger levels failed, by their names; for `describe`.
        """
        self._level, self._interpreter, self._slots = level, interpreter, slots
        self._spawner, self._failed_levels = spawner, failed_levels
        self._info = interpreter.sandbox_info(level.name)
        self._permits = threading.Semaphore(slots)
        self._lock = threading.Lock()
        self._idle: dict[PoolKey, list[ZygoteProcess]] = defaultdict(list)
        self._busy: set[ZygoteProcess] = set()
        self._closed = False

    @property
    def info(self) -> SandboxInfo:
        """Where code runs; stored with every execution."""
        return self._info

    @property
    def slots(self) -> int:
        """How many batches of calls run at the same time."""
        return self._slots

    def describe(self) -> dict[str, Any]:
        """Return isolation level, failures of stronger levels, and interpreter for `annoy doctor`."""
        return {
            "isolation": self._level.name,
            "refused": dict(self._failed_levels),
            "bubblewrap": self._level.command[0] if self._level.command else None,
            "subprocesses": self._level.subprocesses,
            "slots": self._slots,
            "python": self._interpreter.path,
            "version": self._interpreter.version,
            "implementation": self._interpreter.implementation,
            "machine": self._interpreter.machine,
            "runner_version": self._info.runner_version,
            "interpreter": self._info.interpreter,
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
        """Call the entry function with each of `inputs`.

        Args:
            program: The untrusted code.
            inputs: JSON texts of objects with keyword arguments.
            limits: Limits of each single call.
            environment_seed: Selects hash seed, random seed and clock; 0 for the first run.
            share_process: Let calls share a process as long as they succeed.

        Returns:
            One result per input, in order.

        Raises:
            SandboxError: The sandbox is closed, or failed twice in a row.
        """
        invalid = {
            i: result
            for i, text in enumerate(inputs)
            if (result := _invalid_input(text)) is not None
        }
        valid = [text for i, text in enumerate(inputs) if i not in invalid]
        request = SandboxRequest(
            program, limits, valid, share_process=share_process and len(valid) > 1
        )
        results = iter(self._run(request, environment_seed))
        return [invalid[i] if i in invalid else next(results) for i in range(len(inputs))]

    def draw(
        self,
        program: Program,
        seeds: Sequence[int],
        limits: Limits,
        known_inputs: Sequence[str] = (),
    ) -> list[ExecutionResult]:
        """Draw an input for each seed and call the entry function with it.

        Args:
            program: The untrusted code with its input generator.
            seeds: Random seeds, one per draw.
            limits: Limits of each single call, drawing included.
            known_inputs: Canonical JSON of inputs that are not called again: they are `repeated`.

        Returns:
            One result per seed, in order, each with the input that was drawn.

        Raises:
            SandboxError: The sandbox is closed, or failed twice in a row.
        """
        return self._run(SandboxRequest(program, limits, list(seeds), known_inputs), 0)

    def draw_inputs(
        self, program: Program, seeds: Sequence[int], limits: Limits
    ) -> list[ExecutionResult]:
        """Draw an input for each seed in one process, and call the entry function with none.

        Args:
            program: The untrusted code with its input generator.
            seeds: Random seeds, one per draw.
            limits: Limits of all draws together.

        Returns:
            One result of outcome `drawn` per seed, in order, up to the first draw that fails; none
            where draws cannot share a process.

        Raises:
            SandboxError: The sandbox is closed, or failed.
        """
        request = SandboxRequest(
            program,
            limits,
            list(seeds),
            known_inputs=(),
            share_process=True,
            only_together=True,
            draw_only=True,
        )
        return _until_failure(self._run(request, 0), "drawn")

    def call_together(
        self, program: Program, inputs: Sequence[str], limits: Limits
    ) -> list[ExecutionResult]:
        """Call the entry function with each of `inputs` in one process, while calls succeed.

        Args:
            program: The untrusted code.
            inputs: JSON texts of objects with keyword arguments, as they are stored.
            limits: Limits of all calls together.

        Returns:
            One result of outcome `ok` per input, in order, up to the first call that fails; none
            where calls cannot share a process.

        Raises:
            SandboxError: The sandbox is closed, or failed.
        """
        request = SandboxRequest(
            program, limits, list(inputs), share_process=True, only_together=True
        )
        return _until_failure(self._run(request, 0), "ok")

    def zygote_usage(self, forks: int = 0) -> dict[PoolKey, Mapping[str, Any]]:
        """Measure one idle zygote of each preload set and environment seed.

        Args:
            forks: How many bare forks to make and time; 0 for none.

        Returns:
            What `ZygoteProcess.measure` reports, by (preload set, environment seed).
        """
        with self._lock:
            idle = {key: zygotes[-1] for key, zygotes in self._idle.items() if zygotes}
        return {key: zygote.measure(forks) for key, zygote in idle.items()}

    def add_zygote(self, zygote: ZygoteProcess) -> None:
        """Add an idle zygote with the plain preload set and environment seed 0, if it can go on."""
        self._release(("plain", 0), zygote)

    def close(self) -> None:
        """End all zygotes; calls in progress raise SandboxError."""
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

    def _run(self, request: SandboxRequest, environment_seed: int) -> list[ExecutionResult]:
        """Run all tasks of a request. Raises SandboxError."""
        texts = f"{request.program.code}\n{request.program.generator or ''}"
        key = preload_set(texts, self._interpreter.installed), environment_seed
        results: list[ExecutionResult] = []
        failures = 0
        with self._permits:
            while len(results) < len(request.tasks):
                before = len(results)
                try:
                    self._run_batch(key, request, results, failures > 0)
                    failures = 0
                    if request.only_together:
                        break
                except ZygoteError as error:
                    failures = 1 if len(results) > before else failures + 1
                    request = replace(request, share_process=False)
                    if failures > 1 or self._closed:
                        raise SandboxError(f"the sandbox failed twice: {error}") from error
                    logger.warning("restarting a sandbox process: %s", error)
                except LimitTooLow as error:
                    raise SandboxError(str(error)) from error
        return results

    def _run_batch(
        self,
        key: PoolKey,
        request: SandboxRequest,
        results: list[ExecutionResult],
        compile_in_child: bool,
    ) -> None:
        """Run the tasks without a result in one zygote, as far as it gets. Raises ZygoteError."""
        zygote = self._acquire(key)
        try:
            rest = request.tasks[len(results) : len(results) + CALLS_PER_ZYGOTE]
            for reply in zygote.run(replace(request, tasks=rest), compile_in_child):
                input_text = request.tasks[len(results)] if request.known_inputs is None else None
                results.append(to_result(reply, input_text, request.limits, zygote.kill_blocked))
        except BaseException:
            zygote.n_calls = CALLS_PER_ZYGOTE
            raise
        finally:
            self._release(key, zygote)

    def _acquire(self, key: PoolKey) -> ZygoteProcess:
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
        modules = modules_to_preload(key[0], self._interpreter.installed)
        try:
            return ZygoteProcess(self._level, self._interpreter, modules, key[1], self._spawner)
        except (OSError, RuntimeError) as error:
            raise ZygoteError(f"no zygote could be started: {error}") from error

    def _release(self, key: PoolKey, zygote: ZygoteProcess) -> None:
        with self._lock:
            self._busy.discard(zygote)
            if zygote.n_calls < CALLS_PER_ZYGOTE and not self._closed:
                self._idle[key].append(zygote)
                return
        zygote.kill()


def _until_failure(results: Sequence[ExecutionResult], outcome: str) -> list[ExecutionResult]:
    return list(itertools.takewhile(lambda result: result.outcome == outcome, results))


def _invalid_input(text: str) -> ExecutionResult | None:
    """Return the result for an input that no call can be made with, if it is one."""
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

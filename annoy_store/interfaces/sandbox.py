"""The interface of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Limits:
    """What one call inside the sandbox may use.

    Attributes:
        cpu_seconds: CPU time: the limit that normally applies.
        wall_seconds: a stretch of wall time in which a call uses less than a tenth of its CPU time
            (one that sleeps).
        ceiling_seconds: wall time of any call. One that slept is a time-out; one that the machine
            gave too little CPU time is a failure of the sandbox.
        memory_mb: address space, in MiB.
        output_bytes: size of the output as JSON.
        lines: executed lines are counted up to this number; 0 counts none.
    """

    cpu_seconds: float = 5.0
    wall_seconds: float = 15.0
    ceiling_seconds: float = 120.0
    memory_mb: int = 1024
    output_bytes: int = 65_536
    lines: int = 0


@dataclass(frozen=True)
class Program:
    """Untrusted code.

    Attributes:
        code: source of a module that defines `entry`.
        entry: name of the function to call.
        generator: source of `input_generator`, if there is one. It may use the names of `code`;
            `code` sees none of its names.
    """

    code: str
    entry: str = "main_solution"
    generator: str | None = None


@dataclass(frozen=True)
class ExecutionResult:
    """The result of one call. A failure of the sandbox itself raises SandboxError.

    Attributes:
        outcome: `ok` or one of `exception bad_args missing_module exit no_result cpu_timeout
            wall_timeout memory crash output_too_large not_json bad_frame repeated drawn` (the last
            two only from draws: the input was drawn before, or only drawn).
        input: the arguments as a JSON object, encoded before the call.
        output: the result as JSON.
        error_type: class of the exception, or of the value that is not JSON.
        error_message: its message.
        missing_module: the module whose import failed.
        phase: where the call ended: load, generate, call or result.
        lines: executed lines, if they were counted.
        mutated: whether the call changed its arguments.
        cpu_ms: CPU time, milliseconds.
        wall_ms: wall time, milliseconds.
    """

    outcome: str
    input: str | None = None
    output: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    missing_module: str | None = None
    phase: str | None = None
    lines: int | None = None
    mutated: bool = False
    cpu_ms: float = 0.0
    wall_ms: float = 0.0


@dataclass(frozen=True)
class SandboxInfo:
    """The environment in which code runs; stored with every execution.

    Attributes:
        isolation: isolation level: strong, fallback or minimum.
        runner_version: hash of the program inside the sandbox.
        interpreter: digest of the Python version and the installed packages.
        python: Python version, e.g. 3.11.7.
        packages: installed packages and their versions.
    """

    isolation: str
    runner_version: str
    interpreter: str
    python: str
    packages: Mapping[str, str] = field(default_factory=dict)


class Sandbox(Protocol):
    """Runs untrusted code in other processes. Thread-safe; blocks while all slots are busy."""

    @property
    def info(self) -> SandboxInfo:
        """The environment in which the code runs."""

    @property
    def slots(self) -> int:
        """How many calls run at the same time."""

    def call(
        self,
        program: Program,
        inputs: Sequence[str],
        limits: Limits,
        environment_seed: int = 0,
        *,
        share_process: bool = False,
    ) -> list[ExecutionResult]:
        """Call the entry of a program with each input, each call in a process of its own.

        Args:
            program: the code.
            inputs: JSON objects of keyword arguments.
            limits: what each call may use.
            environment_seed: sets the hash seed, the random seed and the second of the clock.
            share_process: calls that succeed may share one process. That is cheaper, and suitable
                only for programs that keep no state and for comparing outputs with others.

        Returns:
            One result per input, in their order.

        Raises:
            SandboxError: the sandbox itself failed.
        """

    def draw(
        self,
        program: Program,
        seeds: Sequence[int],
        limits: Limits,
        known_inputs: Sequence[str] = (),
    ) -> list[ExecutionResult]:
        """Draw one input per seed from the program's generator, and call the entry with it.

        Args:
            program: the code, with a generator.
            seeds: the random seeds.
            limits: what each draw with its call may use.
            known_inputs: inputs as canonical JSON that are not called again: they are `repeated`.

        Returns:
            One result per seed, in their order.

        Raises:
            SandboxError: the sandbox itself failed.
        """

    def draw_inputs(
        self, program: Program, seeds: Sequence[int], limits: Limits
    ) -> list[ExecutionResult]:
        """Draw one input per seed in one process; call nothing. For generators without state.

        Args:
            program: the code, with a generator.
            seeds: the random seeds.
            limits: what all draws together may use.

        Returns:
            One result per seed, in their order, up to the first draw that fails.

        Raises:
            SandboxError: the sandbox itself failed.
        """

    def call_together(
        self, program: Program, inputs: Sequence[str], limits: Limits
    ) -> list[ExecutionResult]:
        """Call the entry with each input in one process. For programs without state.

        Args:
            program: the code.
            inputs: JSON objects of keyword arguments, as they are stored.
            limits: what all calls together may use.

        Returns:
            One result per input, in their order, up to the first call that fails.

        Raises:
            SandboxError: the sandbox itself failed.
        """

    def close(self) -> None:
        """End all processes of the sandbox."""

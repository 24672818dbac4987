"""A sandbox that runs every call in a process of its own and knows no earlier result.

It is what the cheaper ways to run a sample are compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from annoy_store.interfaces import ExecutionResult, Limits, Program, Sandbox, SandboxInfo


class SeparateProcesses:
    """Wraps a sandbox; only second runs share a process, and count where they agree."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Wrap an open sandbox, which is closed with this one."""
        self._sandbox = sandbox

    @property
    def info(self) -> SandboxInfo:
        """Another version of the runner: no stored result is of this sandbox."""
        return replace(self._sandbox.info, runner_version="separate processes")

    @property
    def slots(self) -> int:
        """How many calls run at the same time."""
        return self._sandbox.slots

    def call(
        self,
        program: Program,
        inputs: Sequence[str],
        limits: Limits,
        environment_seed: int = 0,
        *,
        share_process: bool = False,
    ) -> list[ExecutionResult]:
        """Call the entry with each input, first runs apart."""
        share = share_process and environment_seed > 0
        return self._sandbox.call(program, inputs, limits, environment_seed, share_process=share)

    def draw(
        self,
        program: Program,
        seeds: Sequence[int],
        limits: Limits,
        known_inputs: Sequence[str] = (),
    ) -> list[ExecutionResult]:
        """Draw one input per seed and call the entry with it."""
        return self._sandbox.draw(program, seeds, limits, known_inputs)

    def draw_inputs(self, *_: object) -> list[ExecutionResult]:
        """Draw nothing ahead."""
        return []

    def call_together(self, *_: object) -> list[ExecutionResult]:
        """Call nothing."""
        return []

    def close(self) -> None:
        """Close the sandbox."""
        self._sandbox.close()

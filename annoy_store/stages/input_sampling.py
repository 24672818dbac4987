"""Draws inputs of a sample with recorded seeds and collects the pairs that they make.

Decisions
- An input that was drawn before is not run again, whatever its result was.
- A run of more than `count_lines` lines is too long to be reasoned through, and functions with such
  runs, one in fifteen, take most of the CPU time: if the first pair is such a run, `long_pairs` are
  enough. Line counts are the same on all machines, so this rule gives the same rows everywhere.
- A sample that may not do what it does (start processes, call out) fails every draw, after a while
  each: drawing ends where the first draws all fail in one and the same way, by count, for the same
  rows everywhere. Values of a wrong size are no such failure, for the next may be smaller, and an
  error whose message changes depends on the input.
- Where neither the generator nor the code keeps state, a seed alone makes its input, whatever was
  drawn before it in the same process. Such inputs are drawn ahead, many in one process, and only
  the new ones are called. A draw that fails is made as usual, and those after it in a new process.
  The calls share a process too if the first of all, which is alone, was fast; from one that fails
  on each is alone. Their second runs, in reverse order, would tell them from calls without state.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from annoy_store.config import Policy
from annoy_store.hashing import canonical_json, derive_seed
from annoy_store.interfaces import ExecutionResult, Limits, Program, Sandbox
from annoy_store.parsing import json_values
from annoy_store.records.digests import input_digest
from annoy_store.records.executions import call_limits
from annoy_store.stages.stateless import is_stateless
from annoy_store.stages.value_limits import size_violation

TOGETHER_SECONDS = 1.0  # CPU time, and wall time without it, of all that one process does
FAST_MS = 50.0  # CPU time of a call whose like may share a process
HOPELESS_DRAWS = 10  # first draws that all fail in the same way, so that no more are made
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")


@dataclass
class SampledInputs:
    """The result of drawing: distinct pairs with their seeds, and why other draws were rejected.

    Attributes:
        pairs: Seed and execution of each pair, by the digest of its input.
        reason_by_input: Why an input made no pair (None: it made one), by its canonical JSON.
        rejections: How many draws were rejected, by reason.
        n_draws: How many draws were made.
        cpu_ms: CPU time of all draws in milliseconds.
        wall_ms: Wall time of all draws in milliseconds.
        last_rejected: The last draw that was rejected when its input was first seen.
        last_by_reason: The same by reason.
        failures: The ways in which draws failed; None stands for one that did not fail.
    """

    pairs: dict[str, tuple[int, ExecutionResult]] = field(default_factory=dict)
    reason_by_input: dict[str, str | None] = field(default_factory=dict)
    rejections: Counter[str] = field(default_factory=Counter)
    n_draws: int = 0
    cpu_ms: float = 0.0
    wall_ms: float = 0.0
    last_rejected: ExecutionResult | None = None
    last_by_reason: dict[str, ExecutionResult] = field(default_factory=dict)
    failures: set[tuple[str, ...] | None] = field(default_factory=set)

    @property
    def typical_failure(self) -> ExecutionResult | None:
        """A draw that was rejected for the most frequent reason."""
        return self.last_by_reason.get(self.reason())

    @property
    def detail(self) -> str | None:
        """The error message of that draw."""
        return self.typical_failure.error_message if self.typical_failure else None

    def reason(self) -> str:
        """Return the most frequent reason for rejected draws."""
        if not self.rejections:
            return "too_few_distinct"
        return min(self.rejections, key=lambda reason: (-self.rejections[reason], reason))

    def add(self, number: int, result: ExecutionResult, policy: Policy) -> None:
        """Record one draw; call it in the order of the seeds.

        Args:
            number: The seed.
            result: The execution, with the input that was drawn.
            policy: The limits of values and lines.
        """
        self.n_draws += 1
        self.cpu_ms += result.cpu_ms
        self.wall_ms += result.wall_ms
        key = canonical_json(json.loads(result.input)) if result.input is not None else ""
        if key in self.reason_by_input:
            self.rejections[self.reason_by_input[key] or "too_few_distinct"] += 1
            return
        reason = rejection_reason(result, policy)
        self.failures.add(_way_to_fail(result))
        if key:
            self.reason_by_input[key] = reason
        if reason is None:
            self.pairs[input_digest(json.loads(key))] = (number, result)
        else:
            self.rejections[reason] += 1
            self.last_rejected = self.last_by_reason[reason] = result

    def pairs_needed(self, policy: Policy) -> int:
        """Return how many pairs are wanted: fewer if the first run is too long."""
        _, first = next(iter(self.pairs.values()), (0, ExecutionResult("ok")))
        long = policy.count_lines and (first.lines or 0) >= policy.count_lines
        return min(policy.pairs_wanted, policy.long_pairs) if long else policy.pairs_wanted

    def is_finished(self, policy: Policy) -> bool:
        """Return whether drawing should end: there are enough pairs, or a bound is reached."""
        timeouts = self.rejections["cpu_timeout"] + self.rejections["wall_timeout"]
        never_loads = (
            self.last_rejected is not None and self.last_rejected.phase == "load" and not self.pairs
        )
        return (
            len(self.pairs) >= self.pairs_needed(policy)
            or timeouts >= policy.max_timeouts
            or self.cpu_ms >= policy.draw_cpu_seconds * 1000
            or never_loads
            or (
                self.n_draws >= HOPELESS_DRAWS
                and len(self.failures) == 1
                and None not in self.failures
            )
        )


def _way_to_fail(result: ExecutionResult) -> tuple[str, ...] | None:
    """Return how a draw failed, whatever its input; None if it did not, or by its size alone."""
    if result.outcome in {"ok", "output_too_large"}:
        return None
    message = _ADDRESS.sub("0x", result.error_message or "")
    return result.outcome, result.phase or "", result.error_type or "", message


def rejection_reason(result: ExecutionResult, policy: Policy) -> str | None:
    """Return why one draw makes no pair, such as `exception:ValueError`; None if it makes one.

    Args:
        result: The execution of the draw.
        policy: The limits of values.
    """
    if result.outcome != "ok":
        if result.outcome == "missing_module":
            return f"missing_module:{result.missing_module}"
        if result.outcome in {"repeated", "drawn"}:  # says so of an input that was called
            return "bad_frame"
        phase = f"generator_{result.outcome}" if result.phase == "generate" else result.outcome
        return f"{phase}:{result.error_type}" if result.outcome == "exception" else phase
    if result.output == "null":
        return "no_output"
    rule = policy.max_items, policy.max_string, policy.max_value_bytes
    for name, text in (("input", result.input), ("output", result.output)):
        try:
            value = parse_json(text)
        except json_values.UnsupportedValue:  # nested too deeply, or too long a number
            return f"{name}_too_large"
        if size_violation(value, *rule):
            return f"{name}_too_large"
    return None


def sample_inputs(
    program: Program, sample_digest: str, sandbox: Sandbox, policy: Policy
) -> SampledInputs:
    """Draw until there are enough distinct pairs or one of the policy's bounds is reached.

    Args:
        program: The code of the sample with its input generator.
        sample_digest: Digest of the sample, from which the seeds are derived.
        sandbox: Runs the draws.
        policy: Numbers of pairs and draws, and all limits.

    Raises:
        SandboxError: The sandbox failed, so nothing is known about the sample.
    """
    draws = SampledInputs()
    seeds = [derive_seed("draw", sample_digest, n) for n in range(policy.max_draws)]
    sampler = _Sampler(program, sandbox, policy, draws)
    while seeds and not draws.is_finished(policy):
        results = sampler.results(seeds)
        for number, result in zip(seeds, results, strict=False):
            draws.add(number, result, policy)
            if draws.is_finished(policy):
                return draws
        del seeds[: len(results)]
    return draws


@dataclass
class _Sampler:
    """Makes the next draws of one sample, few enough that drawing stops in time."""

    program: Program
    sandbox: Sandbox
    policy: Policy
    draws: SampledInputs
    ahead: list[ExecutionResult] = field(default_factory=list)
    draws_ahead: bool = False
    fails_next: bool = False
    calls_together: bool = False

    def results(self, seeds: Sequence[int]) -> list[ExecutionResult]:
        """Return the results of some of the next draws, at least of one.

        The first draw is alone, because most failures are constant.

        Args:
            seeds: The seeds of all draws that are left.
        """
        limits = replace(call_limits(self.policy), lines=self.policy.count_lines)
        if not self.draws.n_draws:
            first = self._draw(seeds[:1], limits)
            self.draws_ahead = first[0].input is not None and is_stateless(self.program)
            fast = first[0].outcome == "ok" and first[0].cpu_ms < FAST_MS
            self.calls_together = self.draws_ahead and fast
            return first
        if self.draws_ahead and not self.ahead and not self.fails_next:
            self._draw_ahead(seeds[: 2 * self.policy.pairs_wanted], limits)
        if self.ahead:
            return self._call_ahead(limits)
        count = 1 if self.fails_next else self._calls_at_once
        self.fails_next = False
        return self._draw(seeds[:count], limits)

    @property
    def _calls_at_once(self) -> int:
        """How many calls may be made before their time-outs are counted."""
        return max(1, self.policy.max_timeouts - 1)

    def _draw(self, seeds: Sequence[int], limits: Limits) -> list[ExecutionResult]:
        known = list(self.draws.reason_by_input)
        return self.sandbox.draw(self.program, seeds, limits, known)

    def _draw_ahead(self, seeds: Sequence[int], limits: Limits) -> None:
        """Draw inputs in one process."""
        self.ahead = self.sandbox.draw_inputs(self.program, seeds, _little_time(limits))
        self.draws_ahead, self.fails_next = len(self.ahead) > 0, len(self.ahead) < len(seeds)

    def _call_ahead(self, limits: Limits) -> list[ExecutionResult]:
        """Take the next inputs that were drawn ahead, and call those that are new."""
        missing = self.draws.pairs_needed(self.policy) - len(self.draws.pairs)
        most = max(missing, 1) if self.calls_together else self._calls_at_once
        known, taken = set(self.draws.reason_by_input), []
        new: list[str] = []
        for drawn in self.ahead:
            key = canonical_json(json.loads(drawn.input or "null"))
            if key in known:
                taken.append(replace(drawn, outcome="repeated"))
                continue
            if len(new) == most:
                break
            known.add(key)
            new.append(drawn.input or "")
            taken.append(drawn)
        results = _joined(taken, self._call(new, limits))
        del self.ahead[: len(results)]
        return results

    def _call(self, inputs: Sequence[str], limits: Limits) -> list[ExecutionResult]:
        """Call with the first of the inputs, at least with one if there are any."""
        if self.calls_together and len(inputs) > 1:
            results = self.sandbox.call_together(self.program, inputs, _little_time(limits))
            self.calls_together = len(results) == len(inputs)
            if results:
                return results
        return self.sandbox.call(self.program, inputs[: self._calls_at_once], limits)


def _little_time(limits: Limits) -> Limits:
    """Return the limits of a process that many share: most need less, and others are soon alone."""
    cpu, wall = (min(TOGETHER_SECONDS, s) for s in (limits.cpu_seconds, limits.wall_seconds))
    return replace(limits, cpu_seconds=cpu, wall_seconds=wall)


def _joined(
    draws: Sequence[ExecutionResult], calls: Sequence[ExecutionResult]
) -> list[ExecutionResult]:
    """Return the draws in their order, each new one with its call, up to the first without one."""
    left, results = list(calls), []
    for drawn in draws:
        if drawn.outcome == "drawn" and not left:
            break
        results.append(_with_call(drawn, left.pop(0)) if drawn.outcome == "drawn" else drawn)
    return results


def _with_call(drawn: ExecutionResult, called: ExecutionResult) -> ExecutionResult:
    """Return the result of a draw and the call of its input in two processes."""
    cpu, wall = drawn.cpu_ms + called.cpu_ms, drawn.wall_ms + called.wall_ms
    return replace(called, cpu_ms=cpu, wall_ms=wall)


def parse_json(text: str | None) -> Any:
    """Return the value of a JSON text from the sandbox; None is read as `null`.

    Raises:
        UnsupportedValue: It is nested too deeply or has too long a number.
    """
    found = json_values.parse_value(text or "null")
    if found is None:
        raise json_values.UnsupportedValue("not a value")
    return found.value

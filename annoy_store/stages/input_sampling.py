"""Drawing: inputs of a sample by recorded seeds, and the pairs that they make.

Decisions
- An input that was drawn before is not run again, whatever became of it.
- Nobody reasons through a run of more than `count_lines` lines, and functions that run so long, one
  in fifteen, take most of the CPU time: where the first pair is such a run, `long_pairs` do. Lines
  are the same everywhere, so the rule makes the same rows anywhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from annoy_store.config import Policy
from annoy_store.hashing import canonical_json, derive_seed, digest
from annoy_store.interfaces import ExecutionResult, Program, Sandbox
from annoy_store.parsing import json_values
from annoy_store.records.executions import call_limits
from annoy_store.stages.value_limits import size_violation


@dataclass
class SampledInputs:
    """What came of drawing: distinct pairs by input digest with their seeds, and refusals.

    `known` says of every input that was called, as canonical JSON, why it made no pair.
    """

    pairs: dict[str, tuple[int, ExecutionResult]] = field(default_factory=dict)
    reason_by_input: dict[str, str | None] = field(default_factory=dict)
    rejections: Counter[str] = field(default_factory=Counter)
    n_draws: int = 0
    cpu_ms: float = 0.0
    wall_ms: float = 0.0
    last_rejected: ExecutionResult | None = None
    last_by_reason: dict[str, ExecutionResult] = field(
        default_factory=dict
    )  # by word, the last draw refused for it

    @property
    def typical_failure(self) -> ExecutionResult | None:
        """A draw that was refused for what was most often wrong."""
        return self.last_by_reason.get(self.reason())

    @property
    def detail(self) -> str | None:
        return self.typical_failure.error_message if self.typical_failure else None

    def reason(self) -> str:
        """The word for what was most often wrong with the draws."""
        if not self.rejections:
            return "too_few_distinct"
        return min(self.rejections, key=lambda word: (-self.rejections[word], word))

    def add(self, number: int, ran: ExecutionResult, policy: Policy) -> None:
        """Take in one draw, in the order of the seeds."""
        self.n_draws += 1
        self.cpu_ms += ran.cpu_ms
        self.wall_ms += ran.wall_ms
        given = canonical_json(json.loads(ran.input)) if ran.input is not None else ""
        if given in self.reason_by_input:
            self.rejections[self.reason_by_input[given] or "too_few_distinct"] += 1
            return
        word = rejection_reason(ran, policy)
        if given:
            self.reason_by_input[given] = word
        if word is None:
            self.pairs[digest("input", json.loads(given))] = (number, ran)
        else:
            self.rejections[word] += 1
            self.last_rejected = self.last_by_reason[word] = ran

    def pairs_needed(self, policy: Policy) -> int:
        """How many pairs are wanted: fewer of a function too long to be reasoned through."""
        _, first = next(iter(self.pairs.values()), (0, ExecutionResult("ok")))
        long = policy.count_lines and (first.lines or 0) >= policy.count_lines
        return min(policy.pairs_wanted, policy.long_pairs) if long else policy.pairs_wanted

    def is_finished(self, policy: Policy) -> bool:
        """True when drawing should end."""
        timeouts = self.rejections["cpu_timeout"] + self.rejections["wall_timeout"]
        never_loads = (
            self.last_rejected is not None and self.last_rejected.phase == "load" and not self.pairs
        )
        return (
            len(self.pairs) >= self.pairs_needed(policy)
            or timeouts >= policy.max_timeouts
            or self.cpu_ms >= policy.draw_cpu_seconds * 1000
            or never_loads
        )


def rejection_reason(ran: ExecutionResult, policy: Policy) -> str | None:
    """Why one draw makes no pair: a word, or None for a pair."""
    if ran.outcome != "ok":
        if ran.outcome == "missing_module":
            return f"missing_module:{ran.missing_module}"
        phase = f"generator_{ran.outcome}" if ran.phase == "generate" else ran.outcome
        return f"{phase}:{ran.error_type}" if ran.outcome == "exception" else phase
    if ran.output == "null":
        return "no_output"
    rule = policy.max_items, policy.max_string, policy.max_value_bytes
    for name, text in (("input", ran.input), ("output", ran.output)):
        try:
            value = parse_json(text)
        except json_values.UnsupportedValue:  # nested beyond reading, or a monstrous number
            return f"{name}_too_large"
        if size_violation(value, *rule):
            return f"{name}_too_large"
    return None


def sample_inputs(
    program: Program, sample_digest: str, sandbox: Sandbox, policy: Policy
) -> SampledInputs:
    """Draw until enough distinct pairs are there, or one of the policy's bounds is met."""
    draws = SampledInputs()
    within = replace(call_limits(policy), lines=policy.count_lines)
    for numbers in _chunks(policy):
        seeds = [derive_seed("draw", sample_digest, n) for n in numbers]
        drawn = sandbox.draw(program, seeds, within, list(draws.reason_by_input))
        for number, ran in zip(seeds, drawn, strict=True):
            draws.add(number, ran, policy)
            if draws.is_finished(policy):
                return draws
    return draws


def _chunks(policy: Policy) -> Iterator[range]:
    """A single draw first, because most failures fail always; then few enough to stop in time."""
    yield range(1)
    step = max(1, policy.max_timeouts - 1)
    for start in range(1, policy.max_draws, step):
        yield range(start, min(start + step, policy.max_draws))


def parse_json(text: str | None) -> Any:
    """What the sandbox's JSON says. Raises Refused for what nobody could be asked about."""
    found = json_values.parse_value(text or "null")
    if found is None:
        raise json_values.UnsupportedValue("not a value")
    return found.value

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
from annoy_store.hashing import canonical, digest, seed
from annoy_store.interfaces import Program, Ran, Sandbox
from annoy_store.parsing import json_values
from annoy_store.records.executions import limits
from annoy_store.stages.value_limits import oversize


@dataclass
class Draws:
    """What came of drawing: distinct pairs by input digest with their seeds, and refusals.

    `known` says of every input that was called, as canonical JSON, why it made no pair.
    """

    pairs: dict[str, tuple[int, Ran]] = field(default_factory=dict)
    known: dict[str, str | None] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    drawn: int = 0
    cpu_ms: float = 0.0
    wall_ms: float = 0.0
    last: Ran | None = None
    told: dict[str, Ran] = field(default_factory=dict)  # by word, the last draw refused for it

    @property
    def failing(self) -> Ran | None:
        """A draw that was refused for what was most often wrong."""
        return self.told.get(self.reason())

    @property
    def detail(self) -> str | None:
        return self.failing.error_message if self.failing else None

    def reason(self) -> str:
        """The word for what was most often wrong with the draws."""
        if not self.refused:
            return "too_few_distinct"
        return min(self.refused, key=lambda word: (-self.refused[word], word))

    def add(self, number: int, ran: Ran, policy: Policy) -> None:
        """Take in one draw, in the order of the seeds."""
        self.drawn += 1
        self.cpu_ms += ran.cpu_ms
        self.wall_ms += ran.wall_ms
        given = canonical(json.loads(ran.input)) if ran.input is not None else ""
        if given in self.known:
            self.refused[self.known[given] or "too_few_distinct"] += 1
            return
        word = refusal(ran, policy)
        if given:
            self.known[given] = word
        if word is None:
            self.pairs[digest("input", json.loads(given))] = (number, ran)
        else:
            self.refused[word] += 1
            self.last = self.told[word] = ran

    def enough(self, policy: Policy) -> int:
        """How many pairs are wanted: fewer of a function too long to be reasoned through."""
        _, first = next(iter(self.pairs.values()), (0, Ran("ok")))
        long = policy.count_lines and (first.lines or 0) >= policy.count_lines
        return min(policy.pairs_wanted, policy.long_pairs) if long else policy.pairs_wanted

    def over(self, policy: Policy) -> bool:
        """True when drawing should end."""
        timeouts = self.refused["cpu_timeout"] + self.refused["wall_timeout"]
        never_loads = self.last is not None and self.last.phase == "load" and not self.pairs
        return (
            len(self.pairs) >= self.enough(policy)
            or timeouts >= policy.max_timeouts
            or self.cpu_ms >= policy.draw_cpu_seconds * 1000
            or never_loads
        )


def refusal(ran: Ran, policy: Policy) -> str | None:
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
            value = value_of(text)
        except json_values.Refused:  # nested beyond reading, or a monstrous number
            return f"{name}_too_large"
        if oversize(value, *rule):
            return f"{name}_too_large"
    return None


def draw(program: Program, sample_digest: str, sandbox: Sandbox, policy: Policy) -> Draws:
    """Draw until enough distinct pairs are there, or one of the policy's bounds is met."""
    draws = Draws()
    within = replace(limits(policy), lines=policy.count_lines)
    for numbers in _chunks(policy):
        seeds = [seed("draw", sample_digest, n) for n in numbers]
        drawn = sandbox.draw(program, seeds, within, list(draws.known))
        for number, ran in zip(seeds, drawn, strict=True):
            draws.add(number, ran, policy)
            if draws.over(policy):
                return draws
    return draws


def _chunks(policy: Policy) -> Iterator[range]:
    """A single draw first, because most failures fail always; then few enough to stop in time."""
    yield range(1)
    step = max(1, policy.max_timeouts - 1)
    for start in range(1, policy.max_draws, step):
        yield range(start, min(start + step, policy.max_draws))


def value_of(text: str | None) -> Any:
    """What the sandbox's JSON says. Raises Refused for what nobody could be asked about."""
    found = json_values.read(text or "null")
    if found is None:
        raise json_values.Refused("not a value")
    return found.value

"""generate: make I/O pairs of a sample, and see which of them hold.

wants   samples
does    draws inputs with recorded seeds, runs the code, repeats each pair in another world
writes  executions, io_pairs, pair_checks

A pair holds when a second process with another hash seed, random seed and clock second gives the
same output for the stored input, and the code does not use what no seed controls. A sample that
came with pairs and without a generator has those pairs checked instead.

Lines are counted from the first draw on until there is a pair. Nobody reasons through a run of
more than `count_lines` of them, and such functions, one in fifteen, take most of the CPU time: a
few pairs of each do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Select, String, case, cast, func, literal, select

from annoy_store import literals
from annoy_store.contracts import (
    Limits,
    New,
    Outcome,
    Program,
    Ran,
    Row,
    Sandbox,
    Stage,
    Tools,
    done,
    rejected,
)
from annoy_store.executing import execution, limits
from annoy_store.identity import canonical, digest, seed
from annoy_store.restless import restless_use
from annoy_store.settings import Policy
from annoy_store.tables import executions, io_pairs, pair_checks, samples
from annoy_store.values import diverse, oversize
from annoy_store.wanting import not_hidden

FEWEST = 2  # pairs below which a sample is of no use (the paper's rule)
FIELD, RECORD = "\x1f", "\x1e"  # never stand in JSON text, which escapes them


def wants(_: Policy) -> Select[Any]:
    """Every sample that is not taken down, with the pairs that it has already."""
    columns = (cast(io_pairs.c.id, String), io_pairs.c.input, io_pairs.c.output)
    record = columns[0] + literal(FIELD) + columns[1] + literal(FIELD) + columns[2]
    pairs = (
        select(func.aggregate_strings(record, RECORD))
        .where(io_pairs.c.sample_id == samples.c.id)
        .correlate(samples)
        .scalar_subquery()
    )
    return select(
        samples.c.id.label("subject_id"),
        samples.c.digest,
        samples.c.funcname,
        samples.c.refcode,
        samples.c.input_generator,
        case((samples.c.id.is_not(None), pairs)).label("pairs"),
    ).where(not_hidden("sample", samples.c.id))


def work(row: Row, tools: Tools) -> Outcome:
    """Make and check the pairs of one sample. Raises SandboxError."""
    program = Program(row["refcode"], row["funcname"], row["input_generator"])
    if row["input_generator"] is None:
        return _check_given(row, program, tools)
    draws = draw(program, row["digest"], tools.sandbox(), tools.policy)
    if len(draws.pairs) < FEWEST:
        return rejected(draws.reason(), _generation(draws, row, tools), detail=draws.detail)
    return _check_drawn(draws, row, program, tools)


# Drawing -------------------------------------------------------------------------------------


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

    @property
    def detail(self) -> str | None:
        return self.last.error_message if self.last else None

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
            self.last = ran

    def enough(self, policy: Policy) -> int:
        """How many pairs are wanted: fewer of a function too long to be reasoned through."""
        long = policy.count_lines and any(
            (ran.lines or 0) >= policy.count_lines for _, ran in self.pairs.values()
        )
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
            value = _value(text)
        except literals.Refused:  # nested beyond reading, or a monstrous number
            return f"{name}_too_large"
        if oversize(value, *rule):
            return f"{name}_too_large"
    return None


def draw(program: Program, sample_digest: str, sandbox: Sandbox, policy: Policy) -> Draws:
    """Draw until enough distinct pairs are there, or one of the policy's bounds is met."""
    draws = Draws()
    for numbers in _chunks(policy):
        seeds = [seed("draw", sample_digest, n) for n in numbers]
        within = replace(limits(policy), lines=0 if draws.pairs else policy.count_lines)
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


# Checking ------------------------------------------------------------------------------------


def _check_drawn(draws: Draws, row: Row, program: Program, tools: Tools) -> Outcome:
    restless = restless_use(program.code)
    rans = [ran for _, ran in draws.pairs.values()]
    again = _again([ran.input or "" for ran in rans], program, tools)
    statuses = [
        "unstable" if restless else _status(first.output, second)
        for first, second in zip(rans, again, strict=True)
    ]
    stable = statuses.count("stable")
    if 0 < stable < FEWEST:
        statuses = ["alone" if s == "stable" else s for s in statuses]
    generation, check = _generation(draws, row, tools), _check_run(again, row, tools)
    keys = list(draws.pairs)
    holding = {key for key, status in zip(keys, statuses, strict=True) if status == "stable"}
    positions = _positions(keys, rans, holding, row)
    rows: list[New] = []
    for (key, (number, ran)), position, status, second in zip(
        draws.pairs.items(), positions, statuses, again, strict=True
    ):
        pair = {
            "sample_id": row["subject_id"], "position": position, "input_digest": key,
            "seed": number, "execution_id": generation, "input": ran.input, "output": ran.output,
        }  # fmt: skip
        rows.append(_checked(New(io_pairs, pair), status, second, check, tools))
    if stable < FEWEST:
        word = f"restless:{restless}" if restless else "too_few_stable"
        return rejected(word, *rows, detail=f"{stable} of {len(statuses)} pairs are stable")
    return done(*rows)


def _positions(keys: Sequence[str], rans: Sequence[Ran], stable: Set[str], row: Row) -> list[int]:
    """Where each pair stands: stable ones first, outputs repeating late; behind those there."""
    known = {digest("input", json.loads(text)) for _, text, _ in _given(row)}
    outputs = {key: ran.output or "null" for key, ran in zip(keys, rans, strict=True)}
    new = [key for key in keys if key not in known]
    first = [key for key in new if key in stable]
    order = [first[i] for i in diverse([outputs[key] for key in first])]
    order += [key for key in new if key not in stable]
    places = {key: len(known) + place for place, key in enumerate(order)}
    return [places.get(key, 0) for key in keys]


def _again(inputs: Sequence[str], program: Program, tools: Tools) -> list[Ran]:
    counted = replace(limits(tools.policy), lines=tools.policy.count_lines)
    return _call(inputs, program, tools, counted, world=1)


def _call(
    inputs: Sequence[str], program: Program, tools: Tools, within: Limits, world: int
) -> list[Ran]:
    return tools.sandbox().call(program, inputs, within, world)


def _status(output: str | None, second: Ran) -> str:
    """Whether a pair holds; what happened instead when the second run gave nothing."""
    if second.outcome != "ok":
        return second.outcome
    return "stable" if _equal(output, second.output) else "unstable"


def _equal(left: str | None, right: str | None) -> bool:
    try:
        return canonical(_value(left)) == canonical(_value(right))
    except literals.Refused:
        return False


def _value(text: str | None) -> Any:
    """What the sandbox's JSON says. Raises Refused for what nobody could be asked about."""
    found = literals.read(text or "null")
    if found is None:
        raise literals.Refused("not a value")
    return found.value


def _check_given(row: Row, program: Program, tools: Tools) -> Outcome:
    given = _given(row)
    if not given:
        return rejected("no_pairs")
    inputs = [text for _, text, _ in given]
    first = _call(inputs, program, tools, limits(tools.policy), world=0)
    again = _again(inputs, program, tools)
    check = _check_run(first, row, tools)
    restless = restless_use(program.code)
    checks = []
    for (pair_id, _, output), one, two in zip(given, first, again, strict=True):
        status = one.outcome if one.outcome != "ok" else _status(one.output, two)
        if status == "stable" and restless:
            status = "unstable"
        if status == "stable" and not _equal(output, one.output):
            status = "wrong_output"
        checks.append((status, _checked(pair_id, status, two, check, tools)))
    rows = [new for _, new in checks]
    if any(status == "stable" for status, _ in checks):
        return done(*rows)
    worst = Counter(status for status, _ in checks).most_common(1)[0][0]
    missing = next((r.missing_module for r in first if r.missing_module), None)
    return rejected(f"missing_module:{missing}" if missing else worst, *rows)


def _given(row: Row) -> list[tuple[int, str, str]]:
    """(id, input, output) of the pairs that a sample has already."""
    records = (r.split(FIELD) for r in (row["pairs"] or "").split(RECORD) if r)
    return sorted((int(i), given, got) for i, given, got in records)


# Rows ----------------------------------------------------------------------------------------


def _checked(pair: New | int, status: str, second: Ran, check: New, tools: Tools) -> New:
    values = {
        "io_pair_id": pair, "variant_id": tools.variant_id, "status": status,
        "execution_id": check, "lines_executed": second.lines,
    }  # fmt: skip
    return New(pair_checks, values)


def _generation(draws: Draws, row: Row, tools: Tools) -> New:
    """One row for all draws of a sample, with the counts of what was refused."""
    failing = draws.last if len(draws.pairs) < FEWEST else None
    ran = failing or Ran("ok")
    ran = replace(ran, cpu_ms=draws.cpu_ms, wall_ms=draws.wall_ms)
    counts = {"drawn": draws.drawn, "pairs": len(draws.pairs), **draws.refused}
    habitat = tools.sandbox().habitat
    return execution(ran, habitat, "generate", sample_id=row["subject_id"], draws=counts)


def _check_run(rans: Sequence[Ran], row: Row, tools: Tools) -> New:
    """One row for the second runs of a sample's pairs."""
    worst = next((r for r in rans if r.outcome != "ok"), rans[0])
    ran = replace(worst, cpu_ms=sum(r.cpu_ms for r in rans), wall_ms=sum(r.wall_ms for r in rans))
    counts = {"pairs": len(rans), **Counter(r.outcome for r in rans)}
    habitat = tools.sandbox().habitat
    return execution(ran, habitat, "check", sample_id=row["subject_id"], draws=counts)


STAGE = Stage(
    "generate",
    wants,
    watches=samples.c.id,
    work=work,
    writes=(executions, io_pairs, pair_checks),
    lane="sandbox",
    depends=(
        "pairs_wanted", "long_pairs", "max_draws", "draw_cpu_seconds", "max_timeouts", "max_items",
        "max_string", "max_value_bytes", "cpu_seconds", "wall_seconds", "memory_mb",
        "count_lines",
    ),
)  # fmt: skip

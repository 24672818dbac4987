"""generate: make I/O pairs of a sample, and see which of them hold.

wants   samples
does    draws inputs with recorded seeds, runs the code, repeats each pair in another world
writes  executions, io_pairs, pair_checks

A pair holds when a second process with another hash seed, random seed and clock second gives the
same output for the stored input, and the code does not use what no seed controls. One pair that
does not hold so condemns the others of its sample: they agreed by chance. Pairs that came with a
sample, without seeds, are checked too, and have to give the output that they came with.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from sqlalchemy import Select, String, case, cast, func, literal, select

from annoy_store.config import Policy
from annoy_store.db.tables import executions, io_pairs, pair_checks, samples
from annoy_store.hashing import canonical_json, digest
from annoy_store.interfaces import (
    ExecutionResult,
    Limits,
    NewRow,
    Outcome,
    Program,
    Row,
    Stage,
    StageContext,
    done,
    rejected,
)
from annoy_store.parsing import json_values
from annoy_store.records.executions import call_limits, new_execution
from annoy_store.records.queries import not_hidden
from annoy_store.stages.input_sampling import SampledInputs, parse_json, sample_inputs
from annoy_store.stages.nondeterminism import nondeterministic_call
from annoy_store.stages.value_limits import order_by_distinct_output

MIN_PAIRS = 2  # pairs below which a sample is of no use (the paper's rule)
FIELD_SEPARATOR, RECORD_SEPARATOR = "\x1f", "\x1e"  # never stand in JSON text, which escapes them


@dataclass(frozen=True)
class StoredPair:
    """A pair that is in the store; one without a seed came with its sample."""

    id: int
    has_seed: bool
    input: str
    output: str

    @property
    def key(self) -> str:
        return digest("input", json.loads(self.input))


def select_subjects(_: Policy) -> Select[Any]:
    """Every sample that is not taken down, with the pairs that it has already."""
    seeded = case((io_pairs.c.seed.is_(None), ""), else_="seeded")
    columns = (cast(io_pairs.c.id, String), seeded, io_pairs.c.input, io_pairs.c.output)
    record = reduce(lambda text, column: text + literal(FIELD_SEPARATOR) + column, columns)
    pairs = (
        select(func.aggregate_strings(record, RECORD_SEPARATOR))
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


def run(row: Row, tools: StageContext) -> Outcome:
    """Make and check the pairs of one sample. Raises SandboxError."""
    program = Program(row["refcode"], row["funcname"], row["input_generator"])
    draws = SampledInputs()
    if program.generator is not None:
        draws = sample_inputs(program, row["digest"], tools.sandbox(), tools.policy)
    came = [pair for pair in _there(row) if not pair.has_seed and pair.key not in draws.pairs]
    if came or len(draws.pairs) >= MIN_PAIRS:
        return _check(draws, came, row, program, tools)
    if program.generator is None:
        return rejected("no_pairs")
    return rejected(draws.reason(), _generation(draws, row, tools), detail=draws.detail)


# Checking ------------------------------------------------------------------------------------


def _check(
    draws: SampledInputs,
    came: Sequence[StoredPair],
    row: Row,
    program: Program,
    tools: StageContext,
) -> Outcome:
    """Run every pair again, those that came for the first time too; say what holds."""
    within = replace(call_limits(tools.policy), lines=tools.policy.count_lines)
    rans = [ran for _, ran in draws.pairs.values()]
    rans += tools.sandbox().call(program, [pair.input for pair in came], within)
    again = _again(rans, program, tools)
    restless = nondeterministic_call(program.code)
    there = {pair.key: pair.output for pair in _there(row)}
    told = [there.get(key) for key in (*draws.pairs, *(pair.key for pair in came))]
    statuses = _statuses(rans, again, told, restless)
    stable = statuses.count("stable")
    if 0 < stable < MIN_PAIRS and not came:
        statuses, stable = ["alone" if s == "stable" else s for s in statuses], 0
    pairs: list[NewRow | int] = [*_drawn(draws, statuses, row, tools), *(pair.id for pair in came)]
    check = _check_run(rans, again, row, tools)
    rows = [
        _checked(pair, status, ran.lines, check, tools)
        for pair, status, ran in zip(pairs, statuses, rans, strict=True)
    ]
    if draws.n_draws and not draws.pairs:
        rows.append(_generation(draws, row, tools))
    if stable:
        return done(*rows)
    word = f"nondeterministic:{restless}" if restless else "too_few_stable"
    if came:
        missing = next((ran.missing_module for ran in rans if ran.missing_module), None)
        worst = Counter(statuses).most_common(1)[0][0]
        word = f"missing_module:{missing}" if missing else worst
    agreed = sum(_status(*runs) == "stable" for runs in zip(rans, again, strict=True))
    return rejected(word, *rows, detail=f"{agreed} of {len(rans)} pairs agree with a second run")


def _drawn(
    draws: SampledInputs, statuses: Sequence[str], row: Row, tools: StageContext
) -> list[NewRow]:
    """The rows of the pairs that were drawn."""
    if not draws.n_draws:
        return []
    generation = _generation(draws, row, tools)
    holding = {key for key, s in zip(draws.pairs, statuses, strict=False) if s == "stable"}
    rans = [ran for _, ran in draws.pairs.values()]
    positions = _positions(list(draws.pairs), rans, holding, row)
    return [
        NewRow(
            io_pairs,
            {
                "sample_id": row["subject_id"],
                "position": position,
                "input_digest": key,
                "seed": number,
                "execution_id": generation,
                "input": ran.input,
                "output": ran.output,
            },
        )
        for (key, (number, ran)), position in zip(draws.pairs.items(), positions, strict=True)
    ]


def _positions(
    keys: Sequence[str], rans: Sequence[ExecutionResult], stable: Set[str], row: Row
) -> list[int]:
    """Where each pair stands: stable ones first, outputs repeating late; behind those there."""
    known = {pair.key for pair in _there(row)}
    outputs = {key: ran.output or "null" for key, ran in zip(keys, rans, strict=True)}
    new = [key for key in keys if key not in known]
    first = [key for key in new if key in stable]
    order = [first[i] for i in order_by_distinct_output([outputs[key] for key in first])]
    order += [key for key in new if key not in stable]
    places = {key: len(known) + place for place, key in enumerate(order)}
    return [places.get(key, 0) for key in keys]


def _again(
    rans: Sequence[ExecutionResult], program: Program, tools: StageContext
) -> list[ExecutionResult]:
    """Second runs, in another world.

    An output that comes again even after other calls in the same process needs no more; the other
    inputs run once more, each in a process of its own.
    """
    within = call_limits(tools.policy)
    sandbox, inputs = tools.sandbox(), [ran.input or "" for ran in rans]
    again = sandbox.call(
        program, inputs, within, environment_seed=1, share_process=_fit_one(rans, within)
    )
    odd = [i for i, ran in enumerate(rans) if _status(ran, again[i]) == "unstable"]
    alone = sandbox.call(program, [inputs[i] for i in odd], within, environment_seed=1)
    for i, ran in zip(odd, alone, strict=True):
        again[i] = replace(ran, cpu_ms=ran.cpu_ms + again[i].cpu_ms)
    return again


def _fit_one(rans: Sequence[ExecutionResult], within: Limits) -> bool:
    """Whether these calls in one process would stay far from the limits of one call."""
    cpu, wall = sum(ran.cpu_ms for ran in rans), sum(ran.wall_ms for ran in rans)
    return cpu < within.cpu_seconds * 500 and wall < within.wall_seconds * 500


def _statuses(
    rans: Sequence[ExecutionResult],
    again: Sequence[ExecutionResult],
    told: Sequence[str | None],
    restless: str | None,
) -> list[str]:
    """Whether each pair holds: in two runs, and with the output that it was told to have.

    What agrees beside one that does not, agrees by chance.
    """
    found = [_status(first, second) for first, second in zip(rans, again, strict=True)]
    if restless or "unstable" in found:
        return ["unstable" if status == "stable" else status for status in found]
    wrong = [t is not None and not _equal(t, r.output) for t, r in zip(told, rans, strict=True)]
    return [
        "wrong_output" if status == "stable" and bad else status
        for status, bad in zip(found, wrong, strict=True)
    ]


def _status(first: ExecutionResult, second: ExecutionResult) -> str:
    """Whether two runs agree; what happened instead when one gave nothing."""
    for ran in (first, second):
        if ran.outcome != "ok":
            return ran.outcome
    return "stable" if _equal(first.output, second.output) else "unstable"


def _equal(left: str | None, right: str | None) -> bool:
    try:
        return left == right or canonical_json(parse_json(left)) == canonical_json(
            parse_json(right)
        )
    except json_values.UnsupportedValue:
        return False


def _there(row: Row) -> list[StoredPair]:
    """The pairs that a sample has already."""
    records = (r.split(FIELD_SEPARATOR) for r in (row["pairs"] or "").split(RECORD_SEPARATOR) if r)
    return sorted(
        (StoredPair(int(key), bool(seeded), given, got) for key, seeded, given, got in records),
        key=lambda pair: pair.id,
    )


# Rows ----------------------------------------------------------------------------------------


def _checked(
    pair: NewRow | int, status: str, lines: int | None, check: NewRow, tools: StageContext
) -> NewRow:
    values = {
        "io_pair_id": pair,
        "variant_id": tools.variant_id,
        "status": status,
        "execution_id": check,
        "lines_executed": lines,
    }
    return NewRow(pair_checks, values)


def _generation(draws: SampledInputs, row: Row, tools: StageContext) -> NewRow:
    """One row for all draws of a sample, with the counts of what was refused."""
    failing = draws.typical_failure if len(draws.pairs) < MIN_PAIRS else None
    ran = failing or ExecutionResult("ok")
    ran = replace(ran, cpu_ms=draws.cpu_ms, wall_ms=draws.wall_ms)
    counts = {"drawn": draws.n_draws, "pairs": len(draws.pairs), **draws.rejections}
    habitat = tools.sandbox().info
    return new_execution(ran, habitat, "generate", sample_id=row["subject_id"], draws=counts)


def _check_run(
    rans: Sequence[ExecutionResult], again: Sequence[ExecutionResult], row: Row, tools: StageContext
) -> NewRow:
    """One row for the second runs of a sample's pairs, or for what kept one from having any."""
    told = [two if one.outcome == "ok" else one for one, two in zip(rans, again, strict=True)]
    worst = next((r for r in told if r.outcome != "ok"), told[0])
    ran = replace(worst, cpu_ms=sum(r.cpu_ms for r in again), wall_ms=sum(r.wall_ms for r in again))
    counts = {"pairs": len(told), **Counter(r.outcome for r in told)}
    habitat = tools.sandbox().info
    return new_execution(ran, habitat, "check", sample_id=row["subject_id"], draws=counts)


STAGE = Stage(
    "generate",
    select_subjects,
    trigger=samples.c.id,
    run=run,
    writes=(executions, io_pairs, pair_checks),
    executor="sandbox",
    depends=(
        "pairs_wanted",
        "long_pairs",
        "max_draws",
        "draw_cpu_seconds",
        "max_timeouts",
        "max_items",
        "max_string",
        "max_value_bytes",
        "cpu_seconds",
        "wall_seconds",
        "memory_mb",
        "count_lines",
    ),
)

"""generate: make I/O pairs of a sample and check which of them are stable.

selects samples
does    draws inputs with recorded seeds, runs the code, repeats each pair in a changed environment
writes  executions, io_pairs, pair_checks

A pair is stable if a second process with another hash seed, random seed and clock gives the same
output for the stored input, and the code calls nothing that no seed controls. If one pair is
unstable, all pairs of the sample are marked unstable: the others agreed by chance. All pairs that a
sample already has are run again too, drawn or imported, and must give the output that is stored.
What of a pair stands in the question is checked here too, so that every pair is, wherever it came
from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, case, select

from annoy_store.config import Policy
from annoy_store.db.tables import executions, io_pairs, pair_checks, samples
from annoy_store.hashing import canonical_json
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
from annoy_store.records.digests import input_digest
from annoy_store.records.executions import call_limits, new_execution
from annoy_store.records.queries import joined_records, not_hidden, split_records
from annoy_store.stages.input_sampling import SampledInputs, parse_json, sample_inputs
from annoy_store.stages.nondeterminism import nondeterministic_call
from annoy_store.stages.value_limits import order_by_distinct_output
from annoy_store.tasks.shown import QuestionText, shown_in_question

MIN_PAIRS = 2  # a sample with fewer stable pairs is rejected (CodeI/O paper)


@dataclass(frozen=True)
class StoredPair:
    """A pair that is in the store; one without a seed came with its sample."""

    id: int
    has_seed: bool
    input: str
    output: str

    @property
    def key(self) -> str:
        """The digest of the input."""
        return input_digest(json.loads(self.input))


def select_subjects(_: Policy) -> Select[Any]:
    """Select the samples that are not taken down, with the pairs that they already have."""
    seeded = case((io_pairs.c.seed.is_(None), ""), else_="seeded")
    pairs = (
        select(joined_records(io_pairs.c.id, seeded, io_pairs.c.input, io_pairs.c.output))
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
        samples.c.problem_statement,
        samples.c.io_requirements,
        case((samples.c.id.is_not(None), pairs)).label("pairs"),
    ).where(not_hidden("sample", samples.c.id))


def run(row: Row, context: StageContext) -> Outcome:
    """Make and check the pairs of one sample.

    Raises:
        SandboxError: The sandbox failed, so nothing is known about the sample.
    """
    program = Program(row["refcode"], row["funcname"], row["input_generator"])
    draws = SampledInputs()
    if program.generator is not None:
        draws = sample_inputs(program, row["digest"], context.sandbox(), context.policy)
    given_pairs = [pair for pair in _stored_pairs(row) if pair.key not in draws.pairs]
    if given_pairs or len(draws.pairs) >= MIN_PAIRS:
        return _check_pairs(draws, given_pairs, row, program, context)
    if program.generator is None:
        return rejected("no_pairs")
    return rejected(draws.reason(), _generation_row(draws, row, context), detail=draws.detail)


# Checking ------------------------------------------------------------------------------------


def _check_pairs(
    draws: SampledInputs,
    given_pairs: Sequence[StoredPair],
    row: Row,
    program: Program,
    context: StageContext,
) -> Outcome:
    """Run all pairs again, given ones for the first time too, and decide which are stable."""
    limits = replace(call_limits(context.policy), lines=context.policy.count_lines)
    results = [result for _, result in draws.pairs.values()]
    results += context.sandbox().call(program, [pair.input for pair in given_pairs], limits)
    second_runs = _second_runs(results, program, context)
    nondeterminism = nondeterministic_call(program.code)
    stored_outputs = {pair.key: pair.output for pair in _stored_pairs(row)}
    expected = [
        stored_outputs.get(key) for key in (*draws.pairs, *(pair.key for pair in given_pairs))
    ]
    statuses = _statuses(results, second_runs, expected, nondeterminism)
    stable = statuses.count("stable")
    if 0 < stable < MIN_PAIRS and all(pair.has_seed for pair in given_pairs):
        statuses, stable = ["alone" if s == "stable" else s for s in statuses], 0
    pairs: list[NewRow | int] = [
        *_new_pairs(draws, statuses, row, context),
        *(pair.id for pair in given_pairs),
    ]
    check = _check_execution(results, second_runs, row, context)
    values = [(result.input or "{}", result.output) for _, result in draws.pairs.values()]
    values += [(pair.input, pair.output) for pair in given_pairs]
    shown = shown_in_question(QuestionText.of(row), values)
    rows = [
        _check_row(pair, status, word, result.lines, check, context)
        for pair, status, word, result in zip(pairs, statuses, shown, results, strict=True)
    ]
    if draws.n_draws and not draws.pairs:
        rows.append(_generation_row(draws, row, context))
    if stable:
        return done(*rows)
    reason = f"nondeterministic:{nondeterminism}" if nondeterminism else "too_few_stable"
    if given_pairs:
        missing = next((result.missing_module for result in results if result.missing_module), None)
        worst = Counter(statuses).most_common(1)[0][0]
        reason = f"missing_module:{missing}" if missing else worst
    agreed = sum(_status(*runs) == "stable" for runs in zip(results, second_runs, strict=True))
    return rejected(
        reason, *rows, detail=f"{agreed} of {len(results)} pairs agree with a second run"
    )


def _new_pairs(
    draws: SampledInputs, statuses: Sequence[str], row: Row, context: StageContext
) -> list[NewRow]:
    """Build the rows of the drawn pairs."""
    if not draws.n_draws:
        return []
    generation = _generation_row(draws, row, context)
    stable = {key for key, s in zip(draws.pairs, statuses, strict=False) if s == "stable"}
    results = [result for _, result in draws.pairs.values()]
    positions = _positions(list(draws.pairs), results, stable, row)
    return [
        NewRow(
            io_pairs,
            {
                "sample_id": row["subject_id"],
                "position": position,
                "input_digest": key,
                "seed": number,
                "execution_id": generation,
                "input": result.input,
                "output": result.output,
            },
        )
        for (key, (number, result)), position in zip(draws.pairs.items(), positions, strict=True)
    ]


def _positions(
    keys: Sequence[str], results: Sequence[ExecutionResult], stable: Set[str], row: Row
) -> list[int]:
    """Return the position of each pair: after stored ones, stable first, repeated outputs late."""
    known = {pair.key for pair in _stored_pairs(row)}
    outputs = {key: result.output or "null" for key, result in zip(keys, results, strict=True)}
    new = [key for key in keys if key not in known]
    first = [key for key in new if key in stable]
    order = [first[i] for i in order_by_distinct_output([outputs[key] for key in first])]
    order += [key for key in new if key not in stable]
    positions = {key: len(known) + place for place, key in enumerate(order)}
    return [positions.get(key, 0) for key in keys]


def _second_runs(
    results: Sequence[ExecutionResult], program: Program, context: StageContext
) -> list[ExecutionResult]:
    """Run each pair again with another environment seed.

    They run in reverse order, so that state which survived from one first run to the next would
    show. An output that is reproduced in a process shared with other calls needs no further run;
    the other inputs run once more, each in its own process.
    """
    limits = call_limits(context.policy)
    sandbox, inputs = context.sandbox(), [result.input or "" for result in results]
    second_runs = sandbox.call(
        program,
        inputs[::-1],
        limits,
        environment_seed=1,
        share_process=_fits_one_process(results, limits),
    )[::-1]
    differing = [
        i for i, result in enumerate(results) if _status(result, second_runs[i]) == "unstable"
    ]
    separate = sandbox.call(program, [inputs[i] for i in differing], limits, environment_seed=1)
    for i, result in zip(differing, separate, strict=True):
        second_runs[i] = replace(result, cpu_ms=result.cpu_ms + second_runs[i].cpu_ms)
    return second_runs


def _fits_one_process(results: Sequence[ExecutionResult], limits: Limits) -> bool:
    """Return whether these calls together would use less than half of the limits of one call."""
    cpu, wall = sum(result.cpu_ms for result in results), sum(result.wall_ms for result in results)
    return cpu < limits.cpu_seconds * 500 and wall < limits.wall_seconds * 500


def _statuses(
    results: Sequence[ExecutionResult],
    second_runs: Sequence[ExecutionResult],
    expected: Sequence[str | None],
    nondeterminism: str | None,
) -> list[str]:
    """Return the status of each pair: whether two runs agree, and agree with the expected output.

    If one pair is unstable, those that agree do so by chance.
    """
    found = [_status(first, second) for first, second in zip(results, second_runs, strict=True)]
    if nondeterminism or "unstable" in found:
        return ["unstable" if status == "stable" else status for status in found]
    wrong = [
        t is not None and not _equal(t, r.output) for t, r in zip(expected, results, strict=True)
    ]
    return [
        "wrong_output" if status == "stable" and bad else status
        for status, bad in zip(found, wrong, strict=True)
    ]


def _status(first: ExecutionResult, second: ExecutionResult) -> str:
    """Return whether two runs agree, or the outcome of the one that failed."""
    for result in (first, second):
        if result.outcome != "ok":
            return result.outcome
    return "stable" if _equal(first.output, second.output) else "unstable"


def _equal(left: str | None, right: str | None) -> bool:
    try:
        return left == right or canonical_json(parse_json(left)) == canonical_json(
            parse_json(right)
        )
    except json_values.UnsupportedValue:
        return False


def _stored_pairs(row: Row) -> list[StoredPair]:
    """Return the pairs that a sample already has, by row id."""
    return sorted(
        (
            StoredPair(int(key), bool(seeded), input_text, output)
            for key, seeded, input_text, output in split_records(row["pairs"])
        ),
        key=lambda pair: pair.id,
    )


# Rows ----------------------------------------------------------------------------------------


def _check_row(
    pair: NewRow | int,
    status: str,
    shown: str,
    lines: int | None,
    check: NewRow,
    context: StageContext,
) -> NewRow:
    values = {
        "io_pair_id": pair,
        "variant_id": context.variant_id,
        "status": status,
        "execution_id": check,
        "lines_executed": lines,
        "shown": shown,
    }
    return NewRow(pair_checks, values)


def _generation_row(draws: SampledInputs, row: Row, context: StageContext) -> NewRow:
    """Build one row for all draws of a sample, with the counts of rejected draws."""
    failure = draws.typical_failure if len(draws.pairs) < MIN_PAIRS else None
    result = failure or ExecutionResult("ok")
    result = replace(result, cpu_ms=draws.cpu_ms, wall_ms=draws.wall_ms)
    counts = {"drawn": draws.n_draws, "pairs": len(draws.pairs), **draws.rejections}
    info = context.sandbox().info
    return new_execution(result, info, "generate", sample_id=row["subject_id"], draws=counts)


def _check_execution(
    results: Sequence[ExecutionResult],
    second_runs: Sequence[ExecutionResult],
    row: Row,
    context: StageContext,
) -> NewRow:
    """Build one row for the second runs of a sample's pairs, or for what prevented them."""
    runs = [
        two if one.outcome == "ok" else one for one, two in zip(results, second_runs, strict=True)
    ]
    worst = next((r for r in runs if r.outcome != "ok"), runs[0])
    result = replace(
        worst,
        cpu_ms=sum(r.cpu_ms for r in second_runs),
        wall_ms=sum(r.wall_ms for r in second_runs),
    )
    counts = {"pairs": len(runs), **Counter(r.outcome for r in runs)}
    info = context.sandbox().info
    return new_execution(result, info, "check", sample_id=row["subject_id"], draws=counts)


STAGE = Stage(
    "generate",
    select_subjects,
    trigger=samples.c.id,
    run=run,
    writes=(executions, io_pairs, pair_checks),
    executor="sandbox",
    version=2,
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
        "check_round",
    ),
)

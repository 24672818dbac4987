"""generate: make I/O pairs of a sample, and see which of them hold.

wants   samples
does    draws inputs with recorded seeds, runs the code, repeats each pair in another world
writes  executions, io_pairs, pair_checks

A pair holds when a second process with another hash seed, random seed and clock second gives the
same output for the stored input, and the code does not use what no seed controls. One pair that
does not hold so condemns the others of its sample: they agreed by chance. A sample that came with
pairs and without a generator has those pairs checked instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
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
    Stage,
    Tools,
    done,
    rejected,
)
from annoy_store.drawing import Draws, draw, value_of
from annoy_store.executing import execution, limits
from annoy_store.identity import canonical, digest
from annoy_store.restless import restless_use
from annoy_store.settings import Policy
from annoy_store.tables import executions, io_pairs, pair_checks, samples
from annoy_store.values import diverse
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


# Checking ------------------------------------------------------------------------------------


def _check_drawn(draws: Draws, row: Row, program: Program, tools: Tools) -> Outcome:
    rans = [ran for _, ran in draws.pairs.values()]
    again = _again(rans, program, tools)
    restless = restless_use(program.code)
    statuses = _statuses(rans, again, restless)
    stable = statuses.count("stable")
    if 0 < stable < FEWEST:
        statuses = ["alone" if s == "stable" else s for s in statuses]
    generation, check = _generation(draws, row, tools), _check_run(again, row, tools)
    keys = list(draws.pairs)
    holding = {key for key, status in zip(keys, statuses, strict=True) if status == "stable"}
    positions = _positions(keys, rans, holding, row)
    rows: list[New] = []
    for (key, (number, ran)), position, status in zip(
        draws.pairs.items(), positions, statuses, strict=True
    ):
        pair = {
            "sample_id": row["subject_id"], "position": position, "input_digest": key,
            "seed": number, "execution_id": generation, "input": ran.input, "output": ran.output,
        }  # fmt: skip
        rows.append(_checked(New(io_pairs, pair), status, ran.lines, check, tools))
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


def _again(rans: Sequence[Ran], program: Program, tools: Tools) -> list[Ran]:
    """Second runs, in another world.

    An output that comes again even after other calls in the same process needs no more; the other
    inputs run once more, each in a process of its own.
    """
    within = limits(tools.policy)
    sandbox, inputs = tools.sandbox(), [ran.input or "" for ran in rans]
    again = sandbox.call(program, inputs, within, world=1, together=_fit_one(rans, within))
    odd = [i for i, ran in enumerate(rans) if _status(ran, again[i]) == "unstable"]
    alone = sandbox.call(program, [inputs[i] for i in odd], within, world=1)
    for i, ran in zip(odd, alone, strict=True):
        again[i] = replace(ran, cpu_ms=ran.cpu_ms + again[i].cpu_ms)
    return again


def _fit_one(rans: Sequence[Ran], within: Limits) -> bool:
    """Whether these calls in one process would stay far from the limits of one call."""
    cpu, wall = sum(ran.cpu_ms for ran in rans), sum(ran.wall_ms for ran in rans)
    return cpu < within.cpu_seconds * 500 and wall < within.wall_seconds * 500


def _statuses(rans: Sequence[Ran], again: Sequence[Ran], restless: str | None) -> list[str]:
    """Whether each pair holds. What agrees beside one that does not, agrees by chance."""
    found = [_status(first, second) for first, second in zip(rans, again, strict=True)]
    by_chance = restless or "unstable" in found
    return ["unstable" if by_chance and status == "stable" else status for status in found]


def _status(first: Ran, second: Ran) -> str:
    """Whether two runs agree; what happened instead when one gave nothing."""
    for ran in (first, second):
        if ran.outcome != "ok":
            return ran.outcome
    return "stable" if _equal(first.output, second.output) else "unstable"


def _equal(left: str | None, right: str | None) -> bool:
    try:
        return left == right or canonical(value_of(left)) == canonical(value_of(right))
    except literals.Refused:
        return False


def _check_given(row: Row, program: Program, tools: Tools) -> Outcome:
    given = _given(row)
    if not given:
        return rejected("no_pairs")
    inputs = [text for _, text, _ in given]
    within = replace(limits(tools.policy), lines=tools.policy.count_lines)
    first = tools.sandbox().call(program, inputs, within)
    again = _again(first, program, tools)
    check = _check_run(first, row, tools)
    checks = []
    statuses = _statuses(first, again, restless_use(program.code))
    for (pair_id, _, output), one, status in zip(given, first, statuses, strict=True):
        if status == "stable" and not _equal(output, one.output):
            status = "wrong_output"
        checks.append((status, _checked(pair_id, status, one.lines, check, tools)))
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


def _checked(pair: New | int, status: str, lines: int | None, check: New, tools: Tools) -> New:
    values = {
        "io_pair_id": pair, "variant_id": tools.variant_id, "status": status,
        "execution_id": check, "lines_executed": lines,
    }  # fmt: skip
    return New(pair_checks, values)


def _generation(draws: Draws, row: Row, tools: Tools) -> New:
    """One row for all draws of a sample, with the counts of what was refused."""
    failing = draws.failing if len(draws.pairs) < FEWEST else None
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

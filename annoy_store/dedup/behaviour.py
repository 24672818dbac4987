"""Find samples that behave alike, however they are written: they agree on each other's inputs.

Decisions
- Samples are compared within a shape: the types of their parameters, in order; names are ignored.
- A shape has up to eight probes, inputs of its first samples, chosen once. A sample is run on them
  once, so a new sample costs its own run, however many there are; equal outputs make a candidate.
- Candidates are run on each other's own stable inputs, and are twins only if all outputs agree. A
  sample with fewer than two different outputs on the probes is never a twin: that is too little
  evidence.
- Candidates are run on small inputs of their shape, too, where sampled inputs have gaps (NAND and
  XOR differ at (0, 0) alone); there only outputs count, for either may refuse what it never gets.
- Code runs in the sandbox; a sample that fails there has no twin. Probes are inputs of other
  functions, on which some run for ever: the smallest come first, and after the first time-out the
  others are not run. The samples of a page run at the same time.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, select

from annoy_store.db.engine import Database
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import behaviour_probes, behaviours, samples
from annoy_store.db.timestamps import utc_now
from annoy_store.dedup.small_inputs import small_inputs
from annoy_store.hashing import compact_json, digest
from annoy_store.interfaces import Limits, Program, Sandbox, ShowProgress, show_nothing
from annoy_store.records.queries import stable_pairs
from annoy_store.tasks.compare import same

VERSION = "behaviour-2"
_PROBES, _OF_EACH, _OWN, _SUSPECTS = 8, 2, 10, 5
_LIMITS = Limits(cpu_seconds=0.5, wall_seconds=3.0)
_TIMEOUTS = {"cpu_timeout", "wall_timeout"}
_AT_ONCE, _CALLS_AT_ONCE = 100, 2


@dataclass(frozen=True)
class TwinReport:
    """Counts of one comparison.

    Attributes:
        samples: Samples that were run on probes.
        twins: Samples that behave like an older one.
    """

    samples: int
    twins: int


@dataclass(frozen=True)
class _Sample:
    """A sample to compare: its parameters in order, and its pairs as (values, output)."""

    id: int
    program: Program
    names: tuple[str, ...]
    pairs: tuple[tuple[list[Any], Any], ...]

    @property
    def shape(self) -> str:
        return ",".join(_value_type(value) for value in self.pairs[0][0]) if self.pairs else ""

    def run(self, sandbox: Sandbox, inputs: Sequence[list[Any]]) -> list[str | None]:
        """Return the outputs for positional `inputs` as JSON; None where the call failed.

        After a call that timed out the others are not made.
        """
        outputs: list[str | None] = []
        for start in range(0, len(inputs), _CALLS_AT_ONCE):
            some = inputs[start : start + _CALLS_AT_ONCE]
            named = [compact_json(dict(zip(self.names, values, strict=True))) for values in some]
            ran = sandbox.call(self.program, named, _LIMITS)
            outputs += [one.output if one.outcome == "ok" else None for one in ran]
            if any(one.outcome in _TIMEOUTS for one in ran):
                break
        return outputs + [None] * (len(inputs) - len(outputs))


def find_twins(
    store: Database, sandbox: Sandbox, progress: ShowProgress = show_nothing
) -> TwinReport:
    """Run every sample that was not compared yet, and store which older one it behaves like.

    Args:
        store: The store.
        sandbox: Runs the samples.
        progress: Called after each sample.

    Returns:
        How many samples were compared, and how many have a twin.
    """
    compared, twins = 0, 0
    with store.read() as connection:
        total = (
            connection.scalar(select(func.count()).select_from(samples).where(_NOT_COMPARED)) or 0
        )
    while page := _page(store):
        probes = [
            _probes(store, sample, page[n:]) if sample.shape else []
            for n, sample in enumerate(page)
        ]
        with ThreadPoolExecutor(sandbox.slots) as pool:
            outputs = list(pool.map(lambda s, inputs: s.run(sandbox, inputs), page, probes))
        for sample, found in zip(page, outputs, strict=True):
            row = _compare_one(store, sandbox, sample, found)
            with store.write() as connection:
                insert_new(connection, behaviours, [row])
            compared, twins = compared + 1, twins + (row["twin_id"] is not None)
            words = f"compared {compared:,} samples, {twins:,} behave like another"
            progress(words, compared, max(total, compared))
    return TwinReport(compared, twins)


_NOT_COMPARED = ~exists().where(
    behaviours.c.sample_id == samples.c.id, behaviours.c.version == VERSION
)


def _page(store: Database) -> list[_Sample]:
    chosen = select(samples.c.id).where(_NOT_COMPARED).order_by(samples.c.id).limit(_AT_ONCE)
    with store.read() as connection:
        return _load(connection, list(connection.scalars(chosen)))


def _load(connection: Connection, ids: Sequence[int]) -> list[_Sample]:
    pairs: dict[int, list[tuple[dict[str, Any], Any]]] = {}
    for sample_id, given, output, _ in connection.execute(stable_pairs(connection, ids)):
        pairs.setdefault(sample_id, []).append((json.loads(given), json.loads(output)))
    codes = select(samples.c.id, samples.c.refcode, samples.c.funcname)
    return [
        _sample(row.id, row.refcode, row.funcname, pairs.get(row.id, []))
        for row in connection.execute(codes.where(samples.c.id.in_(ids)).order_by(samples.c.id))
    ]


def _sample(
    sample_id: int, code: str, funcname: str, pairs: list[tuple[dict[str, Any], Any]]
) -> _Sample:
    names = tuple(n for n in _parameters(code, funcname) if pairs and n in pairs[0][0])
    fitting = [
        ([given[name] for name in names], output)
        for given, output in pairs[:_OWN]
        if set(given) == set(names)
    ]
    return _Sample(sample_id, Program(code, funcname), names, tuple(fitting))


def _parameters(code: str, funcname: str) -> list[str]:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == funcname:
            return [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return []


def _value_type(value: Any) -> str:
    if isinstance(value, list):
        return f"list[{_value_type(value[0]) if value else ''}]"
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return {int: "number", float: "number", str: "text"}.get(type(value), "object")


# One sample ----------------------------------------------------------------------------------


def _compare_one(
    store: Database, sandbox: Sandbox, sample: _Sample, outputs: Sequence[str | None]
) -> dict[str, Any]:
    row = {"sample_id": sample.id, "version": VERSION, "shape": sample.shape}
    row |= {"fingerprint": None, "twin_id": None}
    fingerprint = _fingerprint(outputs)
    if fingerprint is None:
        return row
    row["fingerprint"] = fingerprint
    for other in _candidates(store, sample.shape, fingerprint):
        agree = _agrees(sandbox, sample, other) and _agrees(sandbox, other, sample)
        if agree and not _differ_on_small_inputs(sandbox, sample, other):
            return row | {"twin_id": other.id}
    return row


def _probes(store: Database, sample: _Sample, page: Sequence[_Sample]) -> list[list[Any]]:
    """The probes of the sample's shape; the first samples of a shape contribute two inputs each."""
    with store.write() as connection:
        query = select(behaviour_probes.c.inputs).where(behaviour_probes.c.shape == sample.shape)
        found = connection.scalar(query)
        inputs: list[list[Any]] = json.loads(found) if found else []
        if found is None:
            inputs = _first_inputs(sample, page)
            row = {"shape": sample.shape, "inputs": compact_json(inputs), "created_at": utc_now()}
            insert_new(connection, behaviour_probes, [row])
    return inputs


def _first_inputs(sample: _Sample, page: Sequence[_Sample]) -> list[list[Any]]:
    """Inputs of this sample and of later ones with its shape, the smallest first."""
    inputs: list[list[Any]] = []
    for other in page:
        if other.shape == sample.shape:
            new = [values for values, _ in other.pairs if values not in inputs]
            inputs += new[:_OF_EACH]
    alone = [values for values, _ in sample.pairs if values not in inputs]
    return sorted([*inputs, *alone][:_PROBES], key=lambda values: len(compact_json(values)))


def _fingerprint(outputs: Sequence[str | None]) -> str | None:
    """Digest of the outputs, floats to six digits; None if fewer than two differ."""
    values = [None if text is None else _rounded(json.loads(text)) for text in outputs]
    distinct = {compact_json(value) for value in values if value is not None}
    return digest("behaviour", values) if len(distinct) > 1 else None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value


def _candidates(store: Database, shape: str, fingerprint: str) -> Iterator[_Sample]:
    """Older samples that gave the same on the probes; of twins only the oldest."""
    alike: Mapping[str, Any] = {"version": VERSION, "shape": shape, "fingerprint": fingerprint}
    chosen = select(behaviours.c.sample_id).filter_by(**alike)
    chosen = chosen.where(behaviours.c.twin_id.is_(None)).order_by(behaviours.c.sample_id)
    with store.read() as connection:
        found = _load(connection, list(connection.scalars(chosen.limit(_SUSPECTS))))
    yield from found


def _agrees(sandbox: Sandbox, runner: _Sample, owner: _Sample) -> bool:
    """True if `runner` returns the owner's outputs for all the owner's inputs."""
    got = runner.run(sandbox, [values for values, _ in owner.pairs])
    return all(
        text is not None and same(output, json.loads(text))
        for text, (_, output) in zip(got, owner.pairs, strict=True)
    )


def _differ_on_small_inputs(sandbox: Sandbox, one: _Sample, other: _Sample) -> bool:
    """True if both return something for a small input of their shape, but not the same."""
    inputs = small_inputs([values for values, _ in (*one.pairs, *other.pairs)])
    outputs = zip(one.run(sandbox, inputs), other.run(sandbox, inputs), strict=True)
    return any(
        left is not None and right is not None and not same(json.loads(left), json.loads(right))
        for left, right in outputs
    )

"""A lineage in a few lines: origin, verdicts, cost of its calls, exports that hold it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from annoy_store.analysis.lineage import Lineage
from annoy_store.inference.spend import Usage

MAX_EXPORT_LINES = 12
EXPORTED_KINDS = {"source", "sample", "chain"}  # kinds that are part of an export


def summary(lineage: Lineage) -> Iterator[str]:
    """Yield the most important facts of a lineage, one line each."""
    if lineage.taken_down:
        yield "taken down: hidden from work and exports; see annoy takedown --list"
    yield from _origin_lines(lineage)
    yield from _verdict_line(lineage)
    yield from _teachers_line(lineage)
    yield from _cost_lines(lineage)
    yield from _export_lines(lineage)


def _origin_lines(lineage: Lineage) -> Iterator[str]:
    for node in (*lineage.above, lineage.subject):
        if node.kind == "origin":
            place = [str(node.row[key]) for key in ("origin", "repo", "path") if node.row[key]]
            yield f"from {' '.join(place)}, licence {node.row['licence'] or 'unknown'}"


def _verdict_line(lineage: Lineage) -> Iterator[str]:
    """Yield the newest verdict on each answer among the ancestors, by turn."""
    newest: dict[int, Mapping[str, Any]] = {}
    for node in (*lineage.above, lineage.subject):
        if node.kind == "verdict":
            known = newest.setdefault(node.row["response_id"], node.row)
            if node.row["variant_id"] > known["variant_id"]:
                newest[node.row["response_id"]] = node.row
    numbers = _turn_numbers(lineage)
    verdicts = [
        f"turn {numbers.get(response_id, number)} {row['status']}"
        + (f": {row['mismatch']}" if row["mismatch"] else "")
        for number, (response_id, row) in enumerate(newest.items(), 1)
    ]
    if verdicts:
        yield ", ".join(verdicts)


def _teachers_line(lineage: Lineage) -> Iterator[str]:
    """Yield who gave which turn of a question, where it was not one model."""
    nodes = (*lineage.above, lineage.subject)
    names = {n.id: n.row["model"] or n.row["backend"] for n in nodes if n.kind == "teacher"}
    numbers = _turn_numbers(lineage)
    given = [
        (numbers[node.id], names[node.row["teacher_id"]])
        for node in nodes
        if node.kind == "response" and node.id in numbers and node.row["teacher_id"] in names
    ]
    if len({name for _, name in given}) > 1:
        turns = ", ".join(f"turn {number} by {name}" for number, name in given)
        yield f"several teachers: {turns}; annoy export --same-teacher leaves out chains of several"


def _turn_numbers(lineage: Lineage) -> dict[int, int]:
    """Return the number of the turn of each answer to a question about a sample."""
    nodes = (*lineage.above, lineage.subject)
    turns = {
        n.row["prompt_id"]: int(n.row["number"])
        for n in nodes
        if n.kind == "turn" and n.row["sample_id"] is not None
    }
    asked = {n.id: n.row["prompt_id"] for n in nodes if n.kind == "call"}
    found = {n.id: asked.get(n.row["call_id"]) for n in nodes if n.kind == "response"}
    return {key: turns[prompt] for key, prompt in found.items() if prompt in turns}


def _cost_lines(lineage: Lineage) -> Iterator[str]:
    for usage, label in ((lineage.cost, "calls so far"), (lineage.cost_below, "later calls")):
        if usage.attempts:
            yield f"{label}: {_format_usage(usage)}"


def _format_usage(usage: Usage) -> str:
    attempts = f"{usage.attempts:,} {'attempt' if usage.attempts == 1 else 'attempts'}"
    tokens = [f"{n:,} {name}" for name, n in usage.tokens.items() if n]
    counted = f"{', '.join(tokens)} tokens" if tokens else "no tokens reported"
    money = "unknown cost" if usage.cost_usd is None else f"{usage.cost_usd:.6g} USD"
    return f"{attempts}, {counted}, {money}"


def _export_lines(lineage: Lineage) -> Iterator[str]:
    for row in lineage.exports[:MAX_EXPORT_LINES]:
        split = f" {row['split']}" if row["split"] else ""
        retracted = ", retracted since" if row["taken_back"] else ""
        folder = row["folder"]
        yield f"in export {row['export_id']}: {row['format']} {folder}{split}, row {row['row']:,}{retracted}"
    if not lineage.exports and lineage.subject.kind in EXPORTED_KINDS:
        yield "in no export"
    if len(lineage.exports) > MAX_EXPORT_LINES:
        yield f"and in {len(lineage.exports) - MAX_EXPORT_LINES:,} more rows of exports"

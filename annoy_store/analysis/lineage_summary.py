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
    verdicts = [
        f"turn {number} {row['status']}" + (f": {row['mismatch']}" if row["mismatch"] else "")
        for number, row in enumerate(newest.values(), 1)
    ]
    if verdicts:
        yield ", ".join(verdicts)


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

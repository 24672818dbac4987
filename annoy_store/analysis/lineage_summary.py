"""A lineage in a few lines: where it is from, how it ended, what asking cost, who holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from annoy_store.analysis.lineage import Lineage
from annoy_store.inference.spend import Usage

MOST_HELD = 12
PUBLISHED = {"source", "sample", "chain"}  # what one asks about whether it was exported


def summary(lineage: Lineage) -> Iterator[str]:
    """Yield what one wants to know of a row first, a line each."""
    if lineage.taken_down:
        yield "taken down: hidden from work and exports; see annoy takedown --list"
    yield from _places(lineage)
    yield from _outcome(lineage)
    yield from _spent(lineage)
    yield from _held(lineage)


def _places(lineage: Lineage) -> Iterator[str]:
    for node in (*lineage.above, lineage.subject):
        if node.kind == "origin":
            place = [str(node.row[key]) for key in ("origin", "repo", "path") if node.row[key]]
            yield f"from {' '.join(place)}, licence {node.row['licence'] or 'unknown'}"


def _outcome(lineage: Lineage) -> Iterator[str]:
    """How the turns above ended, in their order, by the newest verdict on each answer."""
    newest: dict[int, Mapping[str, Any]] = {}
    for node in (*lineage.above, lineage.subject):
        if node.kind == "verdict":
            known = newest.setdefault(node.row["response_id"], node.row)
            if node.row["variant_id"] > known["variant_id"]:
                newest[node.row["response_id"]] = node.row
    said = [
        f"turn {number} {row['status']}" + (f": {row['mismatch']}" if row["mismatch"] else "")
        for number, row in enumerate(newest.values(), 1)
    ]
    if said:
        yield ", ".join(said)


def _spent(lineage: Lineage) -> Iterator[str]:
    for usage, words in ((lineage.cost, "asked for it"), (lineage.cost_below, "asked since")):
        if usage.attempts:
            yield f"{words}: {_usage(usage)}"


def _usage(usage: Usage) -> str:
    tries = f"{usage.attempts:,} {'try' if usage.attempts == 1 else 'tries'}"
    tokens = [f"{n:,} {name}" for name, n in usage.tokens.items() if n]
    counted = f"{', '.join(tokens)} tokens" if tokens else "no tokens counted"
    money = "unknown cost" if usage.cost_usd is None else f"{usage.cost_usd:.6g} USD"
    return f"{tries}, {counted}, {money}"


def _held(lineage: Lineage) -> Iterator[str]:
    for row in lineage.exports[:MOST_HELD]:
        split = f" {row['split']}" if row["split"] else ""
        back = ", taken back since" if row["taken_back"] else ""
        folder = row["folder"]
        yield f"in export {row['export_id']}: {row['format']} {folder}{split}, row {row['row']:,}{back}"
    if not lineage.exports and lineage.subject.kind in PUBLISHED:
        yield "in no export"
    if len(lineage.exports) > MOST_HELD:
        yield f"and in {len(lineage.exports) - MOST_HELD:,} more rows of exports"

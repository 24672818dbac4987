"""Marks of readers on rows of every kind."""

from __future__ import annotations

from sqlalchemy import Connection, select, text

from annoy_store.db.tables import verdicts
from annoy_store.records.annotations import Mark, set_mark

MARKED = ("source", "origin", "sample", "io_pair", "prompt", "turn")
BAD = Mark("tag", "bad question")


def mark_some(connection: Connection) -> None:
    """Set flags, tags that are no plain words, and notes on rows of most kinds."""
    for kind in MARKED:
        set_mark(connection, kind, 1, Mark("tag", f"a {kind}"), "ann")
    first = connection.scalar(text("SELECT MIN(chain_id) FROM v_chains")) or 0
    judged = connection.scalar(select(verdicts.c.id).where(verdicts.c.response_id == first)) or 0
    for mark in (BAD, Mark("tag", 'Z "quoted" \\ % :x'), Mark("tag", "\u00e9"), Mark("flag")):
        set_mark(connection, "chain", first, mark, "ann")
    set_mark(connection, "response", first, Mark("note", "Why?\nSee above."), "bob")
    set_mark(connection, "verdict", judged, BAD, "bob")

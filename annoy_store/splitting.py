"""Splits that never leak: by cluster of near-duplicates, by hash and salt, remembered for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb
from sqlalchemy import Connection, select

from annoy_store.database import Store
from annoy_store.duck import pour
from annoy_store.tables import splits

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splitting:
    """Shares of the splits by name, and the salt that makes one family of splits."""

    shares: Mapping[str, float] = field(default_factory=dict)
    salt: str = ""

    def __str__(self) -> str:
        return ",".join(f"{name}={share:g}" for name, share in self.shares.items())


def prepare(store: Store, splitting: Splitting | None, *, dry_run: bool) -> tuple[str, ...]:
    return ()


def mark(
    duck: duckdb.DuckDBPyConnection, connection: Connection, splitting: Splitting | None
) -> None:
    """Write into `subjects.split` what was decided; null where nothing was."""
    if splitting is None:
        return
    chosen = select(splits.c.sample_id, splits.c.split).where(splits.c.salt == splitting.salt)
    pour(duck, "assigned", connection, chosen)
    duck.execute("UPDATE subjects SET split = NULL")
    duck.execute(
        "UPDATE subjects SET split = a.split FROM assigned a WHERE a.sample_id = subjects.sample_id"
    )

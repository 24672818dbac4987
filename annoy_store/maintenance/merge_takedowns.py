"""Takedowns of two stores that are merged: their rules are joined, and purged texts do not return.

Decisions
- Rules are joined before any row is written: a rule in force in either store is in force, and a
  purge in either store is a purge. So the order of merges does not matter, and a rule that was
  lifted in one of two stores has to be lifted in the other one, too.
- Texts of the other store that are purged here or there are blanked on their way in. What rows of
  this store the joined rules condemn is blanked at the end, when all origins are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, select, update

from annoy_store.db.hidden import (
    RuleSet,
    has_rules,
    load_rules,
    lock_rules,
    purged_digest_set,
    refresh_hidden,
    samples_under,
    sources_under,
)
from annoy_store.db.sql import in_values, insert_new
from annoy_store.db.tables import (
    annotation_log,
    attempts,
    calls,
    executions,
    io_pairs,
    origins,
    prompts,
    purged_digests,
    responses,
    sample_origins,
    samples,
    sources,
    takedowns,
    verdicts,
)
from annoy_store.maintenance.purge import prompts_about
from annoy_store.maintenance.tombstones import blank_row

RULE_COLUMNS = [column for column in takedowns.c if column is not takedowns.c.id]


def join_rules(connection: Connection, other: Connection) -> int:
    """Add the takedowns and purged digests of another store, and hide what they hide.

    Args:
        connection: A write transaction of this store.
        other: The other store.

    Returns:
        Number of rules that are new here, or in force again.
    """
    lock_rules(connection, shared=False)
    theirs = [dict(row) for row in other.execute(select(*RULE_COLUMNS)).mappings()]
    ours = {row["digest"]: dict(row) for row in connection.execute(select(takedowns)).mappings()}
    changed = insert_new(connection, takedowns, [r for r in theirs if r["digest"] not in ours])
    for rule in theirs:
        own = ours.get(rule["digest"])
        joined = _joined(own, rule) if own is not None else {}
        if own is not None and any(own[name] != value for name, value in joined.items()):
            this = takedowns.c.digest == rule["digest"]
            connection.execute(update(takedowns).where(this).values(**joined))
            changed += joined["lifted_at"] is None
    digests = [dict(row) for row in other.execute(select(purged_digests)).mappings()]
    insert_new(connection, purged_digests, digests)
    refresh_hidden(connection)
    return changed


def _joined(own: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str | None]:
    """The state of one rule in two stores: purged before in force before lifted."""
    purged = [row["purged_at"] for row in (own, other) if row["purged_at"]]
    lifted = [row["lifted_at"] for row in (own, other)]
    in_force = bool(purged) or None in lifted
    return {
        "purged_at": min(purged, default=None),
        "lifted_at": None if in_force else min(lifted),
    }


# Texts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PurgedRows:
    """Ids of rows of the other store whose texts must not be written, and digests of the first three.

    Attributes:
        roots: Digests of the sources, samples and prompts, which marks of readers are named by.
    """

    sources: frozenset[int] = frozenset()
    samples: frozenset[int] = frozenset()
    prompts: frozenset[int] = frozenset()
    calls: frozenset[int] = frozenset()
    responses: frozenset[int] = frozenset()
    roots: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.sources or self.samples or self.prompts)

    def blanked(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row of the other store, without its texts if it is one of these.

        Args:
            table: The table of the row.
            row: The row with their ids.
        """
        if not any(row.get(name) in getattr(self, of) for name, of in _OWNERS.get(table, ())):
            return dict(row)
        return blank_row(table, row)


_OWNERS: dict[Table, tuple[tuple[str, str], ...]] = {
    sources: (("id", "sources"),),
    origins: (("source_id", "sources"),),
    samples: (("id", "samples"),),
    sample_origins: (("sample_id", "samples"),),
    io_pairs: (("sample_id", "samples"),),
    prompts: (("id", "prompts"),),
    responses: (("call_id", "calls"),),
    attempts: (("call_id", "calls"),),
    verdicts: (("response_id", "responses"),),
    executions: (("sample_id", "samples"), ("response_id", "responses")),
    annotation_log: (("root", "roots"),),
}
"""By which column of a row its texts belong to which purged rows."""


def find_purged_rows(connection: Connection, other: Connection) -> PurgedRows:
    """Return the rows of another store that are purged under the joined rules of this one.

    Args:
        connection: This store, which has the rules of both.
        other: The other store.
    """
    if not has_rules(connection):
        return PurgedRows()
    named = purged_digest_set(connection, "source", "sample")
    rules = load_rules(connection, purged=True)
    both = rules | RuleSet(named)
    if not any(both.values.values()):
        return PurgedRows()
    gone_here = set(connection.scalars(sources_under(connection, rules)))
    code_here = set(connection.scalars(samples_under(connection, rules)))
    named_there = set(other.scalars(sources_under(other, both)))
    gone = _not_allowed(sources, connection, gone_here, other, named_there)
    code_there = other.scalars(samples_under(other, both, named_there - gone))
    code = _not_allowed(samples, connection, code_here, other, code_there)
    asked = _digests(other, prompts, prompts_about(other, sorted(gone), sorted(code)))
    purged_here = prompts_about(connection, sorted(gone_here), sorted(code_here))
    kept = _ids(connection, prompts, asked.values()) - set(purged_here)
    allowed = set(_digests(connection, prompts, kept).values())
    prompt_ids = [key for key, digest in asked.items() if digest not in allowed]
    call_ids = _referring(other, calls.c.prompt_id, prompt_ids)
    answers = _referring(other, responses.c.call_id, call_ids)
    roots = {asked[key] for key in prompt_ids}
    roots |= set(_digests(other, sources, gone).values())
    roots |= set(_digests(other, samples, code).values())
    return PurgedRows(
        frozenset(gone),
        frozenset(code),
        frozenset(prompt_ids),
        frozenset(call_ids),
        frozenset(answers),
        frozenset(roots),
    )


def _not_allowed(
    table: Table, ours: Connection, here: set[int], other: Connection, ids: Iterable[int]
) -> set[int]:
    """Rows of the other store, but for those that this one has and `here` does not name."""
    there = _digests(other, table, ids)
    allowed = _digests(ours, table, _ids(ours, table, there.values()) - here).values()
    return {key for key, digest in there.items() if digest not in set(allowed)}


def _digests(connection: Connection, table: Table, ids: Iterable[int]) -> dict[int, str]:
    mine = in_values(connection, table.c.id, sorted(ids))
    chosen: Select[Any] = select(table.c.id, table.c.digest).where(mine)
    return {row.id: row.digest for row in connection.execute(chosen)}


def _ids(connection: Connection, table: Table, digests: Iterable[str]) -> set[int]:
    named = in_values(connection, table.c.digest, sorted(digests))
    return set(connection.scalars(select(table.c.id).where(named)))


def _referring(connection: Connection, column: Any, ids: Iterable[int]) -> list[int]:
    chosen = select(column.table.c.id).where(in_values(connection, column, sorted(ids)))
    return list(connection.scalars(chosen))

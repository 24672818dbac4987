"""Which sources and samples the takedown rules hide.

Decisions
- A row is hidden when a rule names it, when its content was purged, or when no allowed origin is
  left: a source whose origins all match rules, a sample whose sources are all hidden (the file it
  was imported from counts as one until its source is known).
- `hidden_subjects` is derived. A transaction that writes sources, samples or their origins updates
  it (`keep_hidden`), and so does one that writes rules (`refresh_hidden`); so there is no moment
  at which another transaction, or a killed process, leaves a hidden row visible.
- The two kinds of writers wait for each other on PostgreSQL (`lock_rules`), where each would
  otherwise decide without the rows of the other.
- Rules are read first and compared as values, so that another store can be examined under them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    delete,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    text,
)

from annoy_store.db.sql import in_values, insert_from, is_sqlite
from annoy_store.db.tables import (
    hidden_subjects,
    origins,
    purged_digests,
    sample_origins,
    samples,
    sources,
    takedowns,
    watermarks,
)

ORIGIN_COLUMNS = {
    "origin": origins.c.origin,
    "repo": origins.c.repo,
    "licence": origins.c.licence,
}
IN_FORCE = takedowns.c.lifted_at.is_(None)
_RULES_LOCK = 7305111  # the advisory lock of writers of rules on PostgreSQL
_WATCHED = ("sources", "origins", "samples", "sample_origins")


@dataclass(frozen=True)
class RuleSet:
    """The values that rules name, by kind of rule: digests, and texts of origins in lower case."""

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __or__(self, other: RuleSet) -> RuleSet:
        """Return the rules of both."""
        kinds = self.values.keys() | other.values.keys()
        empty: frozenset[str] = frozenset()
        return RuleSet(
            {k: self.values.get(k, empty) | other.values.get(k, empty) for k in sorted(kinds)}
        )

    def named(
        self, connection: Connection, kind: str, column: ColumnElement[Any]
    ) -> ColumnElement[bool]:
        """Return the condition that a rule of a kind names a column's value, ignoring case."""
        values = self.values.get(kind)
        if not values:
            return false()
        is_digest = kind in ("source", "sample")
        return in_values(
            connection, column if is_digest else func.lower(column, type_=Text), sorted(values)
        )


@dataclass(frozen=True)
class HiddenChange:
    """What an update of `hidden_subjects` changed.

    Attributes:
        sources: Ids of the sources newly hidden.
        samples: Ids of the samples newly hidden.
        shown: Number of sources and samples visible again.
    """

    sources: frozenset[int] = frozenset()
    samples: frozenset[int] = frozenset()
    shown: int = 0


# Rules ---------------------------------------------------------------------------------------


def load_rules(connection: Connection, *, purged: bool = False) -> RuleSet:
    """Return the rules in force.

    Args:
        connection: A connection to the store.
        purged: Only those whose texts were purged.
    """
    chosen = select(takedowns.c.kind, takedowns.c.value).where(IN_FORCE)
    if purged:
        chosen = chosen.where(takedowns.c.purged_at.is_not(None))
    values: dict[str, set[str]] = {}
    for kind, value in connection.execute(chosen):
        values.setdefault(kind, set()).update(_spellings(kind, value))
    return RuleSet({kind: frozenset(found) for kind, found in values.items()})


def _spellings(kind: str, value: str) -> set[str]:
    """A value as the databases spell it in lower case: SQLite changes ASCII letters only."""
    if kind in ("source", "sample"):
        return {value}
    ascii_only = "".join(c.lower() if c.isascii() else c for c in value)
    return {value.lower(), ascii_only}


def purged_digest_set(connection: Connection, *kinds: str) -> dict[str, frozenset[str]]:
    """Return the digests of purged content by kind (`source`, `sample`, `text`)."""
    chosen = select(purged_digests.c.kind, purged_digests.c.digest)
    found: dict[str, set[str]] = {kind: set() for kind in kinds}
    for kind, value in connection.execute(chosen.where(purged_digests.c.kind.in_(kinds))):
        found[kind].add(value)
    return {kind: frozenset(values) for kind, values in found.items()}


def known_purged(connection: Connection, kind: str, digests: Sequence[str]) -> set[str]:
    """Return which of some digests belong to purged content.

    Args:
        connection: A connection to the store.
        kind: `source`, `sample` or `text`.
        digests: The digests.
    """
    named = in_values(connection, purged_digests.c.digest, sorted(set(digests)))
    chosen = select(purged_digests.c.digest).where(purged_digests.c.kind == kind, named)
    return set(connection.scalars(chosen))


def was_purged(kind: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that the digest in a column is one of purged content."""
    return exists().where(purged_digests.c.kind == kind, purged_digests.c.digest == column)


def sources_under(connection: Connection, rules: RuleSet) -> Select[Any]:
    """Select the ids of purged sources, of those that rules name, and those without allowed origin.

    Args:
        connection: The connection that will run it.
        rules: The rules.
    """
    found = exists().where(origins.c.source_id == sources.c.id)
    allowed = exists().where(
        origins.c.source_id == sources.c.id,
        *(~rules.named(connection, kind, column) for kind, column in ORIGIN_COLUMNS.items()),
    )
    return select(sources.c.id).where(
        or_(
            rules.named(connection, "source", sources.c.digest),
            was_purged("source", sources.c.digest),
            and_(found, ~allowed),
        )
    )


def samples_under(
    connection: Connection, rules: RuleSet, allowed_sources: Collection[int] = ()
) -> Select[Any]:
    """Select the ids of purged samples, of those that rules name, and those without allowed origin.

    Args:
        connection: The connection that will run it.
        rules: The rules.
        allowed_sources: Sources that are allowed for another reason.
    """
    under = sources_under(connection, rules)
    if allowed_sources:
        under = under.where(~in_values(connection, sources.c.id, sorted(allowed_sources)))
    mine = sample_origins.c.sample_id == samples.c.id
    of_source = and_(
        sample_origins.c.source_id.is_not(None),
        sample_origins.c.source_id.not_in(under),
    )
    unruled = or_(
        sample_origins.c.origin.is_(None),
        ~rules.named(connection, "origin", sample_origins.c.origin),
    )
    of_file = and_(sample_origins.c.source_id.is_(None), unruled, ~_has_source())
    allowed = exists().where(mine, or_(of_source, of_file))
    return select(samples.c.id).where(
        or_(
            rules.named(connection, "sample", samples.c.digest),
            was_purged("sample", samples.c.digest),
            and_(exists().where(mine), ~allowed),
        )
    )


def _has_source() -> ColumnElement[bool]:
    """The function of the file has a source by now, which replaces the file as its origin."""
    other = sample_origins.alias("found")
    return exists().where(
        other.c.sample_id == sample_origins.c.sample_id,
        other.c.source_id.is_not(None),
    )


def lock_rules(connection: Connection, *, shared: bool) -> None:
    """Wait until no transaction changes rules; unless `shared`, none writes what they are about.

    SQLite has one writer. On PostgreSQL the lock is held until the transaction ends.
    """
    if not is_sqlite(connection):
        lock = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        connection.execute(text(f"SELECT {lock}({_RULES_LOCK})"))


# What is hidden ------------------------------------------------------------------------------


def keep_hidden(connection: Connection, written: Mapping[str, Sequence[int]]) -> None:
    """Update what is hidden after rows were written, within the same transaction.

    Args:
        connection: The write transaction.
        written: Ids of rows by table; other tables than those that rules are about do not matter.
    """
    touched = {name: sorted(set(written.get(name, ()))) for name in _WATCHED}
    if not any(touched.values()):
        return
    lock_rules(connection, shared=True)
    if not has_rules(connection):
        return
    source_ids, sample_ids = _subjects(connection, touched)
    shown = _update(connection, load_rules(connection), source_ids, sample_ids)
    if shown:
        _scan_again(connection)


def has_rules(connection: Connection) -> bool:
    """Return whether any rule is in force, or content was purged."""
    chosen = select(or_(exists().where(IN_FORCE), exists(select(purged_digests.c.kind))))
    return bool(connection.scalar(chosen))


def _subjects(
    connection: Connection, touched: Mapping[str, Sequence[int]]
) -> tuple[list[int], list[int]]:
    """The sources and samples that rows of the four tables may have changed."""
    source_ids, sample_ids = set(touched["sources"]), set(touched["samples"])
    of_origins = in_values(connection, origins.c.id, touched["origins"])
    source_ids.update(connection.scalars(select(origins.c.source_id).where(of_origins)))
    mine = in_values(connection, sample_origins.c.id, touched["sample_origins"])
    made = in_values(connection, sample_origins.c.source_id, sorted(source_ids))
    for condition in (mine, made):
        sample_ids.update(connection.scalars(select(sample_origins.c.sample_id).where(condition)))
    return sorted(source_ids), sorted(sample_ids)


def refresh_hidden(connection: Connection) -> HiddenChange:
    """Compute anew what is hidden, after rules were changed.

    Args:
        connection: The write transaction that changed them.
    """
    lock_rules(connection, shared=False)
    if not has_rules(connection):
        shown = connection.execute(delete(hidden_subjects)).rowcount
        if shown:
            _scan_again(connection)
        return HiddenChange(shown=shown)
    before = hidden_ids(connection)
    shown = _update(connection, load_rules(connection), None, None)
    after = hidden_ids(connection)
    if shown:
        _scan_again(connection)
    return HiddenChange(
        frozenset(after["source"] - before["source"]),
        frozenset(after["sample"] - before["sample"]),
        shown,
    )


def hidden_ids(connection: Connection) -> dict[str, set[int]]:
    """Return the ids of the sources and samples in `hidden_subjects`, by kind."""
    found: dict[str, set[int]] = {"source": set(), "sample": set()}
    for kind, key in connection.execute(select(hidden_subjects)):
        found[kind].add(key)
    return found


def ids_under_rules(connection: Connection) -> dict[str, set[int]]:
    """Return the ids of the sources and samples that should be hidden, by kind."""
    rules = load_rules(connection)
    if not has_rules(connection):
        return {"source": set(), "sample": set()}
    return {
        "source": set(connection.scalars(sources_under(connection, rules))),
        "sample": set(connection.scalars(samples_under(connection, rules))),
    }


def _update(
    connection: Connection,
    rules: RuleSet,
    source_ids: Sequence[int] | None,
    sample_ids: Sequence[int] | None,
) -> int:
    """Hide and show sources and samples, all where no ids are given; return how many are shown."""
    n_shown = 0
    for kind, key, under, ids in (
        ("source", sources.c.id, sources_under(connection, rules), source_ids),
        ("sample", samples.c.id, samples_under(connection, rules), sample_ids),
    ):
        within = []
        if ids is not None:
            under = under.where(in_values(connection, key, ids))
            within = [in_values(connection, hidden_subjects.c.subject_id, ids)]
        wanted = under.subquery().c.id
        gone = delete(hidden_subjects).where(
            hidden_subjects.c.kind == kind,
            hidden_subjects.c.subject_id.not_in(select(wanted)),
            *within,
        )
        n_shown += connection.execute(gone).rowcount
        row = select(literal(kind).label("kind"), wanted.label("subject_id"))
        insert_from(connection, hidden_subjects, row.where(wanted.is_not(None)))
    return n_shown


def _scan_again(connection: Connection) -> None:
    """Let the stages look at all rows once more: those shown again may never have got a job."""
    connection.execute(delete(watermarks))

"""Finds the row that `KIND:ID` or `KIND:DIGEST` names; says what was meant where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sqlalchemy import Column, Connection, func, select

from annoy_store.analysis.lineage_edges import ALIASES, CHAIN, CHAINS, KINDS, TABLES, Key
from annoy_store.errors import UsageError, unknown_name

MIN_DIGEST_CHARS = 6
MAX_SUGGESTIONS = 3
_DIGEST = re.compile(rf"[0-9a-f]{{{MIN_DIGEST_CHARS},32}}")


def resolve_row(connection: Connection, name: str) -> Key:
    """Return the kind and id of the row that `kind:id` or `kind:digest` names.

    Raises:
        UsageError: The kind is unknown, or there is no such row, or more than one.
    """
    kind, _, what = name.partition(":")
    kind = ALIASES.get(kind, kind)
    if what and kind not in KINDS:
        raise UsageError(unknown_name("kind", kind, KINDS))
    if not what:
        raise UsageError(f"{name!r} is not KIND:ID{_any_kind(connection, name)}; {_KINDS}")
    if what.isdecimal() and len(what) < 19:
        if connection.scalar(select(_key(kind)).where(_key(kind) == int(what)).limit(1)):
            return kind, int(what)
    elif _has_digest(kind) and len(what) >= MIN_DIGEST_CHARS:
        found = _with_digest(connection, kind, what)
        if len(found) > 1:
            raise UsageError(f"{name} matches more than one digest{_or(_names(kind, found))}")
        if found:
            return kind, next(iter(found))
    raise UsageError(
        f"there is no {kind} {what}{_or(_nearest(connection, kind, what))}; "
        f"all of them: annoy sql '{_all_of(kind)}'"
    )


_KINDS = f"kinds are: {', '.join(KINDS)}"


def _key(kind: str) -> Column[int]:
    key = CHAINS.c.down if kind == CHAIN else TABLES[kind].c.id
    assert isinstance(key, Column)
    return key


def _all_of(kind: str) -> str:
    is_chain = kind == CHAIN
    return "SELECT chain_id FROM v_chains" if is_chain else f"SELECT id FROM {TABLES[kind].name}"


def _has_digest(kind: str) -> bool:
    return kind != CHAIN and "digest" in TABLES[kind].c


def _with_digest(connection: Connection, kind: str, start: str) -> dict[int, str]:
    """Return the digests of some rows by id, of those that begin so."""
    column, key = TABLES[kind].c.digest, TABLES[kind].c.id
    chosen = select(key, column).where(column >= start, column < f"{start}g").order_by(column)
    return {row.id: row.digest for row in connection.execute(chosen.limit(MAX_SUGGESTIONS))}


# What was meant ------------------------------------------------------------------------------


def _or(names: Sequence[str]) -> str:
    return f" (did you mean {' or '.join(names)}?)" if names else ""


def _names(kind: str, digests: dict[int, str]) -> list[str]:
    """Return names of rows that are as short as tells them apart."""
    whole = list(digests.values())
    lengths = range(MIN_DIGEST_CHARS, 33)
    n = next((n for n in lengths if len({d[:n] for d in whole}) == len(whole)), 32)
    return [f"{kind}:{digest[:n]}" for digest in whole]


def _any_kind(connection: Connection, name: str) -> str:
    """Suggest the kinds that have a row of such a digest."""
    if not _DIGEST.fullmatch(name):
        return ""
    found = [k for k in KINDS if _has_digest(k) and _with_digest(connection, k, name)]
    return _or([f"{kind}:{name}" for kind in found[:MAX_SUGGESTIONS]])


def _nearest(connection: Connection, kind: str, what: str) -> list[str]:
    """Return names of rows whose number is next, or whose digest begins most like `what`."""
    if what.isdecimal():
        below = connection.scalar(select(func.max(_key(kind))).where(_key(kind) < _number(what)))
        above = connection.scalar(select(func.min(_key(kind))).where(_key(kind) > _number(what)))
        return [f"{kind}:{near}" for near in (below, above) if near is not None]
    if not _has_digest(kind) or not re.fullmatch("[0-9a-f]+", what):
        return []
    found = next(filter(None, _with_shorter_starts(connection, kind, what)), {})
    return _names(kind, found)


def _number(what: str) -> int:
    return min(int(what), 2**62)


def _with_shorter_starts(connection: Connection, kind: str, what: str) -> Iterator[dict[int, str]]:
    for n in range(min(len(what), MIN_DIGEST_CHARS), 1, -1):
        yield _with_digest(connection, kind, what[:n])

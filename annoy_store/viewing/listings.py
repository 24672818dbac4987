"""What can be listed, filtered and searched, and a page of it.

Decisions
- A listing is a SELECT over one table by falling id, with the joins that its columns need; a
  filter names the column that it compares.
- A page looks through windows of ids: each is one cheap statement, and after `SECONDS` of them it
  stops and says how far it came. No OFFSET, no count, no scan without an end.
- Long texts are cut in SQL; search means that a text holds the words as they are, in any case.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    String,
    column,
    func,
    or_,
    select,
    table,
)

from annoy_store.contracts import TURN_KINDS
from annoy_store.database import among
from annoy_store.tables import (
    VERDICTS,
    calls,
    jobs,
    origins,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    turns,
    verdicts,
)
from annoy_store.wanting import first_turn_of

PAGE = 40
GIST = 220
SECONDS = 0.6
FIRST_WINDOW, LAST_WINDOW = 512, 262_144


@dataclass(frozen=True)
class Filter:
    """A column that a page can be narrowed by; `choices` are its values, if they are few."""

    column: ColumnElement[Any]
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Listing:
    """A table to page through: its columns, its filters, and the texts that search looks at."""

    name: str
    kind: str
    key: Column[Any]
    joined: FromClause
    columns: Mapping[str, ColumnElement[Any]]
    filters: Mapping[str, Filter]
    searched: Sequence[ColumnElement[Any]]


@dataclass(frozen=True)
class Wish:
    """What a reader wants of a listing: values of filters, and words to search for."""

    filters: Mapping[str, str] = field(default_factory=dict)
    words: str = ""

    def query(self) -> dict[str, str]:
        """The wish as the parameters of a link."""
        return {k: v for k, v in {**self.filters, "q": self.words}.items() if v}


@dataclass(frozen=True)
class Page:
    """Rows by falling id. `scanned` is the last id looked at; `more` says that there are others."""

    rows: Sequence[Mapping[str, Any]]
    scanned: int
    more: bool


def _gist(of: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.substr(of, 1, GIST)


_current = table(
    "v_current_verdicts",
    column("id", BigInteger), column("response_id", BigInteger), column("status", String),
    column("mismatch", String),
)  # fmt: skip
_asked = responses.join(calls, calls.c.id == responses.c.call_id).join(
    turns, turns.c.id == first_turn_of(calls.c.prompt_id)
)
_answered = _asked.join(teachers, teachers.c.id == responses.c.teacher_id).join(
    _current, _current.c.response_id == responses.c.id, isouter=True
)
_judged = verdicts.join(responses, responses.c.id == verdicts.c.response_id)
_prompted = prompts.join(
    turns,
    turns.c.id
    == select(func.min(turns.c.id))
    .where(turns.c.prompt_id == prompts.c.id)
    .correlate(prompts)
    .scalar_subquery(),
    isouter=True,
)


def _first(of: Column[Any], where: ColumnElement[bool], *tables: Any) -> ColumnElement[Any]:
    return select(func.min(of)).where(where).correlate(*tables).scalar_subquery()


def _path(source: Column[Any], *tables: Any) -> ColumnElement[Any]:
    return _first(origins.c.path, origins.c.source_id == source, *tables)


def _job(name: str, stage: str, subject: Column[Any]) -> ColumnElement[Any]:
    """The state or reason of the newest job of a stage on a row."""
    return (
        select(jobs.c[name])
        .where(jobs.c.stage == stage, jobs.c.subject_id == subject)
        .order_by(jobs.c.variant_id.desc())
        .limit(1)
        .correlate(subject.table)
        .scalar_subquery()
    )


_NUMBERS = ("1", "2", "3")
_state = _job("state", "generate", samples.c.id)
LISTINGS = {
    listing.name: listing
    for listing in (
        Listing(
            "answers", "response", responses.c.id, _answered,
            {"question": turns.c.kind, "turn": turns.c.number, "status": _current.c.status,
             "mismatch": _current.c.mismatch, "model": teachers.c.model, "text": _gist(responses.c.text)},
            {"question": Filter(turns.c.kind, TURN_KINDS), "turn": Filter(turns.c.number, _NUMBERS),
             "status": Filter(_current.c.status, VERDICTS), "mismatch": Filter(_current.c.mismatch),
             "model": Filter(teachers.c.model), "finish": Filter(responses.c.finish_reason)},
            (responses.c.text,),
        ),
        Listing(
            "verdicts", "verdict", verdicts.c.id, _judged,
            {"checker": verdicts.c.checker, "status": verdicts.c.status,
             "mismatch": verdicts.c.mismatch, "predicted": _gist(verdicts.c.predicted),
             "feedback": _gist(verdicts.c.feedback)},
            {"checker": Filter(verdicts.c.checker), "status": Filter(verdicts.c.status, VERDICTS),
             "mismatch": Filter(verdicts.c.mismatch)},
            (verdicts.c.feedback, verdicts.c.predicted),
        ),
        Listing(
            "samples", "sample", samples.c.id, samples,
            {"state": _state, "reason": _job("reason", "generate", samples.c.id),
             "problem": _gist(samples.c.problem_statement),
             "path": _first(origins.c.path, (sample_origins.c.sample_id == samples.c.id)
                            & (origins.c.source_id == sample_origins.c.source_id), samples)},
            {"state": Filter(_state, ("done", "rejected", "failed", "pending"))},
            (samples.c.problem_statement, samples.c.refcode),
        ),
        Listing(
            "prompts", "prompt", prompts.c.id, _prompted,
            {"question": turns.c.kind, "turn": turns.c.number, "characters": prompts.c.n_chars,
             "template": prompts.c.template, "messages": _gist(prompts.c.messages)},
            {"question": Filter(turns.c.kind, TURN_KINDS), "turn": Filter(turns.c.number, _NUMBERS),
             "template": Filter(prompts.c.template)},
            (prompts.c.messages,),
        ),
        Listing(
            "sources", "source", sources.c.id, sources,
            {"language": sources.c.language, "characters": sources.c.n_chars,
             "state": _job("state", "transform", sources.c.id), "path": _path(sources.c.id, sources),
             "content": _gist(sources.c.content)},
            {"language": Filter(sources.c.language)},
            (sources.c.content,),
        ),
    )
}  # fmt: skip


def page(
    connection: Connection,
    listing: Listing,
    wish: Wish,
    *,
    before: int | None = None,
    after: int | None = None,
    most: int = PAGE,
) -> Page:
    """Return rows with an id below `before`, or the nearest above `after`; newest first."""
    if after is None:
        ids, scanned, more = _older(connection, listing, wish, before, most)
    else:
        ids, scanned, more = _newer(connection, listing, wish, after, most)
    return Page(_rows(connection, listing, ids), scanned, more)


def neighbour(
    connection: Connection, listing: Listing, wish: Wish, key: int, *, newer: bool
) -> int | None:
    """Return the id of the row beside one, of those that a reader wants; None if none is near."""
    look = _newer if newer else _older
    ids, _, _ = look(connection, listing, wish, key, 1)
    return ids[0] if ids else None


# Windows of ids ------------------------------------------------------------------------------

Found = tuple[list[int], int, bool]


def _older(
    connection: Connection, listing: Listing, wish: Wish, before: int | None, most: int
) -> Found:
    high = _end(connection, listing.key, func.max) + 1
    high = high if before is None else min(before, high)
    found: list[int] = []
    width, until = FIRST_WINDOW, time.monotonic() + SECONDS
    while high > 1:
        low = max(1, high - width)
        chosen = _ids(listing, wish, low, high).order_by(listing.key.desc())
        found += connection.scalars(chosen.limit(most + 1 - len(found)))
        high = low
        if len(found) > most:
            return found[:most], found[most - 1], True
        if time.monotonic() > until:
            return found, low, low > 1
        width = _wider(width, until)
    return found, 1, False


def _newer(connection: Connection, listing: Listing, wish: Wish, after: int, most: int) -> Found:
    """The same the other way; ids come out falling too."""
    end = _end(connection, listing.key, func.max) + 1
    found: list[int] = []
    low, width, until = max(0, after) + 1, FIRST_WINDOW, time.monotonic() + SECONDS
    while low < end:
        high = min(low + width, end)
        chosen = _ids(listing, wish, low, high).order_by(listing.key)
        found += connection.scalars(chosen.limit(most - len(found)))
        low = high
        if len(found) >= most or time.monotonic() > until:
            break
        width = _wider(width, until)
    return found[::-1], found[0] if found else low, True


def _wider(width: int, until: float) -> int:
    """Twice as wide a window while there is time for it, and one that is sure to end near it."""
    left = (until - time.monotonic()) / SECONDS
    return min(LAST_WINDOW, width * 2) if left > 0.6 else max(FIRST_WINDOW, width // 2)


def _end(connection: Connection, key: Column[Any], of: Any) -> int:
    return int(connection.scalar(select(of(key))) or 0)


def _ids(listing: Listing, wish: Wish, low: int, high: int) -> Select[Any]:
    wanted: list[ColumnElement[bool]] = [
        _equals(listing.filters[name].column, value)
        for name, value in wish.filters.items()
        if value and name in listing.filters
    ]
    if wish.words:
        held = [text.icontains(wish.words, autoescape=True) for text in listing.searched]
        wanted.append(or_(*held))
    narrowed = listing.joined if wish.filters else listing.key.table
    chosen = select(listing.key).select_from(narrowed)
    return chosen.where(listing.key >= low, listing.key < high, *wanted)


def _equals(compared: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    if isinstance(compared.type, Integer):
        return compared == int(value) if value.isdecimal() and len(value) < 10 else compared < 0
    return compared == value


def _rows(connection: Connection, listing: Listing, ids: Sequence[int]) -> list[Mapping[str, Any]]:
    shown = [value.label(name) for name, value in listing.columns.items()]
    chosen = select(listing.key.label("id"), *shown).select_from(listing.joined)
    found = connection.execute(chosen.where(among(connection, listing.key, ids))).mappings()
    by_id = {row["id"]: dict(row) for row in found}
    return [by_id[key] for key in ids if key in by_id]

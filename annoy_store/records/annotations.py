"""Marks of readers: a flag, tags and notes on rows, set, removed and read.

Decisions
- What is marked, and which row of a mark counts, is decided in db/annotation_views.py. Here rows are
  added, so that the newest is the last one, whatever the clock says.
- A row without content of its own (a call, an execution, a check of a pair, a row of an export) is
  marked by what it is about.
- Setting what is set, or removing what is not, adds nothing.
- A row that is taken down or purged cannot be marked: its marks are hidden.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    Text,
    case,
    column,
    exists,
    func,
    literal,
    select,
    table,
    update,
)

from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import in_values
from annoy_store.db.tables import (
    annotation_log,
    calls,
    executions,
    export_rows,
    exports,
    io_pairs,
    origins,
    pair_checks,
    prompts,
    responses,
    samples,
    sources,
    teachers,
    turns,
    variants,
    verdicts,
)
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError, unknown_name
from annoy_store.hashing import clean_text
from annoy_store.interfaces import NewRow
from annoy_store.records.digests import annotation_digest, response_digest

MARKS = ("flag", "tag", "note")
MAX_TAG_CHARS, MAX_NOTE_CHARS = 100, 10_000
MAX_AUTHOR_CHARS = 100
_SHOWN = table(
    "v_annotations",
    column("annotation_id", BigInteger),
    column("kind", Text),
    column("subject_id", BigInteger),
    column("mark", Text),
    column("value", Text),
    column("author", Text),
    column("created_at", Text),
)


@dataclass(frozen=True)
class Mark:
    """A mark that a row may have.

    Attributes:
        kind: One of `MARKS`.
        value: The tag, or the text of the note; '' for a flag.
    """

    kind: str
    value: str = ""


@dataclass(frozen=True)
class Annotation:
    """A mark that a row has, who set it, and when.

    Attributes:
        mark: The mark.
        author: Name of the person who set it.
        created_at: UTC timestamp.
    """

    mark: Mark
    author: str
    created_at: str


@dataclass(frozen=True)
class MarkedRow:
    """A row that can be marked.

    Attributes:
        kind: One of `MARKED_KINDS`.
        id: Its id.
        root: Digest of the row that it belongs to (annotation_views.py).
        subject: What names it within its root.
    """

    kind: str
    id: int
    root: str
    subject: str


def tags_of(marks: Iterable[Annotation]) -> list[str]:
    """Return the tags among the marks of a row, sorted; an empty list if there are none."""
    return sorted({one.mark.value for one in marks if one.mark.kind == "tag"})


# Which row -----------------------------------------------------------------------------------

_of_response = responses.join(calls, calls.c.id == responses.c.call_id).join(
    prompts, prompts.c.id == calls.c.prompt_id
)
_of_verdict = _of_response.join(verdicts, verdicts.c.response_id == responses.c.id).join(
    variants, variants.c.id == verdicts.c.variant_id
)
_ANSWER = select(responses.c.id, prompts.c.digest, responses.c.digest).select_from(_of_response)
_NAMES: dict[str, Select[Any]] = {
    "source": select(sources.c.id, sources.c.digest, sources.c.digest),
    "origin": select(origins.c.id, sources.c.digest, origins.c.digest).join(
        sources, sources.c.id == origins.c.source_id
    ),
    "sample": select(samples.c.id, samples.c.digest, samples.c.digest),
    "io_pair": select(io_pairs.c.id, samples.c.digest, io_pairs.c.input_digest).join(
        samples, samples.c.id == io_pairs.c.sample_id
    ),
    "prompt": select(prompts.c.id, prompts.c.digest, prompts.c.digest),
    "turn": select(turns.c.id, prompts.c.digest, turns.c.digest).join(
        prompts, prompts.c.id == turns.c.prompt_id
    ),
    "response": _ANSWER,
    "chain": _ANSWER,
    "verdict": select(
        verdicts.c.id,
        prompts.c.digest,
        responses.c.digest + "/" + verdicts.c.checker + "/" + variants.c.digest,
    ).select_from(_of_verdict),
    "teacher": select(teachers.c.id, teachers.c.digest, teachers.c.digest),
    "export": select(exports.c.id, exports.c.digest, exports.c.digest),
}
"""By kind of row the SELECT of its id, its root, and what names it within its root."""
MARKED_KINDS = tuple(_NAMES)
_of_export = case((export_rows.c.chain_id.is_not(None), literal("chain")), else_=literal("sample"))
_of_run = case(
    (executions.c.response_id.is_not(None), literal("response")), else_=literal("sample")
)
_ABOUT: dict[str, Select[Any]] = {
    "call": select(literal("prompt"), calls.c.prompt_id, calls.c.id),
    "execution": select(
        _of_run, func.coalesce(executions.c.response_id, executions.c.sample_id), executions.c.id
    ),
    "pair_check": select(literal("io_pair"), pair_checks.c.io_pair_id, pair_checks.c.id),
    "export_row": select(
        _of_export, func.coalesce(export_rows.c.chain_id, export_rows.c.sample_id), export_rows.c.id
    ),
}
"""By kind of row the SELECT of the kind and id of the row that is marked in its place."""


def marked_key(connection: Connection, kind: str, row_id: int) -> tuple[str, int]:
    """Return the kind and id of the row that is marked when a row is.

    Args:
        connection: A connection to the store.
        kind: Kind of an existing row, as in `lineage_edges.KINDS`.
        row_id: Its id.
    """
    if kind not in _ABOUT:
        return kind, row_id
    chosen = _ABOUT[kind]
    of, key, _ = connection.execute(chosen.where(list(chosen.selected_columns)[2] == row_id)).one()
    return str(of), int(key)


def _named_row(connection: Connection, kind: str, row_id: int) -> MarkedRow:
    kind, row_id = marked_key(connection, kind, row_id)
    chosen = _NAMES[kind]
    row = connection.execute(chosen.where(next(iter(chosen.selected_columns)) == row_id)).one()
    return MarkedRow(kind, row_id, row[1], row[2])


def _complete_digest(connection: Connection, kind: str, row_id: int) -> None:
    """Compute the digest of the answer that a mark is about, in a store of an older schema."""
    if kind == "verdict":
        mine = select(verdicts.c.response_id).where(verdicts.c.id == row_id)
        row_id = connection.scalar(mine) or 0
    elif kind not in ("response", "chain"):
        return
    this = responses.c.id == row_id
    row = connection.execute(select(responses).where(this, responses.c.digest.is_(None))).first()
    if row is not None:
        named = response_digest(dict(row._mapping))
        connection.execute(update(responses).where(this).values(digest=named))


# Setting and removing ------------------------------------------------------------------------


def set_mark(connection: Connection, kind: str, row_id: int, mark: Mark, author: str) -> bool:
    """Set a mark of a row; return False if the row has it.

    Args:
        connection: A write transaction.
        kind: Kind of an existing row, as in `lineage_edges.KINDS`.
        row_id: Its id.
        mark: The mark.
        author: Name of the person who sets it.

    Raises:
        UsageError: The mark is empty or too long, or the row is taken down or purged.
    """
    return _change(connection, kind, row_id, checked_mark(mark), author, is_set=True)


def remove_mark(connection: Connection, kind: str, row_id: int, mark: Mark, author: str) -> bool:
    """Remove a mark of a row, whoever set it; return False if the row has it not.

    The arguments are those of `set_mark`.
    """
    mark = Mark(mark.kind, clean_text(mark.value))
    return _change(connection, kind, row_id, mark, author, is_set=False)


def _change(
    connection: Connection, kind: str, row_id: int, mark: Mark, author: str, *, is_set: bool
) -> bool:
    kind, row_id = marked_key(connection, kind, row_id)
    _complete_digest(connection, kind, row_id)
    row = _named_row(connection, kind, row_id)
    newest = connection.execute(
        select(annotation_log.c.is_set, annotation_log.c.created_at)
        .where(
            annotation_log.c.root == row.root,
            annotation_log.c.subject == row.subject,
            annotation_log.c.kind == row.kind,
            annotation_log.c.mark == mark.kind,
            annotation_log.c.value == mark.value,
        )
        .order_by(annotation_log.c.created_at.desc(), annotation_log.c.digest.desc())
        .limit(1)
    ).first()
    if bool(newest and newest.is_set) == is_set:
        return False
    values = {
        "kind": row.kind,
        "root": row.root,
        "subject": row.subject,
        "mark": mark.kind,
        "value": mark.value,
        "is_set": int(is_set),
        "author": _checked_author(author),
        "created_at": _after(newest.created_at if newest else "", utc_now()),
    }
    new = NewRow(annotation_log, values | {"digest": annotation_digest(values)})
    (key,) = insert_rows(connection, [new])["annotation_log"]
    if is_set and not connection.scalar(select(exists().where(_SHOWN.c.annotation_id == key))):
        raise UsageError(
            f"{row.kind}:{row.id} is taken down and cannot be marked; see: annoy takedown --list"
        )
    return True


def _after(before: str, now: str) -> str:
    """Return the time of a change: now, or a millisecond after the change before it."""
    if now > before:
        return now
    later = datetime.fromisoformat(before) + timedelta(milliseconds=1)
    return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def checked_mark(mark: Mark) -> Mark:
    """Return a mark as it is stored.

    Raises:
        UsageError: It is unknown, empty or too long.
    """
    if mark.kind not in MARKS:
        raise UsageError(unknown_name("mark", mark.kind, MARKS))
    value = clean_text(mark.value).strip()
    if mark.kind == "flag":
        return Mark("flag")
    if not value:
        raise UsageError(f"the {mark.kind} is empty")
    longest = MAX_TAG_CHARS if mark.kind == "tag" else MAX_NOTE_CHARS
    if len(value) > longest:
        raise UsageError(f"the {mark.kind} is longer than {longest:,} characters")
    if mark.kind == "tag" and any(unicodedata.category(c).startswith("C") for c in value):
        raise UsageError("a tag is one line without control characters")
    return Mark(mark.kind, value)


def _checked_author(author: str) -> str:
    return clean_text(" ".join(author.split()))[:MAX_AUTHOR_CHARS] or "unknown"


# Reading -------------------------------------------------------------------------------------


def marks_of(connection: Connection, kind: str, ids: Iterable[int]) -> dict[int, list[Annotation]]:
    """Return the marks of rows by id: flags, then tags, then notes, the oldest note first.

    Args:
        connection: A connection to the store.
        kind: Kind of the rows, as in `lineage_edges.KINDS`.
        ids: Their ids.
    """
    chosen = select(_SHOWN).where(
        _SHOWN.c.kind == kind, in_values(connection, _SHOWN.c.subject_id, sorted(set(ids)))
    )
    found: dict[int, list[Annotation]] = defaultdict(list)
    for row in connection.execute(chosen):
        one = Annotation(Mark(row.mark, row.value), row.author, row.created_at)
        found[row.subject_id].append(one)
    return {key: sorted(marks, key=_place) for key, marks in found.items()}


def _place(one: Annotation) -> tuple[int, str, str]:
    first = one.created_at if one.mark.kind == "note" else ""
    return MARKS.index(one.mark.kind), first, one.mark.value


def marked_rows(
    connection: Connection, most: int, mark: Mark | None = None
) -> list[tuple[tuple[str, int], list[Annotation]]]:
    """Return the marked rows by kind and id with their marks, the last marked first.

    Args:
        connection: A connection to the store.
        most: Largest number of rows.
        mark: Only rows with this mark; None for all.
    """
    newest = func.max(_SHOWN.c.created_at)
    chosen = select(_SHOWN.c.kind, _SHOWN.c.subject_id).group_by(_SHOWN.c.kind, _SHOWN.c.subject_id)
    if mark is not None:
        chosen = chosen.where(_SHOWN.c.mark == mark.kind, _SHOWN.c.value == mark.value)
    ordered = chosen.order_by(newest.desc(), _SHOWN.c.kind, _SHOWN.c.subject_id.desc())
    keys = [(row.kind, row.subject_id) for row in connection.execute(ordered.limit(most))]
    kinds = {kind for kind, _ in keys}
    found = {kind: marks_of(connection, kind, [i for k, i in keys if k == kind]) for kind in kinds}
    return [(key, found[key[0]][key[1]]) for key in keys]


def as_dict(marks: Iterable[Annotation]) -> dict[str, Any]:
    """Return the marks of a row for JSON: `flagged`, `tags` and `notes`; lists may be empty."""
    held = list(marks)
    return {
        "flagged": any(one.mark.kind == "flag" for one in held),
        "tags": tags_of(held),
        "notes": [
            {"text": one.mark.value, "author": one.author, "created_at": one.created_at}
            for one in held
            if one.mark.kind == "note"
        ],
    }

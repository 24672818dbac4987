"""Ingest raw source files: read rows, validate them, insert them in batches.

Decisions
- Everything streams: a batch (2,000 rows or 8 million characters) is one transaction, and at most
  three batches and one line are in memory. With a server database the next batch is read in another
  thread while the current one is written; SQLite runs in this process, where a reading thread would
  only compete for the interpreter lock.
- What a row says about itself (licence, repository, path, language) takes precedence over the
  options of the command, which fill in missing fields. `origin` is the name of the given file or
  folder without its path, so that two machines agree.
- Other fields of a row are kept as the origin's metadata, each up to 1,000 characters of JSON.
- An invalid row is refused and counted by reason; the others are ingested. A file that cannot be
  read to its end keeps the rows read so far and is an error; the remaining files are still read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, select

from annoy_store.db.engine import Database
from annoy_store.db.hidden import keep_hidden
from annoy_store.db.sql import analyse, in_values, insert_new, reserve_ids
from annoy_store.db.tables import origins, sources
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import canonical_json, clean_text
from annoy_store.ingest.function_links import FunctionLinks
from annoy_store.ingest.purged import find_purged, purged_refusal
from annoy_store.ingest.read_position import ReadPosition
from annoy_store.ingest.readers import STDIN, RawRow, n_bytes_to_read, read_raw
from annoy_store.ingest.record_files import Location, Refusal, Refusals
from annoy_store.interfaces import NewRow, ShowProgress, show_nothing
from annoy_store.records.policy import load_policy
from annoy_store.records.sources import new_source, new_source_origin

BATCH_ROWS = 2_000
BATCH_CHARS = 8_000_000
MAX_FIELD = 1_000
LANGUAGES = {
    "py": "python",
    "pyw": "python",
    "ipynb": "jupyter",
    "js": "javascript",
    "ts": "typescript",
    "rb": "ruby",
    "rs": "rust",
    "go": "go",
    "java": "java",
    "c": "c",
    "h": "c",
    "cc": "c++",
    "cpp": "c++",
    "hpp": "c++",
    "cs": "c#",
    "jl": "julia",
    "r": "r",
    "sh": "shell",
    "kt": "kotlin",
    "scala": "scala",
    "php": "php",
    "pl": "perl",
    "lua": "lua",
    "hs": "haskell",
}
DEFAULT_LANGUAGE = "python"
T = TypeVar("T")


@dataclass(frozen=True)
class IngestOptions:
    """Options of one ingestion, applied to all of its rows.

    Attributes:
        column: Field of a row that holds the code.
        origin: Name of the origin; None means the name of the file or folder.
        licence: Licence of rows that name none.
        language: Language of all rows; None means the row's own, else by file name.
        globs: Patterns of file names to read from a folder; empty means `*.py`.
        limit: Stop after this many accepted rows; None means no limit.
    """

    column: str = "content"
    origin: str | None = None
    licence: str = ""
    language: str | None = None
    globs: tuple[str, ...] = ()
    limit: int | None = None


@dataclass
class IngestReport(Refusals):
    """Counts of one ingestion so far.

    Attributes:
        new: Rows inserted.
        known: Rows that were in the store already.
        new_origins: Origins inserted.
    """

    new: int = 0
    known: int = 0
    new_origins: int = 0

    @property
    def accepted(self) -> int:
        """Number of rows that passed validation, new and known."""
        return self.new + self.known

    def __str__(self) -> str:
        return f"{self.new:,} new, {self.known:,} known, {self.n_refused:,} refused"


def ingest(
    store: Database,
    paths: Iterable[Path],
    options: IngestOptions,
    progress: ShowProgress = show_nothing,
) -> IngestReport:
    """Ingest the files at `paths`; rows that are in the store already are left unchanged.

    Args:
        store: The store to write to.
        paths: Files, folders, or `-` for JSON lines on standard input.
        options: Options that apply to all rows.
        progress: Called after each batch with the counts and the bytes read, or the rows if their
            number is limited.

    Returns:
        The counts of new, known and refused rows.

    Raises:
        UsageError: There is nothing at one of the paths; nothing has been ingested then.
    """
    with store.read() as connection:
        max_bytes = load_policy(connection).max_source_bytes
    position, given = ReadPosition(), list(paths)
    readers = [
        (origin_name(p, options), read_raw(p, options.column, options.globs, max_bytes, position))
        for p in given
    ]
    items = ((origin, item) for origin, reader in readers for item in reader)
    show = report_progress(progress, given, options, position)
    return ingest_rows(store, items, options, show)


def report_progress(
    progress: ShowProgress, paths: Sequence[Path], options: IngestOptions, position: ReadPosition
) -> Callable[[IngestReport], None]:
    """Return a function that shows a report with the rows of a limit, else the bytes of the files.

    Args:
        progress: Shows progress.
        paths: Files and folders to read; they exist.
        options: Options of the ingestion.
        position: How far the files are read.
    """
    if options.limit is not None:
        return lambda report: progress(str(report), report.accepted, options.limit)
    total = None if progress is show_nothing else n_bytes_to_read(paths, options.globs) or None
    return lambda report: progress(str(report), position.n_bytes, total)


def ingest_rows(
    store: Database,
    items: Iterable[tuple[str, RawRow | Refusal]],
    options: IngestOptions,
    progress: Callable[[IngestReport], None] = lambda report: None,
) -> IngestReport:
    """Ingest rows that were read already.

    Args:
        store: The store to write to.
        items: Pairs of the origin's name and a row or refusal.
        options: Options that apply to all rows.
        progress: Called with the report after each batch.

    Returns:
        The counts of new, known and refused rows.
    """
    report = IngestReport()
    with store.read() as connection:
        max_bytes = load_policy(connection).max_source_bytes
        links = FunctionLinks(connection)
    valid = _validated(items, options, max_bytes, utc_now(), report)
    batches = _batches(valid, options.limit)
    for batch in batches if store.is_sqlite else read_ahead(batches):
        with store.write() as connection:
            _write(connection, batch, report, links)
        progress(report)
    if report.new:
        with store.write() as connection:
            analyse(connection, sources, origins)
    return report


def origin_name(path: Path, options: IngestOptions) -> str:
    """Return the origin name of all rows at `path`: as configured, else the file or folder name."""
    return options.origin or ("stdin" if path == STDIN else path.resolve().name)


def _validated(
    items: Iterable[tuple[str, RawRow | Refusal]],
    options: IngestOptions,
    max_bytes: int,
    now: str,
    report: IngestReport,
) -> Iterator[NewRow]:
    for origin, item in items:
        refusal = item if isinstance(item, Refusal) else validate(item, max_bytes)
        if refusal is not None:
            report.refuse(refusal)
        elif isinstance(item, RawRow):
            yield new_raw_source(item, origin, options, now)


def validate(raw: RawRow, max_bytes: int) -> Refusal | None:
    """Return why a row is not acceptable source code, None if it is.

    Args:
        raw: The row as it was read.
        max_bytes: Policy `max_source_bytes`.
    """
    content = raw.content
    if not isinstance(content, str):
        return Refusal("not_text", raw.location, f"the content is {type(content).__name__}")
    if not content.strip():
        return Refusal("empty", raw.location, "there is nothing in it")
    size = len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        return Refusal(
            "too_large", raw.location, f"{size:,} bytes; max_source_bytes is {max_bytes:,}"
        )
    return None


def new_raw_source(
    raw: RawRow, origin: str, options: IngestOptions, created_at: str, language: str | None = None
) -> NewRow:
    """Return the origin row of a raw row, linked to the row of its source.

    Args:
        raw: A row whose content is text.
        origin: Name of the origin.
        options: Options that apply where the row does not say.
        created_at: UTC timestamp.
        language: Language of the source; None means that of the options, of the row, or by its
            file name.
    """
    path = clean_text(raw.attribute("path"))
    language = language or options.language or raw.attribute("language") or _language_of(path)
    source = new_source(clean_text(language).lower(), clean_text(str(raw.content)), created_at)
    return new_source_origin(
        source,
        clean_text(origin),
        repo=clean_text(raw.attribute("repo")),
        path=path,
        licence=clean_text(raw.attribute("licence")) or options.licence,
        metadata=metadata_json(raw.other_fields) if raw.other_fields else "{}",
    )


def _source_of(origin: NewRow) -> NewRow:
    source = origin.values["source_id"]
    assert isinstance(source, NewRow)
    return source


def _language_of(path: str) -> str:
    suffix = path.rpartition("/")[2].rpartition(".")[2].lower() if "." in path else ""
    return LANGUAGES.get(suffix, suffix) or DEFAULT_LANGUAGE


def metadata_json(fields: Mapping[str, Any]) -> str:
    """Return `fields` as canonical JSON, without values that are null or too long.

    Args:
        fields: Fields of a row; a value counts as too long above `MAX_FIELD` characters of JSON.
    """
    if None not in fields.values():
        try:
            whole = canonical_json(fields)
        except (TypeError, ValueError, RecursionError):
            whole = ""
        if 0 < len(whole) <= MAX_FIELD:
            return whole
    kept = {}
    for key, value in fields.items():
        text = _json(value)
        if value is not None and len(text) <= MAX_FIELD:
            kept[key] = text
    inner = ",".join(f"{canonical_json(key)}:{kept[key]}" for key in sorted(kept))
    return f"{{{inner}}}"


def _json(value: Any) -> str:
    """A value as canonical JSON; values that JSON cannot hold (NaN, dates, bytes) as their text."""
    try:
        return canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        return canonical_json(str(value))


def _batches(rows: Iterable[NewRow], limit: int | None) -> Iterator[list[NewRow]]:
    batch: list[NewRow] = []
    chars = 0
    for n, row in enumerate(rows, 1):
        batch.append(row)
        chars += _source_of(row).values["n_chars"]
        if len(batch) >= BATCH_ROWS or chars >= BATCH_CHARS or n == limit:
            yield batch
            batch, chars = [], 0
        if n == limit:
            return
    if batch:
        yield batch


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the same items, producing the next one in a thread while the caller handles the last.

    An exception raised by `items` is raised where its item would have come. The thread is a daemon.

    Args:
        items: The iterator to read from; only the thread advances it.

    Yields:
        The items in order.
    """
    results: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    wanted, stopped = Semaphore(1), Event()

    def produce() -> None:
        try:
            for item in items:
                results.put((True, item))
                wanted.acquire()
                if stopped.is_set():
                    return
            results.put((False, None))
        except BaseException as error:
            results.put((False, error))

    Thread(target=produce, name="reading-ahead", daemon=True).start()
    try:
        while (found := results.get())[0]:
            wanted.release()
            yield found[1]
    finally:
        stopped.set()
        wanted.release()
    if found[1] is not None:
        raise found[1]


def _write(
    connection: Connection, batch: list[NewRow], report: IngestReport, links: FunctionLinks
) -> None:
    batch = _without_purged(connection, batch, report)
    found = {row.values["digest"]: row.values for row in map(_source_of, batch)}
    ids = _ids(connection, sources, found)
    missing = [key for key in found if key not in ids]
    new = dict(zip(missing, reserve_ids(connection, sources, len(missing)), strict=True))
    n_new = insert_new(connection, sources, [{"id": i, **found[key]} for key, i in new.items()])
    ids |= new if n_new == len(new) else _ids(connection, sources, new)
    of_batch = {
        row.values["digest"]: {**row.values, "source_id": ids[_source_of(row).values["digest"]]}
        for row in batch
    }
    report.new_origins += insert_new(connection, origins, list(of_batch.values()))
    named = ((_source_of(r).values["digest"], str(r.values["metadata"])) for r in batch)
    links.link(connection, named, ids)
    keep_hidden(connection, {"sources": list(ids.values())})
    report.new += n_new
    report.known += len(batch) - n_new


def _without_purged(
    connection: Connection, batch: list[NewRow], report: IngestReport
) -> list[NewRow]:
    """Refuse the rows of a batch whose content was purged; return the others."""
    texts = {row.values["digest"]: row.values["content"] for row in map(_source_of, batch)}
    purged = find_purged(connection, "source", texts)
    for row in batch if purged else ():
        if _source_of(row).values["digest"] in purged:
            place = Location(row.values["path"] or row.values["origin"])
            report.refuse(purged_refusal(place))
    return [row for row in batch if _source_of(row).values["digest"] not in purged]


def _ids(connection: Connection, table: Table, digests: Iterable[str]) -> dict[str, int]:
    chosen = select(table.c.digest, table.c.id).where(
        in_values(connection, table.c.digest, digests)
    )
    return {row.digest: row.id for row in connection.execute(chosen)}

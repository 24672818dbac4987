"""Raw files on their way into the store: read, judged by rule, written in batches.

Decisions
- Everything streams: a batch (2,000 rows or 8 MB of text) is one transaction, and nothing larger
  than three batches and one line is in memory. A server works while the next batch is read; SQLite
  works in our own process, and would wait at every row for the reading thread to let go.
- What a row says about itself (licence, repository, path, language) wins over what the command
  says; the command fills in where the row is silent. `origin` is the name of the file or folder
  that was given, without its place, so that two machines agree.
- Other fields of a row are kept as the origin's metadata, each up to 1,000 characters of JSON.
- A bad row is refused and counted under one word; the rest goes in. A file that cannot be read
  to its end keeps what was read and is an error; the files after it are read all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Table, select

from annoy_store.db.engine import Database
from annoy_store.db.sql import analyse, in_values, insert_new, reserve_ids
from annoy_store.db.tables import origins, sources
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import canonical_json, clean_text
from annoy_store.ingest.readers import STDIN, RawRow, read_raw
from annoy_store.ingest.record_files import Refusal, Refusals
from annoy_store.ingest.takedowns import hide_ingested
from annoy_store.records.digests import origin_digest, source_digest
from annoy_store.records.policy import load_policy

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
    """What the command says about all that it ingests."""

    column: str = "content"
    origin: str | None = None
    licence: str = ""
    language: str | None = None
    globs: tuple[str, ...] = ()
    limit: int | None = None


@dataclass
class IngestReport(Refusals):
    """What became of the rows so far."""

    new: int = 0
    known: int = 0
    new_origins: int = 0

    @property
    def accepted(self) -> int:
        return self.new + self.known


class _SourceWithOrigin(NamedTuple):
    """A source and the origin that goes with it, both without ids."""

    source: Mapping[str, Any]
    origin: Mapping[str, Any]


def ingest(
    store: Database,
    paths: Iterable[Path],
    wish: IngestOptions,
    progress: Callable[[IngestReport], None] = lambda tally: None,
) -> IngestReport:
    """Take the files at `paths` into the store; what is there already is left alone.

    Raises UsageError when there is nothing at one of the paths, before anything is taken.
    """
    with store.read() as connection:
        largest = load_policy(connection).max_source_bytes
    readers = [(_name(p, wish), read_raw(p, wish.column, wish.globs, largest)) for p in paths]
    items = ((origin, item) for origin, reader in readers for item in reader)
    return ingest_rows(store, items, wish, progress)


def ingest_rows(
    store: Database,
    items: Iterable[tuple[str, RawRow | Refusal]],
    wish: IngestOptions,
    progress: Callable[[IngestReport], None] = lambda tally: None,
) -> IngestReport:
    """The same for rows that were read already, each with the name of its origin."""
    tally = IngestReport()
    with store.read() as connection:
        largest = load_policy(connection).max_source_bytes
    judged = _judge(items, wish, largest, utc_now(), tally)
    batches = _batches(judged, wish.limit)
    for batch in batches if store.is_sqlite else read_ahead(batches):
        with store.write() as connection:
            _write(connection, batch, tally)
        progress(tally)
    if tally.new:
        with store.write() as connection:
            analyse(connection, sources, origins)
    return tally


def _name(path: Path, wish: IngestOptions) -> str:
    """The origin of all that is at `path`, the same wherever the machine keeps it."""
    return wish.origin or ("stdin" if path == STDIN else path.resolve().name)


def _judge(
    items: Iterable[tuple[str, RawRow | Refusal]],
    wish: IngestOptions,
    largest: int,
    now: str,
    tally: IngestReport,
) -> Iterator[_SourceWithOrigin]:
    for origin, item in items:
        bad = item if isinstance(item, Refusal) else _fault(item, largest)
        if bad is not None:
            tally.refuse(bad)
        elif isinstance(item, RawRow):
            yield _as_rows(item, origin, wish, now)


def _fault(raw: RawRow, largest: int) -> Refusal | None:
    """The rule that a row breaks, if any."""
    content = raw.content
    if not isinstance(content, str):
        return Refusal("not_text", raw.location, f"the content is {type(content).__name__}")
    if not content.strip():
        return Refusal("empty", raw.location, "there is nothing in it")
    size = len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    if size > largest:
        return Refusal(
            "too_large", raw.location, f"{size:,} bytes; max_source_bytes is {largest:,}"
        )
    return None


def _as_rows(raw: RawRow, origin: str, wish: IngestOptions, now: str) -> _SourceWithOrigin:
    content = clean_text(str(raw.content))
    path = clean_text(raw.attribute("path"))
    language = wish.language or raw.attribute("language") or _language_of(path)
    name = source_digest(clean_text(language).lower(), content)
    source = {
        "digest": name,
        "language": clean_text(language).lower(),
        "n_chars": len(content),
        "created_at": now,
        "content": content,
    }
    where = {
        "origin": clean_text(origin),
        "repo": clean_text(raw.attribute("repo")),
        "path": path,
        "licence": clean_text(raw.attribute("licence")) or wish.licence,
        "metadata": metadata_json(raw.other_fields),
    }
    return _SourceWithOrigin(source, {"digest": origin_digest(name, where), **where})


def _language_of(path: str) -> str:
    suffix = path.rpartition("/")[2].rpartition(".")[2].lower() if "." in path else ""
    return LANGUAGES.get(suffix, suffix) or DEFAULT_LANGUAGE


def metadata_json(fields: Mapping[str, Any]) -> str:
    """Return `fields` as canonical JSON, without those that are long or null."""
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
    """A value as canonical JSON; what JSON cannot hold (NaN, dates, bytes) as its text."""
    try:
        return canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        return canonical_json(str(value))


def _batches(
    pairs: Iterable[_SourceWithOrigin], limit: int | None
) -> Iterator[list[_SourceWithOrigin]]:
    batch: list[_SourceWithOrigin] = []
    chars = 0
    for n, pair in enumerate(pairs, 1):
        batch.append(pair)
        chars += pair.source["n_chars"]
        if len(batch) >= BATCH_ROWS or chars >= BATCH_CHARS or n == limit:
            yield batch
            batch, chars = [], 0
        if n == limit:
            return
    if batch:
        yield batch


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one made in another thread while the caller works on the last.

    An error of theirs comes where its item would have. The thread dies with the process.
    """
    made: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    wanted, over = Semaphore(1), Event()

    def make() -> None:
        try:
            for item in items:
                made.put((True, item))
                wanted.acquire()
                if over.is_set():
                    return
            made.put((False, None))
        except BaseException as error:
            made.put((False, error))

    Thread(target=make, name="reading-ahead", daemon=True).start()
    try:
        while (found := made.get())[0]:
            wanted.release()
            yield found[1]
    finally:
        over.set()
        wanted.release()
    if found[1] is not None:
        raise found[1]


def _write(connection: Connection, batch: list[_SourceWithOrigin], tally: IngestReport) -> None:
    found = {pair.source["digest"]: pair.source for pair in batch}
    ids = _ids(connection, sources, found)
    fresh = [key for key in found if key not in ids]
    new = dict(zip(fresh, reserve_ids(connection, sources, len(fresh)), strict=True))
    n_new = insert_new(connection, sources, [{"id": i, **found[key]} for key, i in new.items()])
    ids |= new if n_new == len(new) else _ids(connection, sources, new)
    where = {
        pair.origin["digest"]: {"source_id": ids[pair.source["digest"]], **pair.origin}
        for pair in batch
    }
    tally.new_origins += insert_new(connection, origins, list(where.values()))
    hide_ingested(connection, sorted(ids.values()))
    tally.new += n_new
    tally.known += len(batch) - n_new


def _ids(connection: Connection, table: Table, digests: Iterable[str]) -> dict[str, int]:
    chosen = select(table.c.digest, table.c.id).where(
        in_values(connection, table.c.digest, digests)
    )
    return {row.digest: row.id for row in connection.execute(chosen)}

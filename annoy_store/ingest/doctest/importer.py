"""Ingest files whose functions have tests as samples, without a model.

Decision: a file without such a function is refused, for `transform` would ask a model about it;
ingest it as a source for that. The accepted files become sources too, with their licence and
repository, and count as transformed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import in_values
from annoy_store.db.tables import samples
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import clean_text
from annoy_store.ingest.codeio.mark_done import import_variant, mark_imported_done
from annoy_store.ingest.doctest.functions import (
    FunctionWithTests,
    SkippedFunction,
    samples_from_code,
)
from annoy_store.ingest.purged import find_purged, purged_refusal
from annoy_store.ingest.read_position import ReadPosition
from annoy_store.ingest.readers import RawRow, read_raw
from annoy_store.ingest.record_files import Location, Refusal
from annoy_store.ingest.sources import (
    DEFAULT_LANGUAGE,
    IngestOptions,
    IngestReport,
    new_raw_source,
    origin_name,
    report_progress,
)
from annoy_store.interfaces import NewRow, ShowProgress, show_nothing
from annoy_store.records.policy import load_policy
from annoy_store.records.samples import new_origin

BATCH_FILES = 200


def ingest_samples(
    store: Database,
    paths: Iterable[Path],
    options: IngestOptions,
    progress: ShowProgress = show_nothing,
) -> IngestReport:
    """Ingest the functions with tests of the files at `paths` as samples.

    Args:
        store: The store to write to.
        paths: Files, folders, or `-` for JSON lines on standard input.
        options: Options that apply to all rows; `limit` counts samples.
        progress: Called after each batch with the counts and the bytes read, or the samples if
            their number is limited.

    Returns:
        The counts of new, known and refused samples.

    Raises:
        UsageError: There is nothing at one of the paths; nothing has been ingested then.
    """
    report = IngestReport()
    with store.read() as connection:
        max_bytes = load_policy(connection).max_source_bytes
    position, given = ReadPosition(), list(paths)
    readers = [
        (origin_name(p, options), read_raw(p, options.column, options.globs, max_bytes, position))
        for p in given
    ]
    show = report_progress(progress, given, options, position)
    batch: list[tuple[NewRow, list[FunctionWithTests]]] = []
    for origin, reader in readers:
        for item in reader:
            found = [item] if isinstance(item, Refusal) else _judge(item, max_bytes)
            for refusal in (each for each in found if isinstance(each, Refusal)):
                report.refuse(refusal)
            functions = [each for each in found if isinstance(each, FunctionWithTests)]
            if functions and isinstance(item, RawRow):
                batch.append(
                    (new_raw_source(item, origin, options, utc_now(), DEFAULT_LANGUAGE), functions)
                )
            if len(batch) == BATCH_FILES:
                _write(store, batch, report)
                batch = []
                show(report)
            if options.limit and report.accepted + len(batch) >= options.limit:
                break
    _write(store, batch, report)
    return report


def _judge(raw: RawRow, max_bytes: int) -> list[FunctionWithTests | Refusal]:
    if not isinstance(raw.content, str):
        return [Refusal("not_text", raw.location, f"the content is {type(raw.content).__name__}")]
    if len(raw.content.encode("utf-8", "surrogatepass")) > max_bytes:
        return [Refusal("too_large", raw.location, f"more than max_source_bytes ({max_bytes:,})")]
    found = samples_from_code(clean_text(raw.content))
    detail = "no function has a docstring and two literal examples (doctest, assert)"
    if not found:
        return [Refusal("no_tests", raw.location, detail)]
    return [
        Refusal(each.reason, raw.location, f"{each.name}: {each.detail}")
        if isinstance(each, SkippedFunction)
        else each
        for each in found
    ]


def _write(
    store: Database, batch: list[tuple[NewRow, list[FunctionWithTests]]], report: IngestReport
) -> None:
    with store.write() as connection:
        _insert(connection, _without_purged(connection, batch, report), report)


def _without_purged(
    connection: Connection,
    batch: list[tuple[NewRow, list[FunctionWithTests]]],
    report: IngestReport,
) -> list[tuple[NewRow, list[FunctionWithTests]]]:
    """Refuse files and functions whose code was purged; return the others."""
    files = {o.values["source_id"].values["digest"]: o.values["source_id"] for o, _ in batch}
    texts = {digest: source.values["content"] for digest, source in files.items()}
    purged = find_purged(connection, "source", texts)
    codes = {_digest(f): str(f.sample.values["refcode"]) for _, some in batch for f in some}
    purged |= find_purged(connection, "sample", codes)
    kept = []
    for origin, some in batch:
        whole = origin.values["source_id"].values["digest"] not in purged
        left = [f for f in some if whole and _digest(f) not in purged]
        for _ in range(len(some) - len(left)):
            report.refuse(purged_refusal(Location(origin.values["path"] or "a file")))
        if left:
            kept.append((origin, left))
    return kept


def _digest(found: FunctionWithTests) -> str:
    return str(found.sample.values["digest"])


def _insert(
    connection: Connection,
    batch: list[tuple[NewRow, list[FunctionWithTests]]],
    report: IngestReport,
) -> None:
    names = {_digest(found) for _, some in batch for found in some}
    rows: list[NewRow] = []
    for origin, some in batch:
        source = origin.values["source_id"]
        rows.append(origin)
        for found in some:
            about = source.values["digest"]
            text = origin.values["origin"]
            rows += found.rows()
            rows.append(new_origin(found.sample, about, source_id=source, origin=text))
    chosen = select(samples.c.digest).where(in_values(connection, samples.c.digest, names))
    known = set(connection.scalars(chosen))
    insert_rows(connection, rows)
    mark_imported_done(connection, import_variant(connection))
    report.new += len(names - known)
    report.known += len(names & known)

"""Raw files with tested functions, taken into the store as samples, without a model.

Decision: a file without a tested function is refused, for `transform` would ask a model about it;
ingest it as a source to have that. The files that are taken are sources too, with their licence
and repository, and count as transformed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import in_values
from annoy_store.db.tables import origins, samples, sources
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import clean_text
from annoy_store.ingest.codeio.mark_done import import_variant, mark_imported_done
from annoy_store.ingest.doctest.functions import (
    FunctionWithTests,
    SkippedFunction,
    samples_from_code,
)
from annoy_store.ingest.readers import STDIN, RawRow, read_raw
from annoy_store.ingest.record_files import Refusal
from annoy_store.ingest.sources import DEFAULT_LANGUAGE, IngestOptions, IngestReport, metadata_json
from annoy_store.interfaces import NewRow
from annoy_store.records.digests import origin_digest, source_digest
from annoy_store.records.policy import load_policy
from annoy_store.records.samples import new_origin

BATCH_FILES = 200


def ingest_samples(store: Database, paths: Iterable[Path], wish: IngestOptions) -> IngestReport:
    """Take the tested functions of the files at `paths`; the counts are of samples.

    Raises UsageError when there is nothing at one of the paths, before anything is taken.
    """
    tally = IngestReport()
    with store.read() as connection:
        largest = load_policy(connection).max_source_bytes
    readers = [
        (_name(path, wish), read_raw(path, wish.column, wish.globs, largest)) for path in paths
    ]
    batch: list[tuple[NewRow, list[FunctionWithTests]]] = []
    for origin, reader in readers:
        for item in reader:
            found = [item] if isinstance(item, Refusal) else _judge(item, largest)
            for bad in (each for each in found if isinstance(each, Refusal)):
                tally.refuse(bad)
            taken = [each for each in found if isinstance(each, FunctionWithTests)]
            if taken and isinstance(item, RawRow):
                batch.append((_origin(item, origin, wish), taken))
            if len(batch) == BATCH_FILES:
                _write(store, batch, tally)
                batch = []
            if wish.limit and tally.accepted + len(batch) >= wish.limit:
                break
    _write(store, batch, tally)
    return tally


def _name(path: Path, wish: IngestOptions) -> str:
    return wish.origin or ("stdin" if path == STDIN else path.resolve().name)


def _judge(raw: RawRow, largest: int) -> list[FunctionWithTests | Refusal]:
    if not isinstance(raw.content, str):
        return [Refusal("not_text", raw.location, f"the content is {type(raw.content).__name__}")]
    if len(raw.content.encode("utf-8", "surrogatepass")) > largest:
        return [Refusal("too_large", raw.location, f"more than max_source_bytes ({largest:,})")]
    found = samples_from_code(clean_text(raw.content))
    detail = "no function in it has words and two literal examples (doctest, assert)"
    if not found:
        return [Refusal("no_tests", raw.location, detail)]
    return [
        Refusal(each.reason, raw.location, f"{each.name}: {each.detail}")
        if isinstance(each, SkippedFunction)
        else each
        for each in found
    ]


def _origin(raw: RawRow, origin: str, wish: IngestOptions) -> NewRow:
    content = clean_text(str(raw.content))
    name = source_digest(DEFAULT_LANGUAGE, content)
    source = NewRow(
        sources,
        {
            "digest": name,
            "language": DEFAULT_LANGUAGE,
            "n_chars": len(content),
            "created_at": utc_now(),
            "content": content,
        },
    )
    where = {
        "origin": clean_text(origin),
        "repo": clean_text(raw.attribute("repo")),
        "path": clean_text(raw.attribute("path")),
        "licence": clean_text(raw.attribute("licence")) or wish.licence,
        "metadata": metadata_json(raw.other_fields),
    }
    named = origin_digest(name, where)
    return NewRow(origins, {"digest": named, "source_id": source, **where})


def _write(
    store: Database, batch: list[tuple[NewRow, list[FunctionWithTests]]], tally: IngestReport
) -> None:
    names = {str(found.sample.values["digest"]) for _, some in batch for found in some}
    rows: list[NewRow] = []
    for origin, some in batch:
        source = origin.values["source_id"]
        rows.append(origin)
        for found in some:
            about = source.values["digest"]
            text = origin.values["origin"]
            rows += found.rows()
            rows.append(new_origin(found.sample, about, source_id=source, origin=text))
    with store.write() as connection:
        chosen = select(samples.c.digest).where(in_values(connection, samples.c.digest, names))
        known = set(connection.scalars(chosen))
        insert_rows(connection, rows)
        mark_imported_done(connection, import_variant(connection))
    tally.new += len(names - known)
    tally.known += len(names & known)

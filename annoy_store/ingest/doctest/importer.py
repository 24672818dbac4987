"""Raw files with tested functions, taken into the store as samples, without a model.

Decision: a file without a tested function is refused, for `transform` would ask a model about it;
ingest it as a source to have that. The files that are taken are sources too, with their licence
and repository, and count as transformed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select

from annoy_store.db.engine import Store
from annoy_store.db.insert import write
from annoy_store.db.sql import among
from annoy_store.db.tables import origins, samples, sources
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import clean, digest
from annoy_store.ingest.codeio.mark_done import enter_done, import_variant
from annoy_store.ingest.doctest.functions import FromTests, Left, as_samples
from annoy_store.ingest.readers import STDIN, Raw, read
from annoy_store.ingest.record_files import Bad
from annoy_store.ingest.sources import DEFAULT_LANGUAGE, Tally, Wish, metadata
from annoy_store.interfaces import New
from annoy_store.records.policy import load_policy
from annoy_store.records.samples import new_origin

BATCH_FILES = 200


def ingest_samples(store: Store, paths: Iterable[Path], wish: Wish) -> Tally:
    """Take the tested functions of the files at `paths`; the counts are of samples.

    Raises UsageError when there is nothing at one of the paths, before anything is taken.
    """
    tally = Tally()
    with store.read() as connection:
        largest = load_policy(connection).max_source_bytes
    readers = [(_name(path, wish), read(path, wish.column, wish.globs, largest)) for path in paths]
    batch: list[tuple[New, list[FromTests]]] = []
    for origin, reader in readers:
        for item in reader:
            found = [item] if isinstance(item, Bad) else _judge(item, largest)
            for bad in (each for each in found if isinstance(each, Bad)):
                tally.refuse(bad)
            taken = [each for each in found if isinstance(each, FromTests)]
            if taken and isinstance(item, Raw):
                batch.append((_origin(item, origin, wish), taken))
            if len(batch) == BATCH_FILES:
                _write(store, batch, tally)
                batch = []
            if wish.limit and tally.taken + len(batch) >= wish.limit:
                break
    _write(store, batch, tally)
    return tally


def _name(path: Path, wish: Wish) -> str:
    return wish.origin or ("stdin" if path == STDIN else path.resolve().name)


def _judge(raw: Raw, largest: int) -> list[FromTests | Bad]:
    if not isinstance(raw.content, str):
        return [Bad("not_text", raw.place, f"the content is {type(raw.content).__name__}")]
    if len(raw.content.encode("utf-8", "surrogatepass")) > largest:
        return [Bad("too_large", raw.place, f"more than max_source_bytes ({largest:,})")]
    found = as_samples(clean(raw.content))
    detail = "no function in it has words and two literal examples (doctest, assert)"
    if not found:
        return [Bad("no_tests", raw.place, detail)]
    return [
        Bad(each.reason, raw.place, f"{each.name}: {each.detail}")
        if isinstance(each, Left) else each
        for each in found
    ]  # fmt: skip


def _origin(raw: Raw, origin: str, wish: Wish) -> New:
    content = clean(str(raw.content))
    name = digest("source", DEFAULT_LANGUAGE, content)
    source = New(
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
        "origin": clean(origin),
        "repo": clean(raw.told("repo")),
        "path": clean(raw.told("path")),
        "licence": clean(raw.told("licence")) or wish.licence,
        "metadata": metadata(raw.rest),
    }
    named = digest("origin", name, *where.values())
    return New(origins, {"digest": named, "source_id": source, **where})


def _write(store: Store, batch: list[tuple[New, list[FromTests]]], tally: Tally) -> None:
    names = {str(found.sample.values["digest"]) for _, some in batch for found in some}
    rows: list[New] = []
    for origin, some in batch:
        source = origin.values["source_id"]
        rows.append(origin)
        for found in some:
            about = source.values["digest"]
            text = origin.values["origin"]
            rows += found.rows()
            rows.append(new_origin(found.sample, about, source_id=source, origin=text))
    with store.write() as connection:
        chosen = select(samples.c.digest).where(among(connection, samples.c.digest, names))
        known = set(connection.scalars(chosen))
        write(connection, rows)
        enter_done(connection, import_variant(connection))
    tally.new += len(names - known)
    tally.known += len(names & known)

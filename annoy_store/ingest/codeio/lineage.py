"""Which answer and which raw file an imported function came from, where files tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from annoy_store.db.sql import among
from annoy_store.db.tables import calls, origins, prompts, responses, sources, turns
from annoy_store.ingest.codeio.samples import Function
from annoy_store.ingest.codeio.subjects import Session

Answered = tuple[int, str, int | None, str | None]  # response, its text, source, its digest


def answers_of(
    connection: Connection, functions: Sequence[Function], session: Session
) -> dict[str, list[Answered]]:
    """By prompt: id and text of the answers to the transform questions that `msgidx` names."""
    names = {session.by_index.get(f.index) for f in functions if f.index is not None}
    chosen = (
        select(prompts.c.digest, responses.c.id, responses.c.text, sources.c.id, sources.c.digest)
        .join(calls, calls.c.prompt_id == prompts.c.id)
        .join(responses, responses.c.call_id == calls.c.id)
        .join(turns, turns.c.prompt_id == prompts.c.id)
        .outerjoin(sources, sources.c.id == turns.c.source_id)
        .where(among(connection, prompts.c.digest, [n for n in names if n]))
    )
    found: dict[str, list[Answered]] = {}
    for name, *rest in connection.execute(chosen):
        found.setdefault(name, []).append((rest[0], rest[1], rest[2], rest[3]))
    return found


def lineage(
    connection: Connection,
    function: Function,
    answers: Mapping[str, list[Answered]],
    session: Session,
) -> tuple[int | None, tuple[int, str] | None]:
    """The answer and the source that a function came from, where a file tells them."""
    name = session.by_index.get(function.index) if function.index is not None else None
    code = function.sample.values["refcode"]
    for response_id, text, source_id, source in answers.get(name or "", []):
        if code in text:
            return response_id, (source_id, source) if source_id and source else None
    if function.blob_id is None:
        return None, None
    if session.blobs is None:
        session.blobs = blobs(connection)
    return None, session.blobs.get(function.blob_id)


def blobs(connection: Connection) -> dict[str, tuple[int, str]]:
    """Id and digest of every source whose origin's metadata names a `blob_id`."""
    chosen = (
        select(origins.c.metadata, sources.c.id, sources.c.digest)
        .join(sources, sources.c.id == origins.c.source_id)
        .where(origins.c.metadata.contains('"blob_id"'))
    )
    rows = connection.execute(chosen)
    return {str(json.loads(text).get("blob_id")): (key, name) for text, key, name in rows}

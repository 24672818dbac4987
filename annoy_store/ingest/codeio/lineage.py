"""Find which answer and which raw file an imported function came from, where files tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from annoy_store.db.sql import in_values
from annoy_store.db.tables import calls, prompts, responses, sources, turns
from annoy_store.ingest.codeio.samples import RecordedFunction
from annoy_store.ingest.codeio.subjects import ImportSession
from annoy_store.ingest.function_links import load_sources_by_blob_id

TransformAnswer = tuple[int, str, int | None, str | None]  # response, its text, source, its digest


def transform_answers(
    connection: Connection, functions: Sequence[RecordedFunction], session: ImportSession
) -> dict[str, list[TransformAnswer]]:
    """Return the answers to the transform questions that the functions' `msgidx` name.

    Args:
        connection: A connection to the store.
        functions: The functions of one batch.
        session: State of the import.

    Returns:
        By prompt digest: response id, its text, source id, source digest.
    """
    names = {session.prompts_by_index.get(f.index) for f in functions if f.index is not None}
    chosen = (
        select(prompts.c.digest, responses.c.id, responses.c.text, sources.c.id, sources.c.digest)
        .join(calls, calls.c.prompt_id == prompts.c.id)
        .join(responses, responses.c.call_id == calls.c.id)
        .join(turns, turns.c.prompt_id == prompts.c.id)
        .outerjoin(sources, sources.c.id == turns.c.source_id)
        .where(in_values(connection, prompts.c.digest, [n for n in names if n]))
    )
    found: dict[str, list[TransformAnswer]] = {}
    for name, *rest in connection.execute(chosen):
        found.setdefault(name, []).append((rest[0], rest[1], rest[2], rest[3]))
    return found


def find_lineage(
    connection: Connection,
    function: RecordedFunction,
    answers: Mapping[str, list[TransformAnswer]],
    session: ImportSession,
) -> tuple[int | None, tuple[int, str] | None]:
    """Return the response id, and id and digest of the source, that a function came from.

    Args:
        connection: A connection to the store.
        function: The function.
        answers: The answers by prompt digest, as `transform_answers` returns them.
        session: State of the import; keeps the sources by `blob_id`.

    Returns:
        Both None where no file tells them.
    """
    name = session.prompts_by_index.get(function.index) if function.index is not None else None
    code = function.sample.values["refcode"]
    for response_id, text, source_id, source in answers.get(name or "", []):
        if code in text:
            return response_id, (source_id, source) if source_id and source else None
    if function.blob_id is None:
        return None, None
    if session.sources_by_blob_id is None:
        session.sources_by_blob_id = load_sources_by_blob_id(connection)
    return None, session.sources_by_blob_id.get(function.blob_id)

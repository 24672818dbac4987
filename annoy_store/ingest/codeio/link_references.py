"""Resolve references between imported rows that came in another order, at the end of every import.

    answers without a turn         get it when the pair that they are about is in the store
    functions without a raw file   get it when a source has their blob_id, or is the one they name
    transform answers              count as parsed when a function has their reference code

Decisions
- Only unresolved rows are examined, in the store and not in the files of one command. So the order
  of files and commands does not matter, and repeating it adds nothing.
- Rows are added, never changed: a function whose source is found gets another origin, and the one
  that names only the file is ignored from then on (takedowns.py).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, exists, literal_column, select, true

from annoy_store.db.engine import Database
from annoy_store.db.sql import in_values
from annoy_store.db.tables import (
    calls,
    jobs,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    turns,
)
from annoy_store.hashing import digest
from annoy_store.ingest.codeio.conversation_rows import build_rows
from annoy_store.ingest.codeio.conversations import Conversation, read_conversation
from annoy_store.ingest.codeio.insert import insert_imported
from annoy_store.ingest.codeio.mark_done import import_variant, mark_imported_done
from annoy_store.ingest.codeio.run_inputs import OpenSandbox, run_inputs
from annoy_store.ingest.codeio.subjects import ImportSession, SubjectFinder
from annoy_store.ingest.function_links import (
    link_to_sources,
    linked_origin,
    load_sources_by_blob_id,
    loose_functions,
    named_functions,
)
from annoy_store.ingest.record_files import Location, Refusal
from annoy_store.interfaces import ShowProgress, show_nothing
from annoy_store.parsing import sections
from annoy_store.records.digests import prompt_digest

PAGE = 500


def new_session(connection: Connection) -> ImportSession:
    """Return the state of a new import."""
    anyone = connection.scalar(select(teachers.c.digest).where(teachers.c.id == 0))
    return ImportSession(import_variant(connection), str(anyone))


def link_references(
    store: Database,
    session: ImportSession,
    open_sandbox: OpenSandbox | None = None,
    progress: ShowProgress = show_nothing,
) -> Counter[str]:
    """Resolve what can be resolved.

    Args:
        store: The store.
        session: State of the import.
        open_sandbox: Returns the sandbox that runs the code of questions; None to run none.
        progress: Called while code is run.

    Returns:
        What stays unresolved: `no_pair` answers, `not_run` inputs, `no_source` functions, and
        questions without an answer by what asks them.
    """
    session.is_linking = True
    left: Counter[str] = Counter()
    if session.inputs_to_run:
        left["not_run"] = run_inputs(store, session, open_sandbox, progress)[1]
    left["no_pair"] = _link_answers(store, session)
    if session.inputs_to_run:  # of answers that an earlier import left without a pair
        made, left["not_run"] = run_inputs(store, session, open_sandbox, progress)
        left["no_pair"] = _link_answers(store, session) if made else left["no_pair"]
    with store.write() as connection:
        link_functions(connection, functions_without_answer(connection))
        _, left["no_source"] = _link_sources(connection)
        mark_imported_done(connection, import_variant(connection))
    return +(left + _unanswered(store, session))


def _unanswered(store: Database, session: ImportSession) -> Counter[str]:
    """The questions of the import that no file has answered, by what asks them."""
    left = Counter(session.unanswered.values())
    names = list(session.unanswered)
    for start in range(0, len(names), PAGE):
        page = names[start : start + PAGE]
        with store.read() as connection:
            answered = connection.scalars(
                select(prompts.c.digest)
                .join(calls, calls.c.prompt_id == prompts.c.id)
                .join(responses, responses.c.call_id == calls.c.id)
                .where(in_values(connection, prompts.c.digest, page))
                .distinct()
            )
            left.subtract(session.unanswered[name] for name in answered)
    return left


def link_ingested_sources(store: Database) -> None:
    """Link functions to their raw files only, after sources were ingested outside an import."""
    with store.write() as connection:
        _link_sources(connection)
        if connection.scalar(select(exists().where(sample_origins.c.variant_id.is_(None)))):
            mark_imported_done(connection, import_variant(connection))


# Answers without a pair ----------------------------------------------------------------------


def _link_answers(store: Database, session: ImportSession) -> int:
    """Add turns to the answers whose pair exists; return how many still lack theirs."""
    waiting, after = 0, 0
    last_prompts = sorted(session.last_prompts)
    for start in range(0, len(last_prompts), PAGE):
        page = last_prompts[start : start + PAGE]
        with store.write() as connection:
            mine = in_values(connection, prompts.c.digest, page)
            _link_page(connection, _imported_answers().where(mine), session)
    while True:
        with store.write() as connection:
            loose = _imported_answers().where(
                responses.c.id > after, ~exists().where(turns.c.prompt_id == prompts.c.id)
            )
            last, left = _link_page(connection, loose.limit(PAGE), session)
            if last is None:
                return waiting
            after, waiting = last, waiting + left


def _link_page(
    connection: Connection, chosen: Select[Any], session: ImportSession
) -> tuple[int | None, int]:
    """Add turns to some answers; return the id of the last, and how many have no pair yet."""
    rows = list(map(dict, connection.execute(chosen).mappings()))
    conversations = [each for row in rows for each in _conversations_of(row, session)]
    finder = SubjectFinder(connection, conversations, session, "")
    asked = [(each, finder.find(each)) for each in conversations if each.question]
    known = [each for each, of in asked if not isinstance(of, Refusal) and of.is_known]
    if known:
        insert_imported(connection, build_rows(connection, known, "", session).rows)
    left = {each.location for each, _ in asked} - {each.location for each in known}
    return (rows[-1]["id"] if rows else None), len(left)


def _imported_answers() -> Select[Any]:
    """The imported answers with their prompts, by id."""
    return (
        select(
            responses.c.id,
            responses.c.text,
            responses.c.reasoning,
            responses.c.finish_reason,
            prompts.c.messages,
            teachers.c.model,
        )
        .join(calls, calls.c.id == responses.c.call_id)
        .join(prompts, prompts.c.id == calls.c.prompt_id)
        .join(teachers, teachers.c.id == responses.c.teacher_id)
        .where(teachers.c.backend == "imported")
        .order_by(responses.c.id)
    )


def _conversations_of(row: Mapping[str, Any], session: ImportSession) -> list[Conversation]:
    """The conversation of a stored answer, once for each pair that files say it is about."""
    again = {**row, "messages": json.loads(row["messages"]), "output": row["text"]}
    found = read_conversation(again, Location(f"response {row['id']}"))
    if isinstance(found, Refusal):
        return []
    positions = session.positions.get(prompt_digest(found.turns[0].messages))
    if not positions:
        return [found]
    return [replace(found, row_numbers={"ioid": position}) for position in sorted(positions)]


# Functions without a raw file ----------------------------------------------------------------


def _link_sources(connection: Connection) -> tuple[int, int]:
    """Link functions to the sources that they name; return how many were linked and how many not."""
    named = named_functions(connection)
    rows = link_to_sources(connection, named, load_sources_by_blob_id(connection)) if named else []
    insert_imported(connection, rows)
    return len(rows), len(named) - len(rows)


# Transform answers without a function --------------------------------------------------------


WaitingFunctions = dict[str, list[dict[str, Any]]]
"""Imported functions without an answer, by the digest of their code."""


def functions_without_answer(connection: Connection) -> WaitingFunctions:
    """Return the imported functions whose transform answer is unknown."""
    by_code: WaitingFunctions = defaultdict(list)
    for row in loose_functions(connection, sample_origins.c.response_id, samples.c.refcode):
        by_code[_code_digest(row.pop("refcode"))].append(row)
    return by_code


def link_functions(
    connection: Connection,
    waiting: WaitingFunctions,
    after: int = 0,
    turn_ids: Sequence[int] | None = None,
) -> bool:
    """Link imported functions to the transform answer that contains their code.

    Args:
        connection: A write transaction.
        waiting: The functions; those that are linked are removed.
        after: Only answers with a higher id.
        turn_ids: Only answers to these turns; None for all.

    Returns:
        Whether any was linked.
    """
    is_used = False
    mine = true() if turn_ids is None else in_values(connection, turns.c.id, turn_ids)
    while waiting and (loose := connection.execute(_loose_transforms(after).where(mine)).all()):
        after = loose[-1].id
        rows = []
        for response_id, text, source_id, source in loose:
            found = sections.parse_sections(text)
            code = "" if isinstance(found, sections.ParseFailure) else _code_digest(found.refcode)
            for row in waiting.pop(code, []):
                about = source if row["source_id"] is None else f"{source} answered"
                columns = {"response_id": response_id, "source_id": source_id}
                rows.append(linked_origin(row, about, **columns))
        insert_imported(connection, rows)
        is_used |= bool(rows)
    return is_used


def _code_digest(code: str) -> str:
    return digest("code", code.strip())


def _loose_transforms(after: int) -> Select[Any]:
    """The next page of imported transform answers that were not parsed and have no function."""
    parsed = exists().where(
        jobs.c.stage == "parse",
        jobs.c.subject_id == responses.c.id,
        jobs.c.state.in_([literal_column("'done'"), literal_column("'rejected'")]),
    )
    return (
        select(responses.c.id, responses.c.text, turns.c.source_id, sources.c.digest)
        .join(calls, calls.c.id == responses.c.call_id)
        .join(turns, turns.c.prompt_id == calls.c.prompt_id)
        .join(sources, sources.c.id == turns.c.source_id)
        .join(teachers, teachers.c.id == responses.c.teacher_id)
        .where(turns.c.kind == "transform", teachers.c.backend == "imported", ~parsed)
        .where(~exists().where(sample_origins.c.response_id == responses.c.id))
        .where(responses.c.id > after)
        .order_by(responses.c.id)
        .limit(PAGE)
    )

"""Import the files of the CodeI/O scripts, and similar ones, with their lineage.

    find_data_files -> detect_file_kind -> order -> read_records -> one handler per family of
    kinds -> insert, in batches

Decisions
- Equal content is one row, so a file that comes twice, or whose rows came in another file before,
  adds nothing.
- An invalid row is refused with its file and line and counted by reason; the others are imported. A
  file that cannot be read to its end keeps the rows read so far, and is an error.
- No row stops an import: what its reader does not expect is refused as an `odd_row`.
- References to rows that are not in the store yet are resolved when those rows come, in any
  command.
- What the files contain counts as done: the job table gets such jobs as `done`, so no model is
  asked again; `annoy rerun STAGE` repeats them anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select

from annoy_store.db.engine import Database
from annoy_store.db.hidden import known_purged
from annoy_store.db.sql import analyse, in_values
from annoy_store.db.tables import responses, samples
from annoy_store.errors import UsageError, unknown_name
from annoy_store.ingest.codeio.conversation_rows import build_rows
from annoy_store.ingest.codeio.conversations import (
    Conversation,
    read_batch_line,
    read_chain,
    read_conversation,
)
from annoy_store.ingest.codeio.file_kinds import (
    KINDS,
    FileKind,
    ImportFile,
    kind_of,
    sorted_files,
)
from annoy_store.ingest.codeio.insert import insert_imported
from annoy_store.ingest.codeio.lineage import find_lineage, transform_answers
from annoy_store.ingest.codeio.link_references import (
    functions_without_answer,
    link_functions,
    link_references,
    new_session,
)
from annoy_store.ingest.codeio.report import COUNTED_TABLES, ImportReport, count_new, newest_ids
from annoy_store.ingest.codeio.run_inputs import OpenSandbox, run_inputs
from annoy_store.ingest.codeio.samples import RecordedFunction, function_rows, read_function
from annoy_store.ingest.codeio.subjects import ImportSession
from annoy_store.ingest.purged import find_purged, purged_refusal
from annoy_store.ingest.read_position import ReadPosition
from annoy_store.ingest.readers import raw_row
from annoy_store.ingest.record_files import MAX_EXAMPLES, Location, Refusal
from annoy_store.ingest.sources import IngestOptions, ingest_rows
from annoy_store.interfaces import NewRow, ShowProgress, show_nothing
from annoy_store.records.digests import prompt_digest

BATCH_ROWS = 500
MAX_INPUTS = 5_000  # to run that wait for the end of the import
ODD = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)
T = TypeVar("T")
ImportRows = Iterator[tuple[Location, Mapping[str, Any]]]


def import_files(
    store: Database,
    paths: Iterable[Path],
    kind: str | None = None,
    progress: ShowProgress = show_nothing,
    open_sandbox: OpenSandbox | None = None,
) -> ImportReport:
    """Import the files at `paths`; rows that are in the store already are left unchanged.

    Args:
        store: The store to write to.
        paths: Data files, or folders of them.
        kind: A key of `KINDS` to use for all files; None means detect it from each file's rows.
        progress: Called after each batch of rows with the bytes read.
        open_sandbox: Returns the sandbox that runs the code of output questions whose pair no file
            has; None to run none.

    Returns:
        Counts of rows by kind, of inserted rows by table, and of refused rows by reason.

    Raises:
        UsageError: The kind is unknown, or there is no data file at one of the paths.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(unknown_name("kind", kind, KINDS))
    done = ImportReport()
    files = sorted_files(paths, kind, done)
    with store.write() as connection:
        session = new_session(connection)
    before = newest_ids(store)
    position, total = ReadPosition(), sum(file.path.stat().st_size for file in files)
    for file in files:
        done.files[file.name] = file.kind.name

        def show(words: str = f"importing {file.name}") -> None:
            progress(words, position.n_bytes, total)

        rows = _shown(_valid_rows(file, position, done), show)
        _import_file(store, file, rows, session, done, open_sandbox)
    progress("linking references")
    done.left.update(link_references(store, session, open_sandbox, progress))
    count_new(store, before, done)
    if sum(done.new.values()):
        with store.write() as connection:
            analyse(connection, *COUNTED_TABLES)
    return done


# One file ------------------------------------------------------------------------------------


def _import_file(
    store: Database,
    file: ImportFile,
    rows: ImportRows,
    session: ImportSession,
    done: ImportReport,
    open_sandbox: OpenSandbox | None,
) -> None:
    kind = file.kind
    if kind.name == "raw":
        return _import_raw(store, file, rows, done)
    if kind.name == "batch-input":
        for _, row in rows:
            session.batch_requests[str(row["custom_id"])] = row
            done.rows[kind.name] += 1
        return None
    if kind.name == "samples":
        session.samples_by_row.append([])
    for batch in _batches(rows):
        with store.write() as connection:
            if kind.name == "samples":
                _import_functions(connection, batch, file.path.name, session, done)
            else:
                _import_conversations(connection, batch, file.path.name, kind, session, done)
        if len(session.inputs_to_run) >= MAX_INPUTS:  # bounds the memory of a large import
            done.left["not_run"] += run_inputs(store, session, open_sandbox)[1]
    return None


def _import_raw(store: Database, file: ImportFile, rows: ImportRows, done: ImportReport) -> None:
    options = IngestOptions()
    items = ((file.path.name, raw_row(*item, options.column)) for item in rows)
    report = ingest_rows(store, items, options)
    done.rows["raw"] += report.accepted
    done.known["raw"] += report.known
    done.refused.update(report.refused)
    done.errors += report.errors
    for reason, messages in report.examples.items():
        done.examples[reason] = [*done.examples.get(reason, []), *messages][:MAX_EXAMPLES]


def _shown(rows: ImportRows, show: Callable[[], None]) -> ImportRows:
    """Yield the same rows, and show how far they are read before every batch of them."""
    for n, row in enumerate(rows):
        if n % BATCH_ROWS == 0:
            show()
        yield row


def _valid_rows(file: ImportFile, position: ReadPosition, done: ImportReport) -> ImportRows:
    """Yield the rows of a file that are of its kind; refuse the others."""
    kind = file.kind
    for item in file.records(position):
        if isinstance(item, Refusal):
            done.refuse(item)
            continue
        location, row = item
        if isinstance(row, Mapping) and not kind.missing_keys(row):
            yield location, row
        else:
            done.refuse(_wrong_kind(location, row, kind))


def _wrong_kind(location: Location, row: Any, kind: FileKind) -> Refusal:
    if not isinstance(row, Mapping):
        return Refusal(
            "not_object", location, f"a row is a JSON object, this is {type(row).__name__}"
        )
    other = kind_of(row)
    similar = f"; its keys are those of {other.name}" if other else ""
    missing = ", ".join(kind.missing_keys(row))
    return Refusal(
        "wrong_kind",
        location,
        f"a row of {kind.name} needs {missing}, which this one lacks{similar}",
    )


def _read(
    read: Callable[[Mapping[str, Any], Location], T | Refusal], row: Any, location: Location
) -> T | Refusal:
    """Call a row reader; a row that raises one of the `ODD` exceptions is refused."""
    try:
        return read(row, location)
    except ODD as error:
        return Refusal("odd_row", location, f"cannot be parsed: {type(error).__name__}: {error}")


def _batches(
    items: Iterable[tuple[Location, Mapping[str, Any]]],
) -> Iterator[list[tuple[Location, Mapping[str, Any]]]]:
    batch: list[tuple[Location, Mapping[str, Any]]] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


# Functions -----------------------------------------------------------------------------------


def _import_functions(
    connection: Connection,
    batch: Sequence[tuple[Location, Mapping[str, Any]]],
    file: str,
    session: ImportSession,
    done: ImportReport,
) -> None:
    read = [_read(lambda r, p: read_function(r, p, file), row, location) for location, row in batch]
    functions = [function for function in read if isinstance(function, RecordedFunction)]
    names = [function.digest for function in functions]
    known = set(
        connection.scalars(
            select(samples.c.digest).where(in_values(connection, samples.c.digest, names))
        )
    )
    session.samples_by_row[-1] += [
        f.digest if isinstance(f, RecordedFunction) else None for f in read
    ]
    answers = transform_answers(connection, functions, session)
    codes = {function.digest: function.sample.values["refcode"] for function in functions}
    lineages = {f.location: find_lineage(connection, f, answers, session) for f in functions}
    named = [source[1] for _, source in lineages.values() if source]
    purged = find_purged(connection, "sample", codes) | known_purged(connection, "source", named)
    new_rows: list[NewRow] = []
    for function in read:
        if isinstance(function, Refusal):
            done.refuse(function)
            continue
        response_id, source = lineages[function.location]
        if function.digest in purged or (source and source[1] in purged):
            done.refuse(purged_refusal(function.location))
            functions.remove(function)
            continue
        for refusal in function.refused:
            done.refuse(refusal)
        new_rows += function_rows(function, source, response_id)
    insert_imported(connection, new_rows)
    done.rows["samples"] += len(functions)
    done.known["samples"] += sum(function.digest in known for function in functions)


# Questions and answers -----------------------------------------------------------------------


def _import_conversations(
    connection: Connection,
    batch: Sequence[tuple[Location, Mapping[str, Any]]],
    file: str,
    kind: FileKind,
    session: ImportSession,
    done: ImportReport,
) -> None:
    read = [
        _read(lambda r, p: _conversation(r, p, kind, session), row, location)
        for location, row in batch
    ]
    conversations = [
        conversation for conversation in read if isinstance(conversation, Conversation)
    ]
    built = build_rows(connection, conversations, file, session)
    for refusal in [*(b for b in read if isinstance(b, Refusal)), *built.refused]:
        done.refuse(refusal)
    newest = connection.scalar(select(func.max(responses.c.id))) or 0
    insert_imported(connection, built.rows)
    if any(conversation.kind == "transform" for conversation in conversations):
        if session.waiting_functions is None:
            session.waiting_functions = functions_without_answer(connection)
        link_functions(connection, session.waiting_functions, newest)
    for conversation in conversations:
        if (
            conversation.kind == "transform"
            and "index" in conversation.row_numbers
            and conversation.turns
        ):
            session.prompts_by_index[conversation.row_numbers["index"]] = prompt_digest(
                conversation.turns[0].messages
            )
    done.rows[kind.name] += built.new + built.known
    done.known[kind.name] += built.known
    done.left.update(built.left)


def _conversation(
    row: Mapping[str, Any], location: Location, kind: FileKind, session: ImportSession
) -> Conversation | Refusal:
    if kind.name == "chains":
        return read_chain(row, location)
    if kind.name != "batch-output":
        return read_conversation(row, location)
    asked = session.batch_requests.get(str(row["custom_id"]))
    if asked is None:
        detail = f"no request has custom_id {row['custom_id']!r}; import the batch's input file too"
        return Refusal("no_partner", location, detail)
    return read_batch_line(row, asked, location)

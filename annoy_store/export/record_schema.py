"""What a format may read, and what of it a given one does.

Decisions
- What a format needs is found by removing columns: a column is read if the format, without it,
  makes other columns or fails.
- `records` is a view over the stream; what it derives (prompt, messages, ..) is computed only if
  the format asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Column

from annoy_store.db.duckdb_session import arrow_table
from annoy_store.db.tables import (
    io_pairs,
    origins,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    verdicts,
)
from annoy_store.errors import UsageError
from annoy_store.export.format_file import Format

_CHAT = """from_json({}, '[{{"role":"VARCHAR","content":"VARCHAR"}}]')"""


@dataclass(frozen=True)
class StoredColumn:
    """A column of `records` that the store holds.

    Attributes:
        column: The column of a table of the store.
        key: The column of the plan that holds the id of the row.
    """

    column: Column[Any]
    key: str


def stored_columns(n_turns: int) -> dict[str, StoredColumn]:
    """Return the columns of `records` that are read from the store, by name.

    Args:
        n_turns: The most turns that a chain has.
    """
    named = {
        "opening": StoredColumn(prompts.c.messages, "prompt_id"),
        "conversation": StoredColumn(prompts.c.messages, "last_prompt_id"),
        "answer": StoredColumn(responses.c.text, "last_response_id"),
        "reasoning": StoredColumn(responses.c.reasoning, "last_response_id"),
        "chosen": StoredColumn(responses.c.text, "chosen_id"),
        "rejected": StoredColumn(responses.c.text, "rejected_id"),
        "checker": StoredColumn(verdicts.c.checker, "verdict_1_id"),
        "input": StoredColumn(io_pairs.c.input, "io_pair_id"),
        "output": StoredColumn(io_pairs.c.output, "io_pair_id"),
        "problem_statement": StoredColumn(samples.c.problem_statement, "sample_id"),
        "io_requirements": StoredColumn(samples.c.io_requirements, "sample_id"),
        "refcode": StoredColumn(samples.c.refcode, "sample_id"),
        "funcname": StoredColumn(samples.c.funcname, "sample_id"),
        "input_generator": StoredColumn(samples.c.input_generator, "sample_id"),
        "sample_digest": StoredColumn(samples.c.digest, "sample_id"),
        "model": StoredColumn(teachers.c.model, "teacher_id"),
        "raw_code": StoredColumn(sources.c.content, "source_id"),
        "source_digest": StoredColumn(sources.c.digest, "source_id"),
        "origin_metadata": StoredColumn(origins.c.metadata, "origin_id"),
        "sample_metadata": StoredColumn(sample_origins.c.metadata, "sample_origin_id"),
    }
    for n in range(1, n_turns + 1):
        named[f"turn_{n}"] = StoredColumn(responses.c.text, f"response_{n}_id")
        named[f"feedback_{n}"] = StoredColumn(verdicts.c.feedback, f"verdict_{n}_id")
    return named


PLAN_COLUMNS = {
    "kind": pa.string(),
    "turns": pa.int64(),
    "last_status": pa.string(),
    "finish_reason": pa.string(),
    "sample_no": pa.int64(),
    "split": pa.string(),
    "state": pa.string(),
    "origin": pa.string(),
    "repo": pa.string(),
    "path": pa.string(),
    "licence": pa.string(),
    "licences": pa.list_(pa.string()),
    "language": pa.string(),
    "lines_executed": pa.int64(),
    "pair_status": pa.string(),
    "teachers": pa.list_(pa.string()),
    "chosen_teacher": pa.string(),
    "rejected_teacher": pa.string(),
    "pass_rate": pa.float64(),
    "n_chars": pa.int64(),
    "cluster": pa.string(),
    "tags": pa.list_(pa.string()),
    "flagged": pa.bool_(),
    "position": pa.int64(),
}
PAIR_TYPE = pa.struct([("input", pa.string()), ("output", pa.string())])
# Columns that are composed of several rows: their type, and the columns of the plan that they need.
COMPOSED_COLUMNS = {
    "ios": (pa.list_(PAIR_TYPE), ("sample_id", "held")),
    "ground_truth": (pa.string(), ("prompt_id", "kind")),
}


def derived_columns(n_turns: int) -> dict[str, str]:
    """Return the computed columns of `records`, each an expression over the others.

    Args:
        n_turns: The most turns that a chain has.
    """
    opening, conversation = _CHAT.format("opening"), _CHAT.format("conversation")
    steps = ", ".join(
        f"{{'answer': turn_{n}, 'feedback': feedback_{n}}}" for n in range(1, n_turns + 1)
    )
    return {
        # Nearly every conversation opens with the user: then one step into the JSON is enough.
        "prompt": f"""CASE WHEN starts_with(opening, '[{{"role":"user","content":')
            THEN json_extract_string(opening, '$[0].content')
            ELSE list_filter({opening}, lambda m: m.role = 'user')[1].content END""",
        "system": f"list_filter({opening}, lambda m: m.role = 'system')[1].content",
        "question": opening,
        "messages": f"{conversation} || [{{'role': 'assistant', 'content': answer}}]",
        "steps": f"list_filter([{steps}], lambda s: s.answer IS NOT NULL)",
    }


def available_columns(n_turns: int) -> list[str]:
    """Return the columns of `records` that a format may name.

    Args:
        n_turns: The most turns that a chain has.
    """
    names = [*derived_columns(n_turns), *stored_columns(n_turns), *PLAN_COLUMNS, *COMPOSED_COLUMNS]
    return [name for name in names if name not in ("opening", "conversation")]


# What a format needs -------------------------------------------------------------------------


@dataclass(frozen=True)
class FormatBinding:
    """What a format reads and makes; computed once per export.

    Attributes:
        columns: The columns of the stream that it reads.
        schema: The columns that it makes.
        stored: Those of the stream that are read from tables of the store, by name.
        stream_schema: The columns of the stream; one that is not read, if it reads none.
        plan_columns: The columns of the plan from which the stream is made.
        view: The SQL that creates the view `records` over the stream.
    """

    columns: tuple[str, ...]
    schema: pa.Schema
    stored: Mapping[str, StoredColumn]
    stream_schema: pa.Schema
    plan_columns: tuple[str, ...]
    view: str


def bind_format(form: Format, n_turns: int) -> FormatBinding:
    """Bind a format to `records`, and find what it reads and makes.

    Args:
        form: The format.
        n_turns: The most turns that a chain has.

    Raises:
        UsageError: If DuckDB refuses its SQL.
    """
    try:
        return _bind(form.sql, n_turns)
    except duckdb.Error as error:
        words = str(error).splitlines()[0]
        known = ", ".join(available_columns(n_turns))
        raise UsageError(
            f"format {form.name}: {words}; the columns of records are: {known}"
        ) from error


@lru_cache(maxsize=32)
def _bind(sql: str, n_turns: int) -> FormatBinding:
    whole = _full_schema(n_turns)
    with duckdb.connect() as duck:
        schema = _output_schema(duck, sql, whole, n_turns)
        if isinstance(schema, duckdb.Error):
            raise schema
        columns = tuple(_needed(duck, sql, whole.names, schema, n_turns))
    known = stored_columns(n_turns)
    names = columns or ("state",)
    return FormatBinding(
        columns=columns,
        schema=schema,
        stored={name: known[name] for name in names if name in known},
        stream_schema=pa.schema([whole.field(name) for name in names]),
        plan_columns=_plan_columns(names, known),
        view=_records_view(names, n_turns),
    )


def _needed(
    duck: duckdb.DuckDBPyConnection, sql: str, names: list[str], schema: pa.Schema, n_turns: int
) -> list[str]:
    """Those of `names` without which the format makes another schema, by halving the list."""
    rest = [field for field in _full_schema(n_turns) if field.name not in names]
    if rest and _output_schema(duck, sql, pa.schema(rest), n_turns) == schema:
        return []
    if len(names) == 1:
        return names
    half = len(names) // 2
    parts = names[:half], names[half:]
    return [name for part in parts for name in _needed(duck, sql, part, schema, n_turns)]


def _full_schema(n_turns: int) -> pa.Schema:
    stored = [(name, pa.string()) for name in stored_columns(n_turns)]
    composed = [(name, kind) for name, (kind, _) in COMPOSED_COLUMNS.items()]
    return pa.schema([*stored, *PLAN_COLUMNS.items(), *composed])


def _output_schema(
    duck: duckdb.DuckDBPyConnection, sql: str, stream: pa.Schema, n_turns: int
) -> pa.Schema | duckdb.Error:
    """The columns that a format makes of a stream with the columns `stream`, or why it cannot."""
    duck.register("stream", stream.empty_table())
    try:
        duck.execute(_records_view(stream.names, n_turns))
        return arrow_table(duck, sql).schema
    except duckdb.Error as error:
        return error


def _records_view(names: Sequence[str], n_turns: int) -> str:
    """The view `records` over a stream with the columns `names`, and what they let derive."""
    stored = set(stored_columns(n_turns))
    derived = [
        f"{sql} AS {name}"
        for name, sql in derived_columns(n_turns).items()
        if set(re.findall(r"\w+", sql)) & stored <= set(names)
    ]
    internal = [n for n in ("opening", "conversation") if n in names]
    exclude = f" EXCLUDE ({', '.join(internal)})" if internal else ""
    columns = ", ".join([f"*{exclude}", *derived])
    return f"CREATE OR REPLACE TEMP VIEW records AS SELECT {columns} FROM stream"


def _plan_columns(names: Sequence[str], known: Mapping[str, StoredColumn]) -> tuple[str, ...]:
    """The columns of the plan from which a stream with the columns `names` is made."""
    keys: list[str] = []
    for name in names:
        if name in COMPOSED_COLUMNS:
            keys.extend(COMPOSED_COLUMNS[name][1])
        else:
            keys.append(known[name].key if name in known else name)
    return tuple(dict.fromkeys(keys))

"""What a format may read, and what of it a given one does.

Decisions
- What a format needs is found out by taking away: a column is fetched if the format, without it,
  has another shape or none.
- `records` is a view over the stream; what it derives (prompt, messages, ..) is computed only if
  the format asks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    """A column of `records` that the store holds, found by the id in the plan's column `key`."""

    column: Column[Any]
    key: str


def stored_columns(most: int) -> dict[str, StoredColumn]:
    """Return the fetched columns by name, for chains of up to `most` turns."""
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
    for n in range(1, most + 1):
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
    "pass_rate": pa.float64(),
    "n_chars": pa.int64(),
    "cluster": pa.string(),
    "position": pa.int64(),
}
PAIR_TYPE = pa.struct([("input", pa.string()), ("output", pa.string())])


def derived_columns(most: int) -> dict[str, str]:
    """Return the computed columns of `records`, each an expression over the others."""
    opening, conversation = _CHAT.format("opening"), _CHAT.format("conversation")
    steps = ", ".join(
        f"{{'answer': turn_{n}, 'feedback': feedback_{n}}}" for n in range(1, most + 1)
    )
    return {
        # Nearly every talk opens with the user, and then one step into the JSON is enough.
        "prompt": f"""CASE WHEN starts_with(opening, '[{{"role":"user","content":')
            THEN json_extract_string(opening, '$[0].content')
            ELSE list_filter({opening}, lambda m: m.role = 'user')[1].content END""",
        "system": f"list_filter({opening}, lambda m: m.role = 'system')[1].content",
        "question": opening,
        "messages": f"{conversation} || [{{'role': 'assistant', 'content': answer}}]",
        "steps": f"list_filter([{steps}], lambda s: s.answer IS NOT NULL)",
    }


# What a format needs -------------------------------------------------------------------------


@dataclass(frozen=True)
class FormatBinding:
    """What a format reads, by name, and the columns that it makes."""

    columns: tuple[str, ...]
    schema: pa.Schema
    n_turns: int


def bind_format(form: Format, most: int) -> FormatBinding:
    """Bind a format to `records` and see what it reads and makes. Raises UsageError."""
    try:
        return _shape(form.sql, most)
    except duckdb.Error as error:
        words = str(error).splitlines()[0]
        raise UsageError(
            f"format {form.name}: {words}; the columns of records are: {', '.join(available_columns(most))}"
        ) from error


def available_columns(most: int) -> list[str]:
    """The columns of `records` that a format may name."""
    names = [*derived_columns(most), *stored_columns(most), *PLAN_COLUMNS, "ios"]
    return [name for name in names if name not in ("opening", "conversation")]


@lru_cache(maxsize=32)
def _shape(sql: str, most: int) -> FormatBinding:
    with duckdb.connect() as duck:
        makes = _makes(duck, sql, full_schema(most), most)
        if isinstance(makes, duckdb.Error):
            raise makes
        needs = _needed(duck, sql, full_schema(most).names, makes, most)
        return FormatBinding(tuple(needs), makes, most)


def _needed(
    duck: duckdb.DuckDBPyConnection, sql: str, names: list[str], makes: pa.Schema, most: int
) -> list[str]:
    """Those of `names` without which the format is another, by halving what is taken away."""
    rest = [field for field in full_schema(most) if field.name not in names]
    if rest and _makes(duck, sql, pa.schema(rest), most) == makes:
        return []
    if len(names) == 1:
        return names
    half = len(names) // 2
    parts = names[:half], names[half:]
    return [name for part in parts for name in _needed(duck, sql, part, makes, most)]


def full_schema(most: int) -> pa.Schema:
    fetched = [(name, pa.string()) for name in stored_columns(most)]
    return pa.schema([*fetched, *PLAN_COLUMNS.items(), ("ios", pa.list_(PAIR_TYPE))])


def _makes(
    duck: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema, most: int
) -> pa.Schema | duckdb.Error:
    """The columns that the format makes of a stream with `schema`, or why it cannot."""
    duck.register("stream", schema.empty_table())
    try:
        duck.execute(records_view(schema.names, most))
        return arrow_table(duck, sql).schema
    except duckdb.Error as error:
        return error


def records_view(names: Sequence[str], most: int) -> str:
    """The view `records` over a stream with columns `names`: what can be derived is."""
    fetched = set(stored_columns(most))
    able = [
        f"{sql} AS {name}"
        for name, sql in derived_columns(most).items()
        if set(re.findall(r"\w+", sql)) & fetched <= set(names)
    ]
    hidden = [n for n in ("opening", "conversation") if n in names]
    exclude = f" EXCLUDE ({', '.join(hidden)})" if hidden else ""
    columns = ", ".join([f"*{exclude}", *able])
    return f"CREATE OR REPLACE TEMP VIEW records AS SELECT {columns} FROM stream"


def stream_schema(shape: FormatBinding) -> pa.Schema:
    """The columns of the stream that a shape needs; one more when it needs none."""
    names = shape.columns or ("state",)
    whole = full_schema(shape.n_turns)
    return pa.schema([whole.field(name) for name in names])


def plan_columns(shape: FormatBinding) -> list[str]:
    """The columns of the plan from which that stream is made."""
    known = stored_columns(shape.n_turns)
    names = [known[n].key if n in known else n for n in stream_schema(shape).names]
    if "ios" in names:
        names = [*(name for name in names if name != "ios"), "sample_id", "held"]
    return list(dict.fromkeys(names))

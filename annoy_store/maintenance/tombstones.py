"""What is left of a row whose texts were purged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table

from annoy_store.db.tables import (
    annotation_log,
    attempts,
    executions,
    io_pairs,
    origins,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    verdicts,
)
from annoy_store.hashing import canonical_json
from annoy_store.ingest.function_links import BLOB_ID

BLANK: dict[Table, Mapping[str, Any]] = {
    sources: {"content": ""},
    origins: {"metadata": "{}"},
    samples: {
        "problem_statement": "",
        "io_requirements": "",
        "refcode": "",
        "input_generator": None,
    },
    sample_origins: {"metadata": None},
    io_pairs: {"input": "null", "output": "null"},
    prompts: {"messages": "[]"},
    responses: {"text": "", "reasoning": None},
    verdicts: {"predicted": None, "got": None, "feedback": ""},
    executions: {"error_message": None, "draws": None},
    attempts: {"error_message": None, "text": "", "reasoning": None},
    annotation_log: {"value": ""},
}
"""What the columns that hold texts are set to, by table; a null stays null."""


def blank_row(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without its texts.

    Args:
        table: A key of `BLANK`.
        row: All columns of the row.
    """
    blank = {name: value for name, value in BLANK[table].items() if row[name] is not None}
    if table is origins:
        blank["metadata"] = blank_metadata(row["metadata"])
    return {**row, **blank}


def blank_metadata(metadata: str) -> str:
    """Return what stays of an origin's metadata: by what imported functions name their raw file."""
    found = json.loads(metadata)
    return canonical_json({BLOB_ID: found[BLOB_ID]}) if BLOB_ID in found else "{}"


def is_blank(table: Table, row: Mapping[str, Any]) -> bool:
    """Return whether a row holds none of its texts; arguments as of `blank_row`."""
    return blank_row(table, row) == row

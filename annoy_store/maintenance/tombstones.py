"""What is left of a row whose texts were purged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table

from annoy_store.db.tables import (
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
}
"""What the columns that hold texts are set to, by table; a null stays null."""


def is_blank(table: Table, row: Mapping[str, Any]) -> bool:
    """Return whether a row holds none of its texts.

    Args:
        table: A key of `BLANK`.
        row: All columns of the row.
    """
    return all(row[name] in (None, value) for name, value in BLANK[table].items())

"""The shapes of a training record: one `.sql` file each, bundled in `formats/` or the user's own.

A format is one DuckDB SELECT over `records`. Its leading comment lines say what it is:

    -- Question and answers side by side.        help, in one line
    -- record: chain                             what one line of output stands for
    -- only: all                                 which answers are wanted unless told otherwise
    -- trainer: {"columns": {..}}                its entry in LLaMA-Factory's dataset_info.json

`record` is `chain` (a first answer with its revisions), `prompt` (one chain per prompt),
`preference` (a wrong first answer with a right one to the same question) or `sample`.
A column of `records` is fetched from the store only if the format is not the same without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from annoy_store.errors import UsageError

FOLDER = Path(__file__).with_name("formats")
RECORD_KINDS = ("chain", "prompt", "preference", "sample")
ANSWER_FILTERS = ("correct", "revised", "all")
_DIRECTIVE = re.compile(r"(record|only|trainer): *(.+)")


@dataclass(frozen=True)
class Format:
    """One shape: its SELECT, and what its comment says of it."""

    name: str
    help: str
    sql: str
    record: str = "chain"
    only: str = "correct"
    trainer: Mapping[str, Any] = field(default_factory=dict)


def bundled_formats() -> list[str]:
    """Return the names of the formats that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def load_format(name: str) -> Format:
    """Return a bundled format by name, or the user's own by the path of its `.sql` file.

    Raises UsageError when there is none, or its comment does not hold what it must.
    """
    own = Path(name)
    path = own if own.suffix == ".sql" else FOLDER / f"{name}.sql"
    if own.suffix != ".sql" and name not in bundled_formats():
        raise UsageError(
            f"unknown format {name!r}; known are: {', '.join(bundled_formats())}, or the path of a .sql file"
        )
    try:
        return parse_format(path.stem, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the format {path}: {error}") from error


def parse_format(name: str, sql: str) -> Format:
    """Return the format that `sql` with its leading comment describes. Raises UsageError."""
    body = sql.strip().rstrip(";").rstrip()
    told = [line.strip() for line in body.split("\n")]
    comments = list(takewhile(lambda line: not line or line.startswith("--"), told))
    lines = [line.removeprefix("--").strip() for line in comments]
    found = [match for line in lines if (match := _DIRECTIVE.fullmatch(line))]
    words = " ".join(line for line in lines if line and not _DIRECTIVE.fullmatch(line))
    given = {match[1]: match[2] for match in found}
    record = _one_of(name, "record", given.get("record", "chain"), RECORD_KINDS)
    only = _one_of(name, "only", given.get("only", "correct"), ANSWER_FILTERS)
    if len(comments) == len(told):
        raise UsageError(f"format {name} is empty; it must be one SELECT over `records`")
    return Format(name, words, body, record, only, _trainer(name, given.get("trainer", "{}")))


def _one_of(name: str, key: str, value: str, allowed: tuple[str, ...]) -> str:
    if value in allowed:
        return value
    raise UsageError(f"format {name}: {key} is {value!r}, but must be one of {', '.join(allowed)}")


def _trainer(name: str, text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise UsageError(f"format {name}: trainer is not a JSON object: {error}") from error

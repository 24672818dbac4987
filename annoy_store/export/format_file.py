"""The formats of training records: one `.sql` file each, bundled in `formats/` or the user's own.

A format is one DuckDB SELECT over `records`. Its leading comment lines describe it:

    -- Question and answers side by side.        help, in one line
    -- record: chain                             what one line of output stands for
    -- only: all                                 which answers are exported by default
    -- trainer: {"columns": {..}}                its entry in LLaMA-Factory's dataset_info.json
    -- files: jsonl                              the only container that can hold it
    -- beside: reward.py                         a bundled file that is written beside the data

`record` is `chain` (a first answer with its revisions), `prompt` (one chain per prompt),
`preference` (a wrong answer with a correct one to the same messages) or `sample`.
A column of `records` is read from the store only if the format is not the same without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from annoy_store.errors import UsageError, unknown_name

FOLDER = Path(__file__).with_name("formats")
RECORD_KINDS = ("chain", "prompt", "preference", "sample")
ANSWER_FILTERS = ("correct", "revised", "all")
CONTAINERS = ("", "jsonl", "parquet")
BESIDE = ("", "reward.py")
_DIRECTIVE = re.compile(r"(record|only|trainer|files|beside): *(.+)")


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: Its name: that of the file, without `.sql`.
        help: What it is, in one line.
        sql: Its SELECT, with the leading comment.
        record: What a record is, one of `RECORD_KINDS`.
        only: Which answers are exported by default, one of `ANSWER_FILTERS`.
        trainer: Its entry in LLaMA-Factory's dataset_info.json; empty if it has none.
        files: The only container that can hold it; empty if any can. A format for JSON lines only
            has values whose type differs between records, which no table with columns can hold.
        beside: The bundled file that is written beside the data, if any.
    """

    name: str
    help: str
    sql: str
    record: str = "chain"
    only: str = "correct"
    trainer: Mapping[str, Any] = field(default_factory=dict)
    files: str = ""
    beside: str = ""


def bundled_formats() -> list[str]:
    """Return the names of the formats that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def load_format(name: str) -> Format:
    """Return a bundled format, or one of the user's own.

    Args:
        name: Name of a bundled format, or the path of a `.sql` file.

    Raises:
        UsageError: If there is none, or its comment is not valid.
    """
    own = Path(name)
    path = own if own.suffix == ".sql" else FOLDER / f"{name}.sql"
    if own.suffix != ".sql" and name not in bundled_formats():
        known = unknown_name("format", name, bundled_formats())
        raise UsageError(f"{known}, or the path of a .sql file")
    try:
        return parse_format(path.stem, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the format {path}: {error}") from error


def parse_format(name: str, sql: str) -> Format:
    """Return the format that a text describes.

    Args:
        name: Name of the format.
        sql: The content of its file.

    Raises:
        UsageError: If it holds no SELECT, or its leading comment is not valid.
    """
    body = sql.strip().rstrip(";").rstrip()
    stripped = [line.strip() for line in body.split("\n")]
    comments = list(takewhile(lambda line: not line or line.startswith("--"), stripped))
    lines = [line.removeprefix("--").strip() for line in comments]
    found = [match for line in lines if (match := _DIRECTIVE.fullmatch(line))]
    text = " ".join(line for line in lines if line and not _DIRECTIVE.fullmatch(line))
    given = {match[1]: match[2] for match in found}
    record = _one_of(name, "record", given.get("record", "chain"), RECORD_KINDS)
    only = _one_of(name, "only", given.get("only", "correct"), ANSWER_FILTERS)
    files = _one_of(name, "files", given.get("files", ""), CONTAINERS)
    if len(comments) == len(stripped):
        raise UsageError(f"format {name} is empty; it must be one SELECT over `records`")
    trainer = _trainer(name, given.get("trainer", "{}"))
    beside = _one_of(name, "beside", given.get("beside", ""), BESIDE)
    return Format(name, text, body, record, only, trainer, files, beside)


def _one_of(name: str, key: str, value: str, allowed: tuple[str, ...]) -> str:
    if value in allowed:
        return value
    raise UsageError(f"format {name}: {unknown_name(key, value, filter(None, allowed))}")


def _trainer(name: str, text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise UsageError(f"format {name}: trainer is not a JSON object: {error}") from error

"""What tests start from: rows with their parents, written as the stages write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import io_pairs, origins, sources
from annoy_store.hashing import compact_json, digest
from annoy_store.interfaces import NewRow
from annoy_store.prompts.template import load_template
from annoy_store.records.prompts import new_calls, new_prompt, new_turn
from annoy_store.records.responses import new_response
from annoy_store.records.samples import new_origin, new_sample

NOW = "2026-01-01T00:00:00.000Z"
DOUBLE = "def main_solution(x):\n    return x * 2\n"
GENERATOR = "import random\n\n\ndef input_generator():\n    return {'x': random.randint(0, 99)}\n"


def source(content: str = "print(1)\n", **columns: Any) -> NewRow:
    values = {"digest": digest("source", "python", content), "language": "python"}
    values |= {"n_chars": len(content), "created_at": NOW, "content": content}
    return NewRow(sources, values | columns)


def origin(
    of: NewRow, repo: str = "team/tools", path: str = "a.py", licence: str = "mit"
) -> NewRow:
    where = {"origin": "test", "repo": repo, "path": path, "licence": licence, "metadata": "{}"}
    named = digest("origin", of.values["digest"], *where.values())
    return NewRow(origins, {"digest": named, "source_id": of, **where})


def sample(
    refcode: str = DOUBLE, generator: str | None = GENERATOR, problem: str = "What?"
) -> NewRow:
    return new_sample(refcode, "main_solution", problem, "Input: x. Output: int.", generator)


def io_pair(of: NewRow, given: Any, output: Any, position: int = 0) -> NewRow:
    values = {"sample_id": of, "position": position, "input_digest": digest("input", given)}
    values |= {"seed": None, "execution_id": None}
    return NewRow(io_pairs, values | {"input": compact_json(given), "output": compact_json(output)})


def asked(
    content: str = "question", kind: str = "transform", about: str = "x", **subject: Any
) -> list[NewRow]:
    """A prompt's turn and call."""
    if "io_pair_id" in subject and "sample_id" not in subject:
        subject = {"sample_id": subject["io_pair_id"].values["sample_id"]} | subject
    words = new_prompt([{"role": "user", "content": content}], load_template("transform"))
    return [new_turn(words, kind, 1, about, **subject), *new_calls(words, 1)]


def response(call: NewRow, text: str, teacher_id: int = 0, finish_reason: str = "stop") -> NewRow:
    return new_response(call, teacher_id, text, finish_reason=finish_reason, created_at=NOW)


def write_all(connection: Connection, rows: Sequence[NewRow]) -> dict[str, list[int]]:
    return insert_rows(connection, rows)


__all__ = ["asked", "io_pair", "new_origin", "origin", "response", "sample", "source", "write_all"]

"""What tests start from: rows with their parents, written as the stages write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from annoy_store.db.insert import write
from annoy_store.db.tables import io_pairs, origins, responses, sources
from annoy_store.hashing import compact, digest
from annoy_store.interfaces import New
from annoy_store.prompts.template import load
from annoy_store.records.prompts import planned_calls, prompt, turn
from annoy_store.records.samples import new_origin, new_sample

NOW = "2026-01-01T00:00:00.000Z"
DOUBLE = "def main_solution(x):\n    return x * 2\n"
GENERATOR = "import random\n\n\ndef input_generator():\n    return {'x': random.randint(0, 99)}\n"


def source(content: str = "print(1)\n", **columns: Any) -> New:
    values = {"digest": digest("source", "python", content), "language": "python"}
    values |= {"n_chars": len(content), "created_at": NOW, "content": content}
    return New(sources, values | columns)


def origin(of: New, repo: str = "team/tools", path: str = "a.py", licence: str = "mit") -> New:
    where = {"origin": "test", "repo": repo, "path": path, "licence": licence, "metadata": "{}"}
    named = digest("origin", of.values["digest"], *where.values())
    return New(origins, {"digest": named, "source_id": of, **where})


def sample(refcode: str = DOUBLE, generator: str | None = GENERATOR, problem: str = "What?") -> New:
    return new_sample(refcode, "main_solution", problem, "Input: x. Output: int.", generator)


def io_pair(of: New, given: Any, output: Any, position: int = 0) -> New:
    values = {"sample_id": of, "position": position, "input_digest": digest("input", given)}
    values |= {"seed": None, "execution_id": None}
    return New(io_pairs, values | {"input": compact(given), "output": compact(output)})


def asked(
    content: str = "question", kind: str = "transform", about: str = "x", **subject: Any
) -> list[New]:
    """A prompt's turn and call."""
    words = prompt([{"role": "user", "content": content}], load("transform"))
    return [turn(words, kind, 1, about, **subject), *planned_calls(words, 1)]


def response(call: New, text: str, teacher_id: int = 0, finish_reason: str = "stop") -> New:
    values = {"call_id": call, "teacher_id": teacher_id, "finish_reason": finish_reason}
    values |= {"n_chars": len(text), "created_at": NOW, "text": text, "reasoning": None}
    return New(responses, values)


def write_all(connection: Connection, rows: Sequence[New]) -> dict[str, list[int]]:
    return write(connection, rows)


__all__ = ["asked", "io_pair", "new_origin", "origin", "response", "sample", "source", "write_all"]

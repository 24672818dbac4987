"""Rows of the scripts' files, in words of our own, and the store they are taken into."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annoy_store.db.engine import Database
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.ingest.codeio.report import ImportReport
from annoy_store.prompts.template import load_template
from tests.support.factories import DOUBLE, GENERATOR

PROBLEM = "A shop doubles its `x`.\n\nWhat does it get?"
IO = "Input:\n  `x` (int): a number\n\nOutput:\n  `return` (int): twice as much"
TRIPLE = "def main_solution(x):\n    return x * 3"
RAW = "def twice(x):\n    return x + x\n"
SECTIONS = f"## Main Function\n```python\n{DOUBLE}```\n## Input Output Description\n{IO}\n"
SECTIONS += f"## Input Generator\n```python\n{GENERATOR}```\n## Problem Statement\n{PROBLEM}"


def function(code: str = DOUBLE, ios: Sequence[Any] | None = None, **more: Any) -> dict[str, Any]:
    pairs = [{"input": {"x": n}, "output": n * 2} for n in (1, 2, 3)]
    row = {"problem_description": PROBLEM, "io_requirements": IO, "refcode": code}
    return row | {"funcname": "main_solution", "ios": pairs if ios is None else ios, **more}


def script_prompt(given: str, value: object, code: str = DOUBLE) -> str:
    """A question in the layout of the scripts, in words of our own."""
    wanted = "output" if given == "input" else "input"
    return "\n\n".join(
        [
            "Here is a question:",
            PROBLEM,
            "Its requirements are these:",
            IO,
            f"Given the {given}:",
            f"{value}",
            f'Answer like {{"{wanted}": ..}} please.',
            "A tip.",
            code,
        ]
    )


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def predicted(io: str, ioid: int, value: object, output: str | None, **more: Any) -> dict[str, Any]:
    given = "input" if io == "o" else "output"
    row = {"messages": [user(script_prompt(given, value))], "itemid": 0, "ioid": ioid}
    row |= {"io_pred": io, "index": ioid}
    return row | ({"output": output, "model": "m1"} if output is not None else {}) | more


def transformed(raw: str = RAW, index: int = 0, output: str = SECTIONS) -> dict[str, Any]:
    asked = [user(f"Rewrite it.\n[Code Start]\n{raw}\n[Code End]")]
    return {"messages": asked, "index": index, "output": output, "model": "m1", "reasoning": None}


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def take(store: Database, *paths: Path, kind: str | None = None) -> ImportReport:
    return import_files(store, paths, kind)


def ask(store: Database, query: str) -> list[tuple[Any, ...]]:
    with store.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def everything(tmp_path: Path) -> Path:
    """One file of each kind, named so that their order is wrong."""
    folder = tmp_path / "data"
    folder.mkdir()
    asked_raw = [user(f"Rewrite it.\n[Code Start]\n{RAW}\n[Code End]")]
    right, wrong = 'So {"output": 2}', 'So {"output": 9}'
    correct = {"status": "success", "message": "Correct output!"}
    mismatch = {"status": "failed", "message": "[Mismatch] It is wrong!"}
    first = predicted("o", 1, {"x": 2}, wrong, res=mismatch)
    talk = [*first["messages"], says(wrong), user("[Mismatch] It is wrong!\n\nRedo it.")]
    lines(folder / "z_raw.jsonl", [{"content": RAW, "repo_name": "team/shop", "path": "a.py"}])
    lines(
        folder / "y_unified.jsonl",
        [{"messages": asked_raw, "index": 0, "output": SECTIONS, "model": "m1", "reasoning": None}],
    )
    lines(folder / "x_parsed.jsonl", [function(code=DOUBLE.strip(), meta={"msgidx": 0})])
    strip = {"code": DOUBLE.strip()}
    for row in (first,):
        row["messages"] = [user(script_prompt("input", {"x": 2}, **strip))]
    talk[0] = first["messages"][0]
    good = predicted("o", 0, {"x": 1}, right, res=correct)
    good["messages"] = [user(script_prompt("input", {"x": 1}, **strip))]
    back = predicted("i", 0, 2, 'It is {"input": {"x": 1}}', res=correct)
    back["messages"] = [user(script_prompt("output", 2, **strip))]
    lines(folder / "c_verified.jsonl", [first, good, back])
    second = 'Now {"output": 4}'
    rev = {**first, "messages": talk, "output": second, "original_id": 0, "res": correct}
    lines(folder / "b_rev_verified.jsonl", [rev])
    lines(
        folder / "a_final.jsonl",
        [
            {
                "prompt": talk[0]["content"],
                "turn_1": wrong,
                "feedback_1": talk[2]["content"],
                "turn_2": second,
                "feedback_2": "Correct output!",
            },
            {
                "prompt": good["messages"][0]["content"],
                "turn_1": right,
                "feedback_1": "Success",
                "turn_2": None,
                "feedback_2": None,
            },
        ],
    )
    lines(
        folder / "batch_in.jsonl",
        [
            {
                "custom_id": "q1",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "m2", "messages": [user(script_prompt("output", 4, **strip))]},
            },
        ],
    )
    body = {
        "model": "m2-2025",
        "choices": [{"message": says('{"input": {"x": 2}}'), "finish_reason": "length"}],
    }
    lines(
        folder / "batch_out.jsonl",
        [{"id": "b", "custom_id": "q1", "response": {"status_code": 200, "body": body}}],
    )
    ours = load_template("predict_output").render(
        problem=PROBLEM, io=IO, code=DOUBLE.strip(), input='{"x":3}'
    )
    lines(folder / "chat.jsonl", [{"messages": [*ours, says('{"output": 6}')]}])
    return folder

"""Invalid rows are refused with location and reason, and the others are imported."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from tests.support.codeio_rows import (
    ask,
    function,
    lines,
    predicted,
    says,
    script_prompt,
    take,
    transformed,
    user,
)

pytestmark = pytest.mark.slow_on("postgres")

ASKED = {"custom_id": "q", "body": {"messages": [user(script_prompt("input", {"x": 1}))]}}
BODY = {"model": "m", "choices": [{"message": says('{"output": 2}'), "finish_reason": "stop"}]}
ANSWER = {"custom_id": "q", "response": {"body": BODY}, "error": None}


@pytest.mark.parametrize(
    ("response", "word", "told"),
    [
        ("upstream timeout", "no_answer", "upstream timeout"),
        ([1], "no_answer", "no answer in it"),
        ({"body": "gone"}, "no_answer", "no answer in it"),
        ({"body": {"choices": {"a": 1}}}, "no_answer", "no answer in it"),
        ({"body": {"choices": ["text"]}}, "no_answer", "no answer in it"),
        ({"body": {"choices": [{"message": "text"}]}}, "no_answer", "no answer in it"),
        ({"body": {"error": {"code": 500}}}, "no_answer", "500"),
    ],
)
def test_read_batch_line_refuses_invalid_answers_and_goes_on(
    sqlite_store: Database, tmp_path: Path, response: Any, word: str, told: str
) -> None:
    questions = lines(tmp_path / "in.jsonl", [ASKED, {"custom_id": "b", "body": [1]}])
    answers = [{"custom_id": "q", "response": response}, {**ANSWER, "custom_id": "b"}, ANSWER]
    done = take(sqlite_store, questions, lines(tmp_path / "out.jsonl", answers))
    assert done.refused == {word: 1, "bad_messages": 1}
    assert done.examples[word][0].startswith("out.jsonl line 1: q: ")
    assert told in done.examples[word][0]
    assert done.rows["batch-output"] == 1


@pytest.mark.parametrize("odd", ["\0", "\ud800", "a\0\udfffb"])
def test_import_replaces_nul_and_lone_surrogates_in_every_column(
    store: Database, tmp_path: Path, odd: str
) -> None:
    answered = predicted("o", 0, {"x": 1}, odd, reasoning=odd, finish_reason=odd)
    answered |= {"model": f"m{odd}", "res": {"status": "failed", "message": odd}}
    named = function(funcname=f"f{odd}", input_generator=odd, source=odd, meta={"blob_id": odd})
    other = function(f"{named['refcode']}\n# {odd}")
    raw = {"content": f"x = '{odd}'", "repo_name": odd, "path": odd, "more": odd}
    talk = {"messages": [{"role": f"user{odd}", "content": odd}, user(odd), says(odd)]}
    done = take(
        store,
        lines(tmp_path / "a.jsonl", [named, other]),
        lines(tmp_path / "b.jsonl", [answered]),
        lines(tmp_path / "c.jsonl", [raw]),
        lines(tmp_path / "d.jsonl", [transformed(output=odd, raw=odd)]),
        lines(tmp_path / "e.jsonl", [{"prompt": odd, "turn_1": odd, "feedback_1": odd}]),
        lines(tmp_path / "f.jsonl", [talk]),
    )
    assert not done.refused
    assert done.accepted == 7
    assert done.new["responses"] == 4
    found = ask(store, "SELECT funcname FROM samples WHERE funcname <> 'main_solution'")
    clean = odd.translate(dict.fromkeys((0, 0xD800, 0xDFFF), "\ufffd"))
    assert found == [(f"f{clean}",)] * len(found) != []
    again = take(store, lines(tmp_path / "b.jsonl", [answered]))
    assert not any(again.new.values())


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ["a"], "turn_1": "x"},
        {"prompt": {"a": 1}, "turn_1": "x"},
        {"prompt": "a", "turn_1": "x", "feedback_1": 3},
        {"prompt": "a", "turn_1": "x", "feedback_1": "no", "turn_2": ["y"]},
        {"prompt": "a", "turn_1": 1},
    ],
)
def test_read_chain_refuses_values_that_are_not_text(
    sqlite_store: Database, tmp_path: Path, row: dict[str, Any]
) -> None:
    good = {"prompt": "a", "turn_1": "x", "feedback_1": None, "turn_2": None}
    done = take(sqlite_store, lines(tmp_path / "final.jsonl", [row, good]))
    assert done.refused == {"not_text": 1}
    assert done.examples["not_text"][0].startswith("final.jsonl line 1: ")
    assert ask(sqlite_store, "SELECT count(*) FROM prompts") == [(1,)]


# Whatever else -------------------------------------------------------------------------------

STRANGE: list[Any] = [
    None,
    True,
    0,
    -1,
    10**30,
    1e308,
    "",
    "\0",
    "\ud800",
    "x" * 3000,
    [],
    [1],
    [[]],
    {},
    {"a": None},
    [{"role": 1}],
    [{"role": "user", "content": [{"text": 1}]}],
    "{",
    json.loads("[" * 90 + "]" * 90),
    {"body": {}},
    {"messages": []},
    [{"input": {"x": 1}, "output": [[1]]}],
    "9" * 5000,
]


def _odd(row: Any, chance: random.Random) -> Any:
    """The row with one or more of its values, at any depth, replaced by unusual ones."""
    if chance.random() < 0.12 or not isinstance(row, dict | list):
        return chance.choice(STRANGE)
    copy: Any = dict(row) if isinstance(row, dict) else list(row)
    keys = list(copy) if isinstance(copy, dict) else list(range(len(copy)))
    for key in chance.sample(keys, min(len(keys), chance.randint(1, 2))):
        copy[key] = _odd(copy[key], chance)
    return copy


@pytest.mark.parametrize("seed", range(4))
def test_import_survives_any_row(store: Database, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    rows: dict[str, dict[str, Any]] = {
        "raw": {"content": "x = 1", "repo_name": "r", "path": "p", "score": 2.5},
        "transform": transformed(),
        "samples": function(meta={"msgidx": 0, "blob_id": "b"}),
        "predictions": predicted("o", 0, {"x": 1}, "a", res={"status": "success", "message": "m"}),
        "revisions": {
            "messages": [user("q"), says("a"), user("no")],
            "original_id": 0,
            "output": "b",
        },
        "chains": {"prompt": "q", "turn_1": "a", "feedback_1": "f", "turn_2": "b"},
        "batch-input": ASKED,
        "batch-output": ANSWER,
        "messages": {"messages": [user("q"), says("a")]},
    }
    files, given = [], 0
    for kind, row in rows.items():
        odd = [r for r in (_odd(row, chance) for _ in range(60)) if isinstance(r, dict)]
        files.append(lines(tmp_path / f"{kind}.jsonl", [row, *odd]))
        given += 1 + len(odd)
    done = take(store, *files)
    assert done.files == {path.name: path.stem for path in files}
    assert set(done.rows) == set(rows)
    assert done.accepted + sum(done.refused.values()) >= given
    json.dumps(done.examples).encode()
    assert "odd_row" not in done.refused, done.examples["odd_row"]

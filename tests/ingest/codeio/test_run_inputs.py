"""Output questions become pairs by running their code, without a right answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.ingest.codeio.report import ImportReport
from annoy_store.interfaces import Sandbox
from annoy_store.sandbox import open_sandbox
from tests.support.codeio_rows import ask, function, lines, predicted, script_prompt

FAILS = "def main_solution(x):\n    return 1 / (x - 2)\n"
PAIRS = "SELECT position, input, output FROM io_pairs ORDER BY position"
TURNS = "SELECT kind, COUNT(*) FROM turns WHERE io_pair_id IS NOT NULL GROUP BY 1 ORDER BY 1"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(slots=1) as opened:
        yield opened


@pytest.fixture
def take(sqlite_store: Database, sandbox: Sandbox) -> Callable[..., ImportReport]:
    def taken(*paths: Path) -> ImportReport:
        return import_files(sqlite_store, paths, open_sandbox=lambda: sandbox)

    return taken


def answer(output: object) -> str:
    return json.dumps({"output": output})


def chain(io: str, value: object, given: str, feedback: str) -> dict[str, str | None]:
    prompt = script_prompt("input" if io == "o" else "output", value)
    return {"prompt": prompt, "turn_1": given, "feedback_1": feedback, "turn_2": None}


def test_run_inputs_makes_pairs_of_wrong_answers(take, sqlite_store: Database) -> None:
    rows = [
        predicted("o", 0, {"x": 4}, answer(9), res={"status": "failed", "message": ""}),
        predicted("i", 0, 8, '{"input": {"x": 5}}', res={"status": "failed", "message": ""}),
        predicted("o", 1, {"x": 6}, answer(12), res={"status": "success", "message": ""}),
    ]
    report = take(lines(Path("gens.jsonl"), rows))
    assert report.left == {}
    assert ask(sqlite_store, PAIRS) == [(0, '{"x":4}', "8"), (1, '{"x":6}', "12")]
    assert ask(sqlite_store, TURNS) == [("predict_input", 1), ("predict_output", 2)]


def test_run_inputs_of_the_published_form(take, sqlite_store: Database) -> None:
    rows = [
        chain("o", {"x": 4}, answer(9), "[Mismatch] no"),
        chain("i", 8, '{"input": {"x": 5}}', "[Mismatch] no"),
    ]
    assert take(lines(Path("final.jsonl"), rows)).left == {}
    assert ask(sqlite_store, TURNS) == [("predict_input", 1), ("predict_output", 1)]
    assert take(Path("final.jsonl")).new["io_pairs"] == 0


def test_run_inputs_of_questions_without_answers(take, sqlite_store: Database) -> None:
    path = lines(Path("msg.jsonl"), [predicted("o", 3, {"x": 4}, None)])
    assert take(path).left == {"predict": 1}
    assert ask(sqlite_store, PAIRS) == [(3, '{"x":4}', "8")]


def test_run_inputs_leaves_answers_whose_code_fails(take, sqlite_store: Database) -> None:
    failed = {"status": "failed", "message": ""}
    rows = []
    for ioid, x in enumerate((2, 4)):
        row = predicted("o", ioid, {"x": x}, answer(9), res=failed)
        row["messages"][0]["content"] = script_prompt("input", {"x": x}, FAILS)
        rows.append(row)
    assert take(lines(Path("gens.jsonl"), rows)).left == {"no_pair": 1}
    assert ask(sqlite_store, PAIRS) == [(1, '{"x":4}', "0.5")]


def test_run_inputs_prefers_the_code_to_an_answer_within_the_tolerance(
    take, sqlite_store: Database
) -> None:
    right = {"status": "success", "message": ""}
    row = predicted("o", 0, {"x": 18.8746}, answer(37.75), res=right)
    take(lines(Path("gens.jsonl"), [row]))
    assert ask(sqlite_store, PAIRS) == [(0, '{"x":18.8746}', "37.7492")]


def test_run_inputs_does_not_run_known_pairs(sqlite_store: Database) -> None:
    def fails() -> Sandbox:
        raise AssertionError("no code had to be run")

    rows = [predicted("o", 0, {"x": 1}, answer(9)), predicted("o", 1, {"x": 2}, answer(4))]
    paths = [lines(Path("f.jsonl"), [function()]), lines(Path("g.jsonl"), rows)]
    assert import_files(sqlite_store, paths, open_sandbox=fails).left["no_pair"] == 0


def test_run_inputs_without_a_sandbox_is_made_up_for_later(take, sqlite_store: Database) -> None:
    def none_works() -> Sandbox:
        raise UsageError("no level works")

    failed = {"status": "failed", "message": ""}
    path = lines(Path("g.jsonl"), [predicted("o", 0, {"x": 4}, answer(9), res=failed)])
    report = import_files(sqlite_store, [path], open_sandbox=none_works)
    assert report.left == {"no_pair": 1, "not_run": 1}
    assert import_files(sqlite_store, [path]).left == {"no_pair": 1}
    assert take(path).left == {}
    assert ask(sqlite_store, TURNS) == [("predict_output", 1)]

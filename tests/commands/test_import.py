"""`annoy import` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands.conftest import Annoy

FUNCTION = {
    "problem_description": "What is twice `x`?",
    "io_requirements": "Input: x. Output: int.",
    "refcode": "def main_solution(x):\n    return 2 * x",
    "funcname": "main_solution",
    "ios": [{"input": {"x": 1}, "output": 2}, {"input": {"x": float("inf")}, "output": 0}],
}


def test_says_what_came_and_makes_the_store(annoy: Annoy, tmp_path: Path) -> None:
    Path("parsed.jsonl").write_text(json.dumps(FUNCTION) + "\n{]\n")
    result = annoy("import", "parsed.jsonl")
    assert result.exit_code == 0
    assert "parsed.jsonl: samples" in result.stdout
    assert "1 rows new, 0 known, 2 refused" in result.stdout
    assert "1 samples, 1 io pairs" in result.stdout
    assert "refused 1 as broken_json, e.g. parsed.jsonl line 2" in result.stderr
    assert "annoy run" in result.stderr
    again = annoy("import", "parsed.jsonl")
    assert "0 rows new, 1 known" in again.stdout
    assert "added to the store: nothing" in again.stdout


def test_json_has_every_count(annoy: Annoy) -> None:
    Path("d").mkdir()
    Path("d/parsed.jsonl").write_text(json.dumps(FUNCTION))
    Path("d/notes.json").write_text('{"a": 1}')
    result = annoy("import", "d", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert told["files"] == {"parsed.jsonl": "samples"}
    assert told["new"]["io_pairs"] == 1
    assert told["refused"] == {"unknown_kind": 1, "pair_not_json": 1}
    assert told["examples"]["unknown_kind"][0].startswith("notes.json: its keys match no kind")


def test_exit_codes(annoy: Annoy) -> None:
    Path("other.jsonl").write_text('{"a": 1}\n')
    nothing = annoy("import", "other.jsonl")
    assert nothing.exit_code == 1
    assert "choose one with --kind" in nothing.stderr
    assert annoy("import", "missing.jsonl").exit_code == 1
    assert annoy("import", "other.jsonl", "--kind", "poems").exit_code == 2
    forced = annoy("import", "other.jsonl", "--kind", "samples")
    assert forced.exit_code == 1
    assert "a row of samples needs problem_description, refcode, ios" in forced.stderr


def test_every_refused_file_is_named(annoy: Annoy) -> None:
    for n in range(23):
        Path(f"d/{n:02}").mkdir(parents=True)
        Path(f"d/{n:02}/x.json").write_text('{"a": 1}')
    Path("d/parsed.jsonl").write_text(json.dumps(FUNCTION))
    told = annoy("import", "d").stderr
    assert "refused 23 as unknown_kind, e.g. 00/x.json: its keys" in told
    assert "; also 01/x.json, 02/x.json, " in told
    assert "19/x.json, 3 more" in told


def test_raw_code_that_is_ingested_later_is_not_transformed_again(annoy: Annoy) -> None:
    Path("parsed.jsonl").write_text(json.dumps(FUNCTION | {"meta": {"blob_id": "b1"}}))
    told = annoy("import", "parsed.jsonl").stdout
    assert "1 functions without their source: import their raw code" in told
    Path("raw.jsonl").write_text('{"content": "x = 1", "blob_id": "b1"}')
    assert annoy("ingest", "raw.jsonl").exit_code == 0
    status = json.loads(annoy("status", "--json").stdout)
    assert status["stages"]["transform"] == {"done": 1}

"""`annoy bench` as a person meets it, against a real endpoint on loopback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from annoy_store.db.engine import Database
from annoy_store.db.tables import splits
from tests.commands.conftest import Annoy
from tests.support.benchmarks import fill
from tests.support.provider import Provider


def double(messages: list[dict[str, Any]]) -> str:
    """A model that doubles what it is given, and gives up on 2."""
    x = int(re.findall(r'\{"x":(\d+)\}', messages[-1]["content"])[-1])
    return "no idea" if x == 2 else f'```json\n{{"output": {2 * x}}}\n```'


@pytest.fixture
def bench(sqlite_store: Database, annoy: Annoy, monkeypatch: pytest.MonkeyPatch) -> Path:
    fill(sqlite_store)
    monkeypatch.setenv("ANNOY_STORE_URL", str(sqlite_store.url))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    made = annoy("bench", "make", "bench.jsonl", "--cases", "3")
    assert made.stdout == "1 problems, 3 questions in bench.jsonl\n"
    return Path("bench.jsonl")


def test_scores_a_model_and_asks_nothing_twice(annoy: Annoy, bench: Path) -> None:
    with Provider(answers=double).serving() as provider:
        options = ("--base-url", provider.url, "--model", "m")
        first = annoy("bench", "score", bench, "a.jsonl", *options, "--json")
        assert first.exit_code == 0, first.output
        told = json.loads(first.stdout)
        assert (told["all"]["examples"]["right"], told["all"]["examples"]["of"]) == (2, 3)
        assert told["all"]["problems"]["share"] == 0
        assert told["all"]["no_answer"] == 1
        again = annoy("bench", "score", bench, "a.jsonl", *options)
        assert "easy" in again.stdout
        assert "66.7 %" in again.stdout
        assert provider.stats()["paid"] == 3
    same = annoy("bench", "compare", "a.jsonl", "a.jsonl")
    assert "p = 1" in same.stdout
    paired = json.loads(annoy("bench", "compare", "a.jsonl", "a.jsonl", "--json").stdout)
    assert paired["examples"]["difference"] == 0
    assert paired["examples"]["low"] < 0 < paired["examples"]["high"]


def test_a_broken_endpoint_keeps_what_was_answered(annoy: Annoy, bench: Path) -> None:
    with Provider(answers=double, status=401).serving() as provider:
        result = annoy("bench", "score", bench, "a.jsonl", "--base-url", provider.url, "-m", "m")
    assert result.exit_code == 1
    assert not Path("a.jsonl").exists()


def test_a_split_without_samples_says_what_to_do(annoy: Annoy, bench: Path) -> None:
    result = annoy("bench", "make", "x.jsonl", "--split", "validation")
    assert result.exit_code == 1
    assert "--split all" in result.stderr
    assert not Path("x.jsonl").exists()


def test_what_export_split_is_found_without_naming_a_salt(
    sqlite_store: Database, annoy: Annoy, bench: Path
) -> None:
    with sqlite_store.write() as connection:
        connection.execute(delete(splits))
    for salt in ((), ("--salt", "v1")):
        done = annoy("export", "codeio_raw", f"out{len(salt)}", "--split", "train=0,test=1", *salt)
        assert done.exit_code == 0, done.output
        made = annoy("bench", "make", "x.jsonl", "--cases", "2", *salt, "--json")
        assert json.loads(made.stdout) == {"problems": 2, "questions": 4}
    lost = annoy("bench", "make", "y.jsonl", "--salt", "v2")
    assert lost.exit_code == 1
    assert "--salt annoy or v1" in lost.stderr


def test_a_problem_with_failed_cases_is_not_solved(annoy: Annoy, bench: Path) -> None:
    """The first case of three is answered, the endpoint breaks at the others."""
    first = Path("first.jsonl")
    first.write_text(bench.read_text().splitlines()[0] + "\n")
    with Provider(answers=double).serving() as provider:
        options = ("--base-url", provider.url, "--model", "m", "--tries", "1")
        assert annoy("bench", "score", first, "a.jsonl", *options).exit_code == 0
        provider.behave(fault="500")
        told = annoy("bench", "score", bench, "a.jsonl", *options, "--json")
        shown = annoy("bench", "score", bench, "a.jsonl", *options)
        provider.behave(fault=None)
        again = annoy("bench", "score", bench, "a.jsonl", *options, "--json")
    assert told.exit_code == 3
    figures = json.loads(told.stdout)
    assert figures["failed"] == figures["easy"]["failed"] == 2
    assert (figures["all"]["examples"]["right"], figures["all"]["examples"]["of"]) == (1, 3)
    assert (figures["all"]["problems"]["right"], figures["all"]["problems"]["of"]) == (0, 1)
    assert "2 of 3 questions failed and count as incorrect" in told.stderr
    assert shown.stdout.splitlines()[0].endswith("failed")
    assert shown.stdout.splitlines()[1].endswith("2")
    assert (again.exit_code, json.loads(again.stdout)["failed"]) == (0, 0)


def test_a_pair_of_files_says_how_much_of_them_it_compares(annoy: Annoy, bench: Path) -> None:
    with Provider(answers=double).serving() as provider:
        options = ("--base-url", provider.url, "--model", "m")
        annoy("bench", "score", bench, "a.jsonl", *options)
    Path("b.jsonl").write_text(Path("a.jsonl").read_text().splitlines()[0] + "\n")
    told = annoy("bench", "compare", "a.jsonl", "b.jsonl")
    assert told.exit_code == 0
    assert "of 0 with every case in both" in told.stdout
    assert "2 answers to questions that only one file has are left out" in told.stderr
    assert "1 problems without every case in both files" in told.stderr
    figures = json.loads(annoy("bench", "compare", "a.jsonl", "b.jsonl", "--json").stdout)
    assert (figures["examples"]["of"], figures["problems"]["of"]) == (1, 0)
    assert (figures["left_out"], figures["problems_left_out"]) == (2, 1)


def test_answers_of_another_model_or_setting_are_not_this_score(
    annoy: Annoy, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Provider(answers=double).serving() as provider:
        here = ("--base-url", provider.url)
        annoy("bench", "score", bench, "a.jsonl", *here, "--model", "m")
        kept = Path("a.jsonl").read_bytes()
    down = ("--base-url", "http://127.0.0.1:9/v1")
    for flags in (("-m", "n"), ("-m", "m", "--temperature", "0"), ("-m", "m", "--seed", "5")):
        refused = annoy("bench", "score", bench, "a.jsonl", *down, *flags)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "a.jsonl contains answers of m (max_tokens=4096, temperature=0.7)" in refused.stderr
        assert "choose another file" in refused.stderr
    assert Path("a.jsonl").read_bytes() == kept
    monkeypatch.delenv("OPENAI_API_KEY")
    for flags in (("-m", "m"), ()):  # the same model elsewhere, or none to ask
        assert annoy("bench", "score", bench, "a.jsonl", *down, *flags).exit_code == 0


def test_answers_to_other_questions_are_left_out_with_a_word(annoy: Annoy, bench: Path) -> None:
    first = Path("first.jsonl")
    first.write_text(bench.read_text().splitlines()[0] + "\n")
    with Provider(answers=double).serving() as provider:
        options = ("--base-url", provider.url, "--model", "m")
        annoy("bench", "score", bench, "a.jsonl", *options)
        told = annoy("bench", "score", first, "a.jsonl", *options, "--json")
    assert json.loads(told.stdout)["all"]["examples"]["of"] == 1
    assert "2 answers in a.jsonl match no question of first.jsonl" in told.stderr


def test_a_last_line_that_broke_off_is_asked_again(annoy: Annoy, bench: Path) -> None:
    file = Path("a.jsonl")
    with Provider(answers=double).serving() as provider:
        options = ("--base-url", provider.url, "--model", "m")
        annoy("bench", "score", bench, file, *options)
        whole = sorted(file.read_text().splitlines())
        file.write_bytes(file.read_bytes()[:-20])
        told = annoy("bench", "score", bench, file, *options)
        assert told.exit_code == 0
        assert "the last line of a.jsonl is truncated" in told.stderr
        assert provider.stats()["delivered"] == 4
        assert sorted(file.read_text().splitlines()) == whole
        file.write_text("{broken\n" + file.read_text())
        refused = annoy("bench", "score", bench, file, *options)
    assert refused.exit_code == 1
    assert "a.jsonl line 1 cannot be read" in refused.stderr
    assert "delete that line, and its question is asked again" in refused.stderr

"""What each command prints and does, in the test's folder."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.migrate import newest_revision
from annoy_store.db.states import STAGE_NAMES
from annoy_store.db.views import VIEWS
from annoy_store.tasks.policy import policy_keys
from tests.commands.conftest import Annoy, Process


def lines(path: str, *rows: Any) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def told(result: Any) -> Any:
    """The JSON of a command that was asked for it, and nothing else on stdout."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# init, ingest --------------------------------------------------------------------------------


def test_init_makes_a_store_once(annoy: Annoy) -> None:
    newest = newest_revision()
    assert annoy("init").stdout == f"created sqlite:///annoy.db with schema {newest}\n"
    assert annoy("init").stdout == f"sqlite:///annoy.db already has schema {newest}\n"
    assert told(annoy("init", "--json"))["before"] == newest


def test_ingest_makes_a_store_and_says_what_it_took(annoy: Annoy) -> None:
    path = lines("x.jsonl", {"content": "a = 1"}, {"content": "a = 1"}, {"content": ""})
    result = annoy("ingest", path)
    assert result.exit_code == 0
    assert result.stdout == "1 new, 1 known, 1 refused\n"
    assert result.stderr.splitlines()[0] == (
        "annoy: refused 1 as empty, e.g. x.jsonl line 3: there is nothing in it"
    )
    again = told(annoy("ingest", path, "--json"))
    assert (again["new"], again["known"], again["refused"]) == (0, 2, {"empty": 1})


def test_ingest_reads_stdin(annoy: Annoy) -> None:
    result = annoy("ingest", "-", "--origin", "pipe", input='{"content": "a = 1"}\n')
    assert result.stdout == "1 new, 0 known, 0 refused\n"


def test_ingest_takes_options(annoy: Annoy) -> None:
    Path("code").mkdir()
    Path("code/a.pyx").write_text("a = 1")
    Path("code/b.pyx").write_text("b = 1")
    options = ("--glob", "*.pyx", "--licence", "MIT", "--origin", "o", "--language", "cython")
    annoy("ingest", "code", *options, "--limit", 1)
    query = (
        "SELECT language, origin, licence, path FROM sources s JOIN origins o ON o.source_id = s.id"
    )
    assert told(annoy("sql", query, "--json")) == [
        {"language": "cython", "origin": "o", "licence": "MIT", "path": "a.pyx"}
    ]


# sql -----------------------------------------------------------------------------------------


def test_sql_prints_every_format(annoy: Annoy, worked: Path) -> None:
    query = "SELECT id, funcname, problem_statement FROM samples ORDER BY id"
    rows = told(annoy("sql", query, "--json"))
    assert rows == [
        json.loads(s) for s in annoy("sql", query, "--format", "jsonl").stdout.splitlines()
    ]
    assert rows == told(annoy("sql", query, "--format", "json"))
    parsed = list(csv.DictReader(io.StringIO(annoy("sql", query, "--format", "csv").stdout)))
    assert [row["problem_statement"] for row in parsed] == [r["problem_statement"] for r in rows]
    head, rule, *body = annoy("sql", query, "--format", "markdown").stdout.splitlines()
    assert (head, rule) == ("| id | funcname | problem_statement |", "| --- | --- | --- |")
    assert len(body) == len(rows) == len(annoy("sql", query).stdout.splitlines()) - 1


def test_sql_takes_values_files_and_stdin(annoy: Annoy, worked: Path) -> None:
    query = "SELECT :n + 1 AS n, :t AS t"
    Path("q.sql").write_text(query)
    values = ("-p", "n=41", "-p", "t=a=b", "--json")
    expected = [{"n": 42, "t": "a=b"}]
    assert told(annoy("sql", query, *values)) == expected
    assert told(annoy("sql", "@q.sql", *values)) == expected
    assert told(annoy("sql", "-", *values, input=query)) == expected


def test_sql_alone_lists_what_there_is(annoy: Annoy, worked: Path) -> None:
    listed = {d["name"]: d for d in told(annoy("sql", "--json"))}
    assert "chain_id" in listed["v_chains"]["columns"]
    text = annoy("sql").stdout
    assert all(name in text for name in listed)
    assert "annoy sql 'SELECT * FROM v_funnel'" in text


def test_the_help_tells_every_view_with_a_question(annoy: Annoy) -> None:
    text = annoy("sql", "--help").stdout
    flat = " ".join(text.split())
    for view in VIEWS:
        assert f"{view.name}: {view.meaning}" in flat
        assert view.example in flat


def test_a_table_has_an_end(annoy: Annoy, worked: Path) -> None:
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 1500) SELECT i FROM n"
    )
    result = annoy("sql", "--live", query)
    assert len(result.stdout.splitlines()) == 1001
    assert "only the first 1,000 rows" in result.stderr
    assert len(annoy("sql", "--live", query, "--format", "csv").stdout.splitlines()) == 1501


def test_hostile_text_does_not_reach_the_terminal(annoy: Annoy) -> None:
    evil = "x = 1  # \x1b[2J\x1b]0;owned\x07 \u202e \x9b31m"
    annoy("ingest", lines("x.jsonl", {"content": evil, "path": "\x1b[31m.py"}))
    for args in (
        ("sql", "SELECT content, path FROM sources s JOIN origins o ON s.id = o.source_id"),
        ("sql", 'SELECT content AS "a\x1b" FROM sources'),
        ("sql", "SELECT content FROM sources", "--json"),
        ("sql", "SELECT content FROM sources", "--format", "markdown"),
        (
            "sql",
            "SELECT content, path FROM sources s JOIN origins o ON s.id = o.source_id",
            "--format",
            "csv",
        ),
        ("sql", 'SELECT content AS "a\x1b" FROM sources', "--format", "csv"),
        ("show", "source:1"),
        ("show", "source:1", "--json"),
        ("show", "\x1b[31m:1"),
    ):
        output = annoy(*args).output
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(output), args


# show ----------------------------------------------------------------------------------------


def test_show_tells_a_chain_from_its_file_to_its_end(annoy: Annoy, worked: Path) -> None:
    (chain, *_) = told(annoy("sql", "SELECT chain_id FROM v_chains ORDER BY turns DESC", "--json"))
    result = annoy("show", f"chain:{chain['chain_id']}")
    assert result.exit_code == 0
    headings = [
        s.split()[1] for s in result.stdout.splitlines() if s.startswith("# ") and s.split()[2:]
    ]
    assert [
        h for h in ("origin", "source", "sample", "io_pair", "verdict", "chain") if h in headings
    ] == [
        "origin",
        "source",
        "sample",
        "io_pair",
        "verdict",
        "chain",
    ]
    assert "[transform done]" in result.stdout
    node = told(annoy("show", f"chain:{chain['chain_id']}", "--json"))
    assert {"origin", "source"} <= {above["kind"] for above in node["above"]}


def test_show_tells_why_a_source_was_turned_down(annoy: Annoy, worked: Path) -> None:
    query = "SELECT subject_id, reason FROM jobs WHERE stage = 'parse' AND state = 'rejected'"
    (job, *_) = told(annoy("sql", query, "--json"))
    text = annoy("show", f"response:{job['subject_id']}").stdout
    assert f"[parse rejected: {job['reason']}" in text


# status, policy, retry -----------------------------------------------------------------------


def test_status_is_the_funnel_in_order(annoy: Annoy, worked: Path) -> None:
    at = told(annoy("status", "--json"))
    assert list(at["stages"]) == list(STAGE_NAMES)
    assert at["tables"]["sources"] == 4
    assert at["cost_usd"] == 0.0
    result = annoy("status")
    names = [
        line.split()[0]
        for line in result.stdout.splitlines()
        if line.split()[:1] and line.split()[0] in STAGE_NAMES
    ]
    assert names == list(STAGE_NAMES)
    assert re.search(r"^next: +annoy export codeio DIR$", result.stdout, re.MULTILINE)


def test_status_says_who_is_gone_and_what_it_held(annoy: Annoy, worked: Path) -> None:
    db = sqlite3.connect(worked)
    db.execute("INSERT INTO workers VALUES (900, 'far/boot', 7, '1', 'parse', 1, 0.0, 0.0, NULL)")
    db.execute(
        "UPDATE jobs SET state = 'claimed', worker_id = 900, claimed_at = 0.0 WHERE stage = 'parse'"
    )
    db.execute("UPDATE jobs SET state = 'suspect', crashes = 2 WHERE stage = 'generate'")
    db.execute("INSERT INTO job_counters VALUES (900, 'generate', 'suspect', 3)")
    db.commit()
    db.close()
    shown = annoy("status").stdout
    assert re.search(r"900 +far +7 +\d", shown)
    assert "gone" in shown
    assert "oldest claim: parse of" in shown
    assert re.search(r"stuck: their worker is gone \(parse of \d+, held by worker 900", shown)
    assert re.search(r"suspect \(generate of \d+: 2 crashes\)", shown)


def test_status_of_an_empty_store(annoy: Annoy) -> None:
    annoy("init")
    result = annoy("status")
    assert re.search(r"^rows: +none$", result.stdout, re.MULTILINE)
    assert re.search(r"^next: +annoy ingest PATH$", result.stdout, re.MULTILINE)


def test_policy_shows_every_key_with_its_meaning(annoy: Annoy) -> None:
    annoy("init")
    rows = told(annoy("policy", "--json"))
    assert [row["key"] for row in rows] == list(policy_keys())
    assert all(row["value"] == row["default"] and row["meaning"] for row in rows)


def test_policy_changes_and_says_what_that_affects(annoy: Annoy, worked: Path) -> None:
    result = annoy("policy", "tolerance=1e-4", "pairs_per_sample=5")
    assert result.exit_code == 0
    assert "verify: new rows follow the new tolerance; annoy reverify does the" in result.stdout
    assert "predict: the next run scans old rows again (pairs_per_sample)" in result.stdout
    rows = {row["key"]: row["value"] for row in told(annoy("policy", "--json"))}
    assert (rows["tolerance"], rows["pairs_per_sample"]) == (1e-4, 5)
    assert annoy("policy", "tolerance=1e-4").stdout.endswith("nothing changed\n")
    assert told(annoy("policy", "tolerance=", "--json"))["policy"][0]["value"] == 1e-3
    assert told(annoy("sql", "SELECT key FROM policies", "--json")) == [{"key": "pairs_per_sample"}]


def test_a_template_may_be_a_file(annoy: Annoy) -> None:
    annoy("init")
    Path("mine.md").write_text("Make a function of this.\n\n## Source File\n\n{{code}}\n")
    result = annoy("policy", "template_transform=@mine.md")
    assert "Make a function of this. ... (5 lines)" in result.stdout
    (row,) = told(annoy("policy", "template_transform=@mine.md", "--json"))["policy"]
    assert row["value"] == Path("mine.md").read_text()


def test_retry_makes_ended_jobs_pending(annoy: Annoy, worked: Path) -> None:
    assert annoy("retry").stdout == "nothing to retry\n"
    dry = told(annoy("retry", "parse", "--state", "rejected", "--dry-run", "--json"))
    assert dry == {"dry_run": True, "jobs": {"parse": 1}}
    assert told(annoy("status", "--json"))["stages"]["parse"]["rejected"] == 1
    assert annoy("retry", "--state", "rejected", "--like", "nomatch").stdout == "nothing to retry\n"
    assert told(annoy("retry", "--state", "rejected", "--like", "no_function", "--json"))[
        "jobs"
    ] == {"parse": 1}
    after = told(annoy("status", "--json"))["stages"]["parse"]
    assert (after.get("rejected", 0), after["pending"]) == (0, 1)


# doctor --------------------------------------------------------------------------------------


def findings(annoy: Annoy, *args: str, code: int = 0) -> dict[str, dict[str, str]]:
    result = annoy("doctor", "--json", *args)
    assert result.exit_code == code, result.output
    return {found["name"]: found for found in json.loads(result.stdout)}


def test_doctor_finds_this_machine_fit(
    annoy: Annoy, worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNOY_TEACHER", "tracer")
    found = findings(annoy, "--exec")
    assert {"interpreter", "packages", "sqlite", "store", "disk", "sandbox", "execution"} <= set(
        found
    )
    assert found["execution"]["found"].startswith("ok in ")
    assert found["endpoint"]["state"] == "ok"
    *lines, blank, end = annoy("doctor").stdout.splitlines()
    assert all(re.match(r"(ok|warning) +\w+ +\S| +-> ", line) for line in lines)
    assert blank == ""
    assert re.fullmatch(r"(\d warnings?, )?\d ok", end)


def test_doctor_never_shows_a_key(annoy: Annoy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("ANNOY_BASE_URL", "http://127.0.0.1:9/v1")
    result = annoy("-v", "doctor")
    assert "cannot be reached" in result.stdout
    assert "very-secret" not in result.output


def test_doctor_tells_a_missing_key(annoy: Annoy) -> None:
    found = findings(annoy)
    assert found["endpoint"]["state"] == "warning"
    assert "OPENAI_API_KEY" in found["endpoint"]["found"]
    assert found["store"]["advice"] == "`annoy ingest PATH` creates it"


def test_doctor_is_exit_1_when_something_is_broken(
    annoy: Annoy, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("annoy.db").write_bytes(b"this is no store" * 100)
    monkeypatch.setenv("ANNOY_TEACHER", "tracer")
    monkeypatch.setenv("ANNOY_PYTHON", "/nowhere/python")
    found = findings(annoy, code=1)
    assert found["store"]["state"] == found["sandbox"]["state"] == "broken"
    Path("annoy.toml").write_text("nonsense = 1")
    assert findings(annoy, code=1)["settings"]["state"] == "broken"


# demo ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_demo_does_it_all_and_nothing_twice(
    annoy: Annoy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    demo = Path(__file__).parents[2] / "annoy_store" / "demo"
    (tmp_path / "few").mkdir()
    for name in ("roman.py", "app_settings.py"):
        (tmp_path / "few" / name).write_text((demo / name).read_text())
    monkeypatch.setattr("commands.demo.SOURCES", tmp_path / "few")
    result = annoy("demo", "out")
    assert result.exit_code == 0, result.output
    for words in (
        "transform",
        "parse  no_function",
        "--- turn_1",
        "store:   out/annoy.db",
        "next:  ",
    ):
        assert words in result.stdout, words
    assert json.loads((tmp_path / "out/codeio/train.jsonl").read_text().splitlines()[0])["prompt"]
    before = told(annoy("--store", "sqlite:///out/annoy.db", "status", "--json"))
    again = told(annoy("demo", "out", "--json"))
    assert (again["new_sources"], again["exported"]) == (0, 0)
    assert again["files"] == ["out/codeio/train.jsonl"]
    assert told(annoy("--store", "sqlite:///out/annoy.db", "status", "--json")) == before
    (tmp_path / "few" / "brackets.py").write_text((demo / "brackets.py").read_text())
    grown = told(annoy("demo", "out", "--json"))
    assert (grown["new_sources"], grown["files"]) == (1, ["out/codeio-2/train.jsonl"])


@pytest.mark.slow
def test_every_process_agrees(process: Process) -> None:
    """The same through real processes: a store made, filled, asked."""
    assert process("ingest", "-", input='{"content": "a = 1"}\n').returncode == 0
    assert json.loads(process("status", "--json").stdout)["wanted"]["transform"] == 1
    assert (
        process("sql", "SELECT content FROM sources", "--format", "csv").stdout
        == "content\na = 1\n"
    )


def test_a_question_about_texts_goes_to_the_store_itself(annoy: Annoy, worked: Path) -> None:
    by_itself = annoy("sql", "SELECT refcode FROM samples ORDER BY id", "--json")
    assert "refcode is not in the snapshot; querying the store itself" in by_itself.stderr
    assert told(by_itself) == told(
        annoy("sql", "--live", "SELECT refcode FROM samples ORDER BY id", "--json")
    )
    assert annoy("sql", "SELECT MAX(refcode_chars) > 0 FROM samples").stderr == ""


def test_a_snapshot_that_cannot_be_kept_is_no_hindrance(annoy: Annoy, worked: Path) -> None:
    (worked.parent / "annoy.db.snapshot").write_text("in the way")
    result = annoy("sql", "SELECT COUNT(*) AS n FROM sources", "--json")
    assert told(result)[0]["n"] > 0
    assert "querying the store itself" in result.stderr

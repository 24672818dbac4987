"""Import of the files of the scripts: each kind, lineage, errors, repetition, and later stages."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.ingest.codeio.file_kinds import KINDS, kind_of
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.interfaces import NewRow
from annoy_store.worker.run import run
from tests.stages.conftest import run_stage, run_stage_in, sandbox  # noqa: F401
from tests.support.codeio_rows import (
    PROBLEM,
    RAW,
    SECTIONS,
    TRIPLE,
    ask,
    everything,
    function,
    lines,
    predicted,
    says,
    script_prompt,
    take,
    transformed,
    user,
)
from tests.support.factories import DOUBLE, GENERATOR, asked
from tests.support.shown_steps import ShownSteps

pytestmark = pytest.mark.slow_on("postgres")


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"blob_id": "b", "repo_name": "r", "path": "p", "content": "x = 1"}, "raw"),
        ({"messages": [user("q")], "index": 0, "output": "a", "model": "m"}, "transform"),
        (function(category=None, meta={"msgidx": 3}), "samples"),
        (predicted("o", 0, {"x": 1}, None), "predictions"),
        (predicted("o", 0, {"x": 1}, "a", res={"status": "success"}), "predictions"),
        (predicted("i", 0, 2, "a", original_id=7), "revisions"),
        ({"prompt": "q", "turn_1": "a", "feedback_1": "f", "turn_2": None}, "chains"),
        ({"custom_id": "c", "response": {"body": {}}, "error": None}, "batch-output"),
        ({"custom_id": "c", "body": {"messages": []}, "method": "POST"}, "batch-input"),
        ({"messages": [user("q"), says("a")]}, "messages"),
        ({"question": "q"}, None),
        (["content"], None),
    ],
)
def test_kind_of_tells_each_kind_from_a_row(row: Any, name: str | None) -> None:
    kind = kind_of(row)
    assert (kind and kind.name) == name


def test_kind_of_tells_each_kind_from_its_required_keys() -> None:
    for kind in KINDS.values():
        told = kind_of(dict.fromkeys(kind.required_keys, "x"))
        assert told is not None
        assert told.required_keys == kind.required_keys


def test_import_stores_functions_with_pairs_and_lines(store: Database, tmp_path: Path) -> None:
    ios = [
        {"input": {"x": 1}, "output": 2},
        {"input": {"x": float("nan")}, "output": 0},
        {"input": {"x": 1}, "output": 5},
        {"input": {"x": 10**30}, "output": 2 * 10**30},
        {"input": [1], "output": 2},
        {"input": '{"x": 7}', "output": '"text"'},
    ]
    done = take(store, lines(tmp_path / "parsed.jsonl", [function(ios=ios, source="edu")]))
    assert done.refused == {"pair_not_json": 1, "two_outputs": 1, "bad_pair": 1}
    assert "line 1: pair 1 is not JSON" in done.examples["pair_not_json"][0]
    pairs = ask(store, "SELECT position, input, output FROM io_pairs ORDER BY position")
    big = 10**30
    assert pairs == [
        (0, '{"x":1}', "2"),
        (3, f'{{"x":{big}}}', str(2 * big)),
        (5, '{"x":7}', '"text"'),
    ]
    assert ask(store, "SELECT origin, response_id, source_id FROM sample_origins") == [
        ("edu", None, None)
    ]


def test_import_twice_adds_nothing(store: Database, tmp_path: Path) -> None:
    folder = everything(tmp_path)
    first = take(store, folder)
    assert not first.errors
    again = take(store, folder)
    assert not any(again.new.values()), again.new
    assert again.rows == first.rows
    assert again.known == again.rows - Counter({"batch-input": 1})


def test_import_links_a_function_to_raw_file_and_answer(
    sqlite_store: Database, tmp_path: Path
) -> None:
    take(sqlite_store, everything(tmp_path))
    origin = ask(
        sqlite_store,
        "SELECT o.repo, r.text, t.model FROM sample_origins s "
        "JOIN origins o ON o.source_id = s.source_id JOIN responses r ON r.id = s.response_id "
        "JOIN teachers t ON t.id = r.teacher_id WHERE t.backend = 'imported'",
    )
    assert origin == [("team/shop", SECTIONS, "m1")]


def test_import_links_a_function_to_its_raw_file_by_blob_id(
    sqlite_store: Database, tmp_path: Path
) -> None:
    raw = lines(tmp_path / "raw.jsonl", [{"content": RAW, "blob_id": "b1", "repo_name": "r"}])
    parsed = lines(tmp_path / "parsed.jsonl", [function(meta={"blob_id": "b1", "msgidx": 4})])
    take(sqlite_store, parsed, raw)
    assert ask(sqlite_store, "SELECT source_id FROM sample_origins") == [(1,)]
    assert ask(sqlite_store, "SELECT stage, state, reason FROM jobs") == [
        ("transform", "done", "imported")
    ]


def test_import_of_all_kinds_makes_chains(store: Database, tmp_path: Path) -> None:
    done = take(store, everything(tmp_path))
    assert done.refused == {}
    assert done.left == {}
    assert done.rows == {
        "raw": 1,
        "transform": 1,
        "samples": 1,
        "predictions": 3,
        "revisions": 1,
        "chains": 2,
        "batch-input": 1,
        "batch-output": 1,
        "messages": 1,
    }
    assert (done.new["samples"], done.new["io_pairs"], done.new["sources"]) == (1, 3, 1)
    assert (done.new["responses"], done.new["turns"], done.new["verdicts"]) == (7, 7, 4)
    chains = ask(
        store,
        "SELECT a.kind, p.position, a.number, i.status, i.checker FROM v_answers a "
        "JOIN io_pairs p ON p.id = a.io_pair_id LEFT JOIN verdicts i "
        "ON i.response_id = a.response_id ORDER BY 1, 2, 3",
    )
    assert chains == [
        ("predict_input", 0, 1, "correct", "imported"),
        ("predict_input", 1, 1, None, None),
        ("predict_output", 0, 1, "correct", "imported"),
        ("predict_output", 1, 1, "wrong", "imported"),
        ("predict_output", 1, 2, "correct", "imported"),
        ("predict_output", 2, 1, None, None),
    ]
    linked = ask(
        store,
        "SELECT f.text FROM turns t JOIN responses f ON f.id = t.chain_response_id "
        "AND f.id = t.revises_response_id WHERE t.number = 2",
    )
    assert linked == [('So {"output": 9}',)]


def test_imported_results_are_not_computed_again(store: Database, tmp_path: Path) -> None:
    take(store, everything(tmp_path))
    jobs = ask(store, "SELECT stage, state, count(*) FROM jobs GROUP BY 1, 2 ORDER BY 1")
    assert jobs == [("parse", "done", 1), ("predict", "done", 4), ("transform", "done", 1)]
    funnel = ask(store, "SELECT stage, state, jobs FROM v_funnel ORDER BY 1")
    assert [(s, t, int(n)) for s, t, n in funnel] == jobs


def test_verify_adds_verdicts_beside_imported_ones(
    sqlite_store: Database,
    tmp_path: Path,
    run_stage: Any,  # noqa: F811
) -> None:
    take(sqlite_store, everything(tmp_path))
    assert [o.state for o in run_stage("generate")] == ["done"]
    run_stage("verify")
    ours = ask(
        sqlite_store,
        "SELECT i.status, v.status FROM verdicts i JOIN v_current_verdicts v "
        "ON v.response_id = i.response_id WHERE i.checker = 'imported' ORDER BY i.id",
    )
    assert len(ours) == 4
    assert all(theirs == mine for theirs, mine in ours)
    assert run_stage("complete") == []
    assert run_stage("revise") == []


def test_imported_pairs_are_run_and_wrong_ones_marked(
    sqlite_store: Database,
    tmp_path: Path,
    run_stage: Any,  # noqa: F811
) -> None:
    mutates = "def main_solution(v):\n    v.append(1)\n    return len(v)"
    clock = "import random\n\ndef main_solution(x):\n    return x + random.random()"
    rows = [
        function(),
        function(
            mutates, [{"input": {"v": [0, 1]}, "output": 2}, {"input": {"v": []}, "output": 1}]
        ),
        function(clock, [{"input": {"x": 1}, "output": 1.5}]),
        function("import nothere\n" + TRIPLE, [{"input": {"x": 1}, "output": 3}]),
        function(TRIPLE, []),
    ]
    take(sqlite_store, lines(tmp_path / "parsed.jsonl", rows))
    ended = [(o.state, o.reason) for o in run_stage("generate")]
    assert sorted(ended, key=str) == [
        ("done", None),
        ("done", None),
        ("rejected", "missing_module:nothere"),
        ("rejected", "no_pairs"),
        ("rejected", "unstable"),
    ]
    found = ask(
        sqlite_store,
        "SELECT s.refcode, p.position, p.status FROM v_current_pairs p "
        "JOIN samples s ON s.id = p.sample_id",
    )
    assert sorted(found) == sorted(
        [
            (DOUBLE, 0, "stable"),
            (DOUBLE, 1, "stable"),
            (DOUBLE, 2, "stable"),
            (mutates, 0, "wrong_output"),
            (mutates, 1, "stable"),
            (clock, 0, "unstable"),
            ("import nothere\n" + TRIPLE, 0, "missing_module"),
        ]
    )
    predicted_ = run_stage("predict")
    assert len(predicted_) == 8
    asked_ = ask(sqlite_store, "SELECT count(*) FROM calls")
    assert asked_ == [(8,)]


def test_import_makes_a_missing_pair_of_a_right_answer(
    sqlite_store: Database,
    tmp_path: Path,
    run_stage: Any,  # noqa: F811
) -> None:
    rows = [
        {
            "prompt": script_prompt("input", {"x": 4}),
            "turn_1": '{"output": 8}',
            "feedback_1": "Success",
            "turn_2": None,
            "feedback_2": None,
        },
        {
            "prompt": script_prompt("output", 10),
            "turn_1": '{"input": {"x": 5}}',
            "feedback_1": "Feasible input!",
        },
        {
            "prompt": script_prompt("input", {"x": 6}),
            "turn_1": "no idea",
            "feedback_1": "Fail to extract an answer",
            "turn_2": '{"output": 13}',
            "feedback_2": "[Mismatch] wrong",
        },
    ]
    done = take(sqlite_store, lines(tmp_path / "final.jsonl", rows))
    assert done.left == {"no_pair": 2}
    assert ask(sqlite_store, "SELECT position, input, output FROM io_pairs ORDER BY 1") == [
        (0, '{"x":4}', "8"),
        (1, '{"x":5}', "10"),
    ]
    statuses = ask(sqlite_store, "SELECT status FROM verdicts ORDER BY id")
    assert sorted(s for (s,) in statuses) == ["correct", "correct", "no_answer", "wrong"]
    assert [o.state for o in run_stage("generate")] == ["done"]
    assert [s for (s,) in ask(sqlite_store, "SELECT status FROM v_current_pairs")] == ["stable"] * 2


def test_import_of_an_answer_completes_the_planned_call(
    sqlite_store: Database,
    tmp_path: Path,
    run_stage: Any,  # noqa: F811
) -> None:
    parsed = lines(tmp_path / "parsed.jsonl", [function(ios=[{"input": {"x": 1}, "output": 2}])])
    take(sqlite_store, parsed)
    run_stage("generate")
    run_stage("predict")
    run_stage("verify")  # plans what is pending
    pending = "SELECT count(*) FROM jobs WHERE stage = 'complete' AND state = 'pending'"
    assert ask(sqlite_store, pending) == [(2,)]
    questions = ask(
        sqlite_store,
        "SELECT p.messages FROM prompts p JOIN turns t ON t.prompt_id = p.id "
        "WHERE t.kind = 'predict_output'",
    )
    chat = {"messages": [*json.loads(questions[0][0]), says('{"output": 2}')], "model": "m3"}
    done = take(sqlite_store, lines(tmp_path / "chat.jsonl", [chat]))
    assert (done.new["calls"], done.new["turns"], done.new["responses"]) == (0, 0, 1)
    lines(tmp_path / "recorded.jsonl", [])
    flags = {"teacher": "replay", "replay": str(tmp_path / "recorded.jsonl")}
    run(sqlite_store, RunSettings.layered({}, flags), ["complete", "verify"])
    ended = "SELECT state, reason FROM jobs WHERE stage = 'complete' ORDER BY reason"
    assert ask(sqlite_store, ended) == [("rejected", "not_recorded"), ("rejected", "not_wanted")]
    assert ask(sqlite_store, "SELECT status FROM v_current_verdicts") == [("correct",)]
    assert ask(sqlite_store, "SELECT text FROM responses") == [('{"output": 2}',)]


@pytest.mark.slow
def test_imported_functions_continue_with_recorded_answers(
    sqlite_store: Database, tmp_path: Path, data: Path
) -> None:
    told = _lines(data / "recorded_predict.jsonl")
    blobs = {record["blob_id"] for record in told}
    rows = [r for r in _lines(data / "parsed.jsonl") if r["meta"]["blob_id"] in blobs]
    take(sqlite_store, lines(tmp_path / "parsed.jsonl", rows))
    flags = {"teacher": "replay", "replay": str(lines(tmp_path / "recorded.jsonl", []))}
    run(sqlite_store, RunSettings.layered({}, flags), ["generate", "predict"])
    asked_now = ask(
        sqlite_store,
        "SELECT s.refcode, t.kind, p.input, p.output, q.messages FROM turns t "
        "JOIN io_pairs p ON p.id = t.io_pair_id JOIN samples s ON s.id = p.sample_id "
        "JOIN prompts q ON q.id = t.prompt_id",
    )
    prompts = {
        (code, kind.removeprefix("predict_"), *map(json.dumps, map(json.loads, pair))): messages
        for code, kind, *pair, messages in asked_now
    }
    recorded = []
    for record in told:
        row = next(r for r in rows if r["meta"]["blob_id"] == record["blob_id"])
        pair = row["ios"][record["pair"]]
        texts = json.dumps(pair["input"]), json.dumps(pair["output"])
        messages = prompts.get((row["refcode"], record["direction"], *texts))
        if messages:
            recorded.append({"messages": json.loads(messages), "response": record["response"]})
    lines(tmp_path / "recorded.jsonl", recorded)
    done = run(sqlite_store, RunSettings.layered({}, flags))
    assert done.failed == 0
    verdicts = dict(
        ask(sqlite_store, "SELECT status, COUNT(*) FROM v_current_verdicts GROUP BY status")
    )
    assert sum(verdicts.values()) == len(recorded) > 30
    assert verdicts["correct"] > 20
    assert ask(sqlite_store, "SELECT COUNT(*) FROM turns WHERE number > 1")[0][0] == (
        sum(verdicts.values()) - verdicts["correct"]
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_import_numbers_another_answer_as_the_next_sample(
    sqlite_store: Database, tmp_path: Path
) -> None:
    rows = [predicted("o", 0, {"x": 1}, f'{{"output": {n}}}') for n in (2, 3, 2)]
    done = take(sqlite_store, lines(tmp_path / "gens.jsonl", rows))
    assert (done.new["prompts"], done.new["calls"], done.new["responses"]) == (1, 2, 2)
    assert done.known["predictions"] == 1
    assert ask(
        sqlite_store,
        "SELECT sample_no, text FROM responses r JOIN calls c ON c.id = call_id ORDER BY 1",
    ) == [
        (0, '{"output": 2}'),
        (1, '{"output": 3}'),
    ]


def test_import_leaves_unanswered_questions_to_the_stages(
    sqlite_store: Database, tmp_path: Path
) -> None:
    rows = [predicted("o", 0, {"x": 1}, None), predicted("i", 0, 2, None)]
    raw = {"messages": [user(f"x\n[Code Start]\n{RAW}\n[Code End]")]}
    done = take(sqlite_store, lines(tmp_path / "a.jsonl", rows), lines(tmp_path / "b.jsonl", [raw]))
    assert done.left == {"predict": 2, "transform": 1}
    assert ask(sqlite_store, "SELECT count(*) FROM calls") == [(0,)]
    assert ask(sqlite_store, "SELECT content FROM sources") == [(RAW,)]


def test_import_does_not_call_questions_unanswered_that_a_file_answers(
    sqlite_store: Database, tmp_path: Path
) -> None:
    asked = [predicted("o", 0, {"x": 1}, None), predicted("i", 0, 2, None)]
    answered = [
        predicted("o", 0, {"x": 1}, '{"output": 2}'),
        predicted("i", 0, 2, '{"input": {"x": 1}}'),
    ]
    raw = {"messages": transformed()["messages"]}
    paths = [
        lines(tmp_path / f"{name}.jsonl", rows)
        for name, rows in {
            "asked": asked,
            "answered": answered,
            "functions": [function()],
            "raw": [raw],
            "transformed": [transformed()],
        }.items()
    ]
    left = take(sqlite_store, *paths).left
    assert not left.keys() & {"predict", "transform"}
    assert not take(sqlite_store, paths[0], paths[3]).left.keys() & {"predict", "transform"}


@pytest.mark.parametrize("more", [{}, {"itemid": 3}, {"index": 3}, {"original_id": 3}, {"id": "a"}])
def test_import_reads_questions_of_a_benchmark(
    sqlite_store: Database, tmp_path: Path, more: dict[str, Any]
) -> None:
    row = {"messages": [user("给你两个数。\nInput: a = 1\nWhat is returned?")], "lang": "ZH"} | more
    path = lines(tmp_path / "leetcode.jsonl", [row])
    answered = lines(tmp_path / "prediction.jsonl", [row | {"output": '{"output": 3}'}])
    done = take(sqlite_store, path)
    assert not done.refused
    assert done.accepted == 1
    assert set(done.left) <= {"unknown_form", "transform"}
    assert not take(sqlite_store, answered).refused
    assert ask(sqlite_store, "SELECT count(*) FROM responses") == [(1,)]


def test_import_keeps_questions_of_unknown_form_without_asking_them(
    sqlite_store: Database, tmp_path: Path
) -> None:
    path = lines(tmp_path / "a.jsonl", [{"messages": [user("What is love?")]}] * 2)
    done = take(sqlite_store, path)
    assert (done.left, done.accepted, sum(done.known.values())) == ({"unknown_form": 1}, 2, 1)
    assert take(sqlite_store, path).new["prompts"] == 0
    assert ask(sqlite_store, "SELECT count(*) FROM calls") == [(0,)]


def test_import_keeps_answers_to_questions_of_unknown_form(
    sqlite_store: Database, tmp_path: Path
) -> None:
    rows = [
        {"messages": [user("What is love?"), says("A word.")]},
        {
            "messages": [
                user("Rewrite this."),
            ],
            "index": 0,
            "output": SECTIONS,
            "model": "m",
        },
    ]
    done = take(
        sqlite_store, lines(tmp_path / "a.jsonl", rows[:1]), lines(tmp_path / "b.jsonl", rows[1:])
    )
    assert done.left == {"no_question": 1}
    assert ask(sqlite_store, "SELECT count(*) FROM responses") == [(2,)]
    assert ask(
        sqlite_store,
        "SELECT input_generator, o.origin, o.response_id IS NOT NULL FROM samples s JOIN sample_origins o ON o.sample_id = s.id",
    ) == [(GENERATOR.strip(), "b.jsonl", 1)]


def test_import_reports_each_error_with_its_line_and_goes_on(
    sqlite_store: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    lines(folder / "parsed.jsonl", [function(), '{"broken": ', [1], {"content": "x = 1"}])
    lines(folder / "other.json", [{"unknown": 1}])
    strange = predicted("o", 0, {"x": 1}, "a")
    strange["messages"] = [user("Guess, without any code, what this gives.")]
    lines(folder / "gens.jsonl", [strange, {**strange, "messages": "text"}])
    lines(folder / "out.jsonl", [{"custom_id": "q9", "response": {"body": {}}}])
    with gzip.open(folder / "torn.jsonl.gz", "wb") as torn:
        torn.write(
            "".join(json.dumps(function(DOUBLE + f"# {n}")) + "\n" for n in range(400)).encode()
        )
    whole = (folder / "torn.jsonl.gz").read_bytes()
    (folder / "torn.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    done = take(sqlite_store, folder)
    assert done.examples["broken_json"][0].startswith("parsed.jsonl line 2: broken JSON")
    assert done.examples["not_object"] == [
        "parsed.jsonl line 3: a row is a JSON object, this is list"
    ]
    assert "parsed.jsonl line 4: a row of samples needs" in done.examples["wrong_kind"][0]
    assert done.examples["wrong_kind"][0].endswith("its keys are those of raw")
    assert done.examples["unknown_kind"][0].startswith("other.json: ")
    assert done.refused["no_partner"] == 2
    assert done.examples["bad_messages"][0].startswith("gens.jsonl line 2: ")
    assert done.errors == [e for e in done.errors if e.startswith("torn.jsonl.gz: cannot be read")]
    assert len(done.errors) == 1
    assert done.rows["samples"] > 1


def test_row_numbers_count_only_where_the_question_has_the_problem(
    sqlite_store: Database, tmp_path: Path
) -> None:
    parsed = lines(tmp_path / "parsed.jsonl", [function(), function(TRIPLE)])
    row = {"itemid": 1, "ioid": 0, "io_pred": "o", "output": '{"output": 3}'}
    known = {**row, "messages": [user(f"My own words.\n{PROBLEM}\nGo on.")]}
    strange = {**row, "messages": [user("My own words about something else.")]}
    done = take(sqlite_store, parsed, lines(tmp_path / "gens.jsonl", [known, strange]))
    assert done.refused == {"no_partner": 1}
    assert "gens.jsonl line 2: it refers to row 1" in done.examples["no_partner"][0]
    assert ask(
        sqlite_store,
        "SELECT s.refcode, p.position FROM turns t JOIN io_pairs p ON p.id = t.io_pair_id JOIN samples s ON s.id = p.sample_id",
    ) == [(TRIPLE, 0)]


def test_import_rejects_unknown_kinds_and_missing_files(
    sqlite_store: Database, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no such file"):
        take(sqlite_store, tmp_path / "nothing.jsonl")
    with pytest.raises(UsageError, match="unknown kind 'x'"):
        take(sqlite_store, tmp_path, kind="x")
    with pytest.raises(UsageError, match="no data file"):
        take(sqlite_store, tmp_path)
    alone = take(sqlite_store, lines(tmp_path / "a.jsonl", [{"q": 1}]))
    assert alone.errors
    assert "choose one with --kind" in alone.errors[0]


def test_import_reads_functions_from_tables(sqlite_store: Database, tmp_path: Path) -> None:
    import csv

    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    row = function()
    with (tmp_path / "a.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, list(row))
        writer.writeheader()
        writer.writerow({**row, "ios": json.dumps(row["ios"])})
    texts = [
        {"input": json.dumps(p["input"]), "output": json.dumps(p["output"])} for p in row["ios"]
    ]
    pq.write_table(pa.Table.from_pylist([{**row, "ios": texts}]), tmp_path / "b.parquet")
    done = take(sqlite_store, tmp_path / "a.csv", tmp_path / "b.parquet")
    assert done.rows == {"samples": 2}
    assert (done.known["samples"], done.new["samples"], done.new["io_pairs"]) == (1, 1, 3)


def test_imported_pairs_that_hold_are_exported_unchanged(
    sqlite_store: Database,
    tmp_path: Path,
    data: Path,
    run_stage: Any,  # noqa: F811
) -> None:
    from annoy_store.export.export import export
    from annoy_store.export.request import ExportRequest

    with (data / "parsed.jsonl").open() as file:
        every = list(map(json.loads, file))
    kept = [row for row in every if "import " not in row["refcode"].replace("# import", "")][:12]
    take(sqlite_store, lines(tmp_path / "parsed.jsonl", kept))
    run_stage("generate")
    export(sqlite_store, ExportRequest("codeio_raw", tmp_path / "out"))
    back: dict[str, Any] = {}
    for file in sorted((tmp_path / "out").rglob("*.jsonl")):
        rows = map(json.loads, file.read_text().splitlines())
        back |= {row["refcode"]: row for row in rows}
    assert len(back) >= 11
    whole = 0
    for row in kept:
        came = back.get(row["refcode"])
        if came is None:
            continue
        ios = [{k: json.loads(v) for k, v in pair.items()} for pair in came["ios"]]
        assert all(pair in row["ios"] for pair in ios)
        for key in ("problem_description", "io_requirements", "funcname"):
            assert came[key] == row[key]
        whole += ios == row["ios"]
    assert whole >= 10
    again = take(sqlite_store, next((tmp_path / "out").rglob("*.jsonl")))
    assert again.new["io_pairs"] == 0
    assert again.known == again.rows


def test_insert_imported_leaves_other_stages_alone(sqlite_store: Database, tmp_path: Path) -> None:
    from tests.support.factories import write_all

    rows: list[NewRow] = asked(kind="transform")
    with sqlite_store.write() as connection:
        write_all(connection, rows)
    take(sqlite_store, lines(tmp_path / "parsed.jsonl", [function()]))
    assert ask(sqlite_store, "SELECT count(*) FROM jobs") == [(0,)]


def test_import_shows_the_bytes_read_of_all_files(sqlite_store: Database, tmp_path: Path) -> None:
    files = [
        lines(tmp_path / f"{name}.jsonl", [{"content": f"{name} = {i}"} for i in range(1_200)])
        for name in "ab"
    ]
    shown = ShownSteps()
    import_files(sqlite_store, files, progress=shown)
    total = sum(file.stat().st_size for file in files)
    assert [step[0] for step in shown.steps] == [
        *["importing a.jsonl"] * 3,
        *["importing b.jsonl"] * 3,
        "linking references",
    ]
    assert {step[2] for step in shown.steps[:-1]} == {total}
    assert shown.shares == sorted(shown.shares)
    assert shown.shares[-1] > 0.8

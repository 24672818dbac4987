"""Files imported in any order by separate commands: their references are resolved."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.ingest.takedowns import take_down
from annoy_store.queue.enqueue import count_wanted, enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.records.policy import load_policy
from annoy_store.stages import PIPELINE, stages_named
from tests.stages.conftest import run_stage, run_stage_in, sandbox  # noqa: F401
from tests.support.codeio_rows import (
    RAW,
    ask,
    everything,
    function,
    lines,
    predicted,
    take,
    transformed,
)
from tests.support.factories import DOUBLE

pytestmark = pytest.mark.slow_on("postgres")

RIGHT = {"status": "success", "message": "Correct output!"}
SAME = [
    "SELECT digest FROM sources ORDER BY 1",
    "SELECT digest FROM samples ORDER BY 1",
    "SELECT input, output FROM io_pairs ORDER BY 1",
    (
        "SELECT p.digest, c.sample_no, r.text FROM prompts p JOIN calls c ON c.prompt_id = p.id "
        "LEFT JOIN responses r ON r.call_id = c.id ORDER BY 1, 2"
    ),
    (
        "SELECT t.digest, p.input, f.text, c.text FROM turns t LEFT JOIN io_pairs p ON "
        "p.id = t.io_pair_id LEFT JOIN responses f ON f.id = t.revises_response_id "
        "LEFT JOIN responses c ON c.id = t.chain_response_id ORDER BY 1"
    ),
    (
        "SELECT r.text, v.checker, v.status FROM verdicts v JOIN responses r ON r.id = v.response_id "
        "ORDER BY 1, 2, 3"
    ),
    (
        "SELECT DISTINCT s.digest, c.digest, r.text FROM sample_origins o JOIN samples s ON "
        "s.id = o.sample_id JOIN sources c ON c.id = o.source_id JOIN responses r ON "
        "r.id = o.response_id ORDER BY 1"
    ),
    "SELECT stage, state, count(*) FROM jobs GROUP BY 1, 2 ORDER BY 1, 2",
]  # of two stores, but for who gave an answer: a file of chains does not tell the model
ORDERS = [
    "chat batch a_ b_ c_ x_ y_ z_",
    "x_ z_ y_ c_ b_ a_ chat batch",
    "b_ z_ c_ y_ batch x_ a_ chat",
    "y_ c_ x_ chat z_ a_ batch b_",
]


def plan(store: Database) -> Counter[str]:
    """Plan as a run does; return the number of pending jobs by stage."""
    with store.write() as connection:
        enqueue_all(connection, load_plan(connection, PIPELINE))
    rows = ask(store, "SELECT stage, count(*) FROM jobs WHERE state = 'pending' GROUP BY 1")
    return Counter({stage: int(n) for stage, n in rows})


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("planned", [False, True])
def test_import_in_any_order_gives_the_same_rows(
    store: Database, sqlite_store: Database, tmp_path: Path, order: str, planned: bool
) -> None:
    folder = everything(tmp_path)
    other = tmp_path / "other.db"
    shutil.copy(tmp_path / "store.db", other)
    whole = open_store(f"sqlite:///{other}") if store is sqlite_store else sqlite_store
    take(whole, folder)
    for start in order.split():
        take(store, *sorted(folder.glob(f"{start}*")))
        if planned:
            plan(store)
    assert plan(store) == plan(whole)
    for query in SAME:
        assert ask(store, query) == ask(whole, query)
    again = take(store, folder)
    assert not any(again.new.values()), again.new
    assert not again.left


# Answers before their functions --------------------------------------------------------------


def answers(tmp_path: Path) -> tuple[Path, Path]:
    """Answers about pairs that only the other file contains."""
    rows = [
        predicted("o", 0, {"x": 1}, '{"output": 3}', res={"status": "failed", "message": "no"}),
        predicted("i", 0, 2, '{"input": {"x": 5}}'),
    ]
    verified = lines(tmp_path / "verified.jsonl", rows)
    return verified, lines(tmp_path / "parsed.jsonl", [function()])


def test_answers_are_linked_when_their_pairs_come_later(store: Database, tmp_path: Path) -> None:
    verified, parsed = answers(tmp_path)
    done = take(store, verified)
    assert done.left == {"no_pair": 2}
    assert plan(store) == {"generate": 1}
    done = take(store, parsed)
    assert (done.left, done.new["turns"], done.new["responses"]) == ({}, 2, 0)
    places = (
        "SELECT t.kind, p.position FROM turns t JOIN io_pairs p ON p.id = t.io_pair_id ORDER BY 1"
    )
    assert ask(store, places) == [("predict_input", 0), ("predict_output", 0)]
    assert ask(store, "SELECT state FROM jobs WHERE stage = 'predict'") == [("done",)] * 2


def test_verify_runs_on_a_turn_imported_after_its_answer(store: Database, tmp_path: Path) -> None:
    verified, parsed = answers(tmp_path)
    take(store, verified)
    plan(store)
    upto = ask(store, "SELECT upto FROM watermarks WHERE stage = 'verify'")
    assert upto == [(2,), (2,)]  # both answers were passed, for either task
    take(store, parsed)
    with store.read() as connection:
        policy = load_policy(connection)
        assert [count_wanted(connection, s, policy) for s in stages_named("verify")] == [1, 1]
    assert plan(store)["verify"] == 2
    take(store, parsed, verified)
    assert plan(store)["verify"] == 2


def test_verify_runs_on_an_answer_imported_again_with_its_verdict(
    store: Database, tmp_path: Path
) -> None:
    row = predicted("o", 0, {"x": 1}, '{"output": 2}')
    take(store, lines(tmp_path / "gens.jsonl", [row]))
    plan(store)
    done = take(store, lines(tmp_path / "verified.jsonl", [row | {"res": RIGHT}]))
    assert (done.new["io_pairs"], done.new["turns"], done.new["responses"]) == (1, 1, 0)
    assert plan(store)["verify"] == 1


def test_generate_checks_pairs_imported_after_a_run(
    sqlite_store: Database,
    tmp_path: Path,
    run_stage: Any,  # noqa: F811
) -> None:
    verified, parsed = answers(tmp_path)
    take(sqlite_store, verified)
    assert [o.reason for o in run_stage("generate")] == ["no_pairs"]
    take(sqlite_store, parsed)
    assert [o.state for o in run_stage("generate")] == ["done"]
    assert ask(sqlite_store, "SELECT status, count(*) FROM pair_checks GROUP BY 1") == [
        ("stable", 3)
    ]
    assert len(run_stage("verify")) == 2
    judged = ask(
        sqlite_store, "SELECT checker, status FROM verdicts WHERE checker <> 'imported' ORDER BY 1"
    )
    assert judged == [("predict_input", "wrong"), ("predict_output", "wrong")]
    take(sqlite_store, parsed)
    assert run_stage("generate") == []
    funnel = ask(sqlite_store, "SELECT state, jobs FROM v_funnel WHERE stage = 'generate'")
    assert [(state, int(n)) for state, n in funnel] == [("done", 1)]


# Functions before their raw file -------------------------------------------------------------


def test_functions_are_linked_when_their_raw_file_comes_later(
    store: Database, tmp_path: Path
) -> None:
    parsed = lines(tmp_path / "parsed.jsonl", [function(meta={"blob_id": "b1"})])
    raw = [{"content": RAW, "blob_id": "b1"}, {"content": f"{RAW}# more", "blob_id": "b2"}]
    done = take(store, parsed)
    assert done.left == {"no_source": 1}
    done = take(store, lines(tmp_path / "raw.jsonl", raw))
    assert done.left == {}
    found = "SELECT s.content FROM sample_origins o JOIN sources s ON s.id = o.source_id"
    assert ask(store, found) == [(RAW,)]
    assert plan(store) == {"transform": 1, "generate": 1}  # of the other raw file
    again = take(store, parsed, tmp_path / "raw.jsonl")
    assert not any(again.new.values())


def test_transform_is_marked_done_when_its_function_is_imported(
    store: Database, tmp_path: Path
) -> None:
    take(store, lines(tmp_path / "raw.jsonl", [{"content": RAW, "blob_id": "b1"}]))
    assert plan(store) == {"transform": 1}
    take(store, lines(tmp_path / "parsed.jsonl", [function(meta={"blob_id": "b1"})]))
    assert plan(store) == {"generate": 1}
    assert ask(store, "SELECT state, jobs FROM v_funnel WHERE stage = 'transform'") == [("done", 1)]


def test_takedown_of_a_raw_file_hides_a_function_imported_before(
    store: Database, tmp_path: Path
) -> None:
    take(store, lines(tmp_path / "parsed.jsonl", [function(meta={"blob_id": "b1"})]))
    take(store, lines(tmp_path / "raw.jsonl", [{"content": RAW, "blob_id": "b1", "repo": "bad"}]))
    with store.write() as connection:
        change = take_down(connection, "repo", "bad", "asked")
    assert (change.sources, change.samples) == (1, 1)


def test_parse_skips_answers_imported_after_their_functions(
    store: Database, tmp_path: Path
) -> None:
    rows = [
        function(DOUBLE.strip(), meta={"msgidx": 7}),
        function("def main_solution(x): return 1"),
    ]
    take(store, lines(tmp_path / "parsed.jsonl", rows))
    unified = lines(tmp_path / "unified.jsonl", [transformed(index=7)])
    take(store, unified)
    assert plan(store) == {"generate": 2}
    assert ask(store, "SELECT state FROM jobs WHERE stage = 'parse'") == [("done",)]
    made = (
        "SELECT s.refcode, c.content FROM sample_origins o JOIN samples s ON s.id = o.sample_id "
        "JOIN responses r ON r.id = o.response_id JOIN sources c ON c.id = o.source_id"
    )
    assert ask(store, made) == [(DOUBLE.strip(), RAW)]
    again = take(store, unified, tmp_path / "parsed.jsonl")
    assert not any(again.new.values())


def test_answers_are_linked_to_functions_that_have_a_raw_file(
    store: Database, tmp_path: Path
) -> None:
    parsed = function(DOUBLE.strip(), meta={"blob_id": "b1"})
    take(store, lines(tmp_path / "parsed.jsonl", [parsed]))
    take(store, lines(tmp_path / "raw.jsonl", [{"content": RAW, "blob_id": "b1"}]))
    take(store, lines(tmp_path / "unified.jsonl", [transformed()]))
    assert plan(store) == {"generate": 1}
    assert ask(store, "SELECT state FROM jobs WHERE stage = 'parse'") == [("done",)]
    take(store, tmp_path / "unified.jsonl")
    assert ask(store, "SELECT count(*) FROM sample_origins") == [(3,)]


def test_import_keeps_the_metadata_of_a_function(store: Database, tmp_path: Path) -> None:
    row = function(meta={"msgidx": 3, "more": [1]}, category="math", blob_id="b1")
    take(store, lines(tmp_path / "parsed.jsonl", [row]))
    ((kept,),) = ask(store, "SELECT metadata FROM sample_origins")
    assert json.loads(kept) == {"msgidx": 3, "more": [1], "category": "math", "blob_id": "b1"}

"""Exports that add to others: what is new, what is retracted, and what stays."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import (
    exports,
    hidden_subjects,
    io_pairs,
    pair_checks,
    responses,
    samples,
    variants,
    verdicts,
)
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportReport, ExportRequest
from annoy_store.export.splits import SplitConfig
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")


def add(store: Database, folder: Path, form: str = "codeio", **options: Any) -> ExportReport:
    return export(store, ExportRequest(form, folder, since="last", **options))


def prompts(folder: Path) -> set[str]:
    lines = (folder / "train.jsonl").read_text("utf-8").splitlines()
    return {json.loads(line)["prompt"] for line in lines}


def retracted(folder: Path) -> list[dict[str, str]]:
    with (folder / "retractions.csv").open() as stream:
        return list(csv.DictReader(stream))


def judge(store: Database, response_id: int, status: str, version: str) -> None:
    """Judge an answer again, under another version of the checker."""
    with store.write() as connection:
        insert_rows(connection, [chains.verdict(connection, response_id, status, version)])


def test_increment_holds_what_is_new_and_nothing_else(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ["ant", "bee"])
    first = export(store, ExportRequest("codeio", tmp_path / "1"))
    chains.fill(store, ["cow"])
    second = add(store, tmp_path / "2")
    third = add(store, tmp_path / "3")
    assert (first.n_rows, second.n_rows, third.n_rows) == (6, 3, 0)
    assert all("cow" in prompt for prompt in prompts(tmp_path / "2"))
    assert (dict(second.removed), second.subjects) == ({"published": 6}, 9)
    assert third.folder is None
    assert not (tmp_path / "3").exists()
    manifest = json.loads((tmp_path / "2" / "export.json").read_text())
    assert manifest["parent"] == first.digest


def test_increments_together_are_the_whole(sqlite_store: Database, tmp_path: Path) -> None:
    for n, names in enumerate((["ant"], ["bee", "cow"], ["dog"])):
        chains.fill(sqlite_store, names)
        if n:
            add(sqlite_store, tmp_path / str(n))
        else:
            export(sqlite_store, ExportRequest("codeio", tmp_path / "0"))
    export(sqlite_store, ExportRequest("codeio", tmp_path / "whole"))
    parts = [prompts(tmp_path / str(n)) for n in range(3)]
    assert set.union(*parts) == prompts(tmp_path / "whole")
    assert sum(map(len, parts)) == len(prompts(tmp_path / "whole"))


def test_increment_holds_a_chain_that_began_before_and_closed_after(
    store: Database, tmp_path: Path
) -> None:
    with store.write() as connection:
        rows = chains.sampled("ant")
        late = chains.chain(connection, chains.pairs_of(rows)[0], [("not yet", None)])
        insert_rows(connection, [*rows, *late])
        waiting = connection.scalar(select(func.max(responses.c.id))) or 0
    chains.fill(store, ["bee"])  # higher ids, closed already
    assert export(store, ExportRequest("codeio", tmp_path / "1")).removed == {"open": 1}
    judge(store, waiting, "correct", "one")
    second = add(store, tmp_path / "2")
    assert (second.n_rows, dict(second.retractions)) == (1, {})


def test_increment_retracts_what_was_judged_again(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ["ant"])
    first = export(store, ExportRequest("messages", tmp_path / "1"))
    with store.read() as connection:
        good = connection.scalar(select(responses.c.id).where(responses.c.text.startswith("I see")))
    with store.write() as connection:
        connection.execute(update(variants).values(active=0).where(variants.c.stage == "verify"))
    judge(store, good or 0, "wrong", "two")
    second = add(store, tmp_path / "2", "messages")
    assert dict(second.retractions) == {"judged_again": 1}
    (row,) = retracted(tmp_path / "2")
    assert (row["export"], row["file"], row["reason"]) == (
        first.digest,
        "train.jsonl",
        "judged_again",
    )
    line = (tmp_path / "1" / "train.jsonl").read_text().splitlines()[int(row["line"]) - 1]
    assert "I see" in line
    assert second.n_rows == 0  # wrong now, and not revised
    assert add(store, tmp_path / "3", "messages").folder is None  # it is not retracted twice


def test_increment_writes_a_changed_verdict_again_if_it_is_still_selected(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant"])
    export(sqlite_store, ExportRequest("codeio", tmp_path / "1"))
    with sqlite_store.read() as connection:
        again = connection.scalar(select(responses.c.id).where(responses.c.text == "{} again"))
    with sqlite_store.write() as connection:
        connection.execute(
            update(verdicts).where(verdicts.c.response_id == again).values(status="wrong")
        )
        connection.execute(update(variants).values(active=0).where(variants.c.stage == "verify"))
    judge(sqlite_store, again or 0, "correct", "two")
    second = add(sqlite_store, tmp_path / "2")
    assert (second.n_rows, dict(second.retractions)) == (1, {"judged_again": 1})
    assert add(sqlite_store, tmp_path / "3").folder is None


def test_increment_retracts_what_is_taken_down_and_holds_what_is_lifted(
    store: Database, tmp_path: Path
) -> None:
    chains.fill(store, ["ant", "bee"])
    export(store, ExportRequest("codeio", tmp_path / "1"))
    with store.write() as connection:
        bee = select(samples.c.id).where(samples.c.problem_statement.contains("bee"))
        row = {"kind": "sample", "subject_id": connection.scalar(bee)}
        connection.execute(insert(hidden_subjects).values(**row))
    second = add(store, tmp_path / "2")
    assert (second.n_rows, dict(second.retractions)) == (0, {"taken_down": 3})
    assert {row["reason"] for row in retracted(tmp_path / "2")} == {"taken_down"}
    whole = export(store, ExportRequest("codeio", tmp_path / "whole"))
    assert (whole.n_rows, whole.removed["taken_down"]) == (3, 3)
    with store.write() as connection:
        connection.execute(hidden_subjects.delete())
    third = export(store, ExportRequest("codeio", tmp_path / "3", since=str(second.export_id)))
    assert (third.n_rows, dict(third.retractions)) == (3, {})


@pytest.mark.parametrize("form", ["codeio", "rl", "codeio_raw"])
def test_increment_retracts_what_has_an_unstable_pair_and_holds_what_is_stable_again(
    store: Database, tmp_path: Path, form: str
) -> None:
    chains.fill(store, ["ant", "bee"])
    first = export(store, ExportRequest(form, tmp_path / "1"))
    half = first.n_rows // 2
    chains.check_again(store, "unstable", "two", "%bee%")
    second = add(store, tmp_path / "2", form)
    assert (second.n_rows, dict(second.retractions)) == (0, {"pair_unstable": half})
    assert {row["export"] for row in retracted(tmp_path / "2")} == {first.digest}
    assert add(store, tmp_path / "none", form).folder is None
    chains.check_again(store, "missing_module", "three")
    assert add(store, tmp_path / "none", form).folder is None
    chains.check_again(store, "stable", "four")
    third = add(store, tmp_path / "3", form)
    assert (third.n_rows, dict(third.retractions)) == (half, {})
    whole = export(store, ExportRequest(form, tmp_path / "whole"))
    assert (whole.n_rows, dict(whole.removed)) == (first.n_rows, dict(first.removed))


def test_increment_retracts_what_was_found_to_show_its_answer(
    store: Database, tmp_path: Path
) -> None:
    chains.fill(store, ["ant", "bee"])
    first = export(store, ExportRequest("codeio", tmp_path / "1"))
    with store.write() as connection:  # as `annoy init` fills it
        connection.execute(update(pair_checks).values(shown="call"))
    second = add(store, tmp_path / "2")
    assert (second.n_rows, dict(second.retractions)) == (0, {"answer_shown": first.n_rows})


def test_increment_looks_at_all_pairs_if_its_parent_did_not(
    sqlite_store: Database, tmp_path: Path
) -> None:
    """An export of an older version says nothing about pairs; one with `--pairs all` wanted all."""
    chains.fill(sqlite_store, ["ant", "bee"])
    with sqlite_store.write() as connection:  # no check at all
        own = select(io_pairs.c.id).where(io_pairs.c.input.contains("0"))
        connection.execute(delete(pair_checks).where(pair_checks.c.io_pair_id.in_(own)))
    every = Selection(pairs="all")
    assert export(sqlite_store, ExportRequest("codeio", tmp_path / "1", every)).n_rows == 6
    with sqlite_store.write() as connection:
        seen = connection.scalar(select(exports.c.seen)) or ""
        old = json.dumps({k: v for k, v in json.loads(seen).items() if k != "pairs"})
        connection.execute(update(exports).values(seen=old))
    second = add(sqlite_store, tmp_path / "2")
    assert (second.n_rows, dict(second.retractions)) == (0, {"pair_unstable": 2})


def test_increments_keep_limits_together(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, ["ant"])
    one = Selection(max_per_source=1)
    first = export(sqlite_store, ExportRequest("codeio", tmp_path / "1", one))
    chains.fill(sqlite_store, ["ant", "bee"])
    second = add(sqlite_store, tmp_path / "2", selection=one)
    assert (first.n_rows, second.n_rows) == (1, 1)
    assert "bee" in prompts(tmp_path / "2").pop()


def test_increment_with_another_filter_retracts_nothing(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant"])
    export(sqlite_store, ExportRequest("codeio", tmp_path / "1"))
    chains.fill(sqlite_store, ["bee"])
    narrow = Selection(only="revised")
    second = add(sqlite_store, tmp_path / "2", selection=narrow)
    assert (second.n_rows, dict(second.retractions)) == (1, {})


def test_increment_keeps_the_splits_of_its_parent(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, [f"animal{i}" for i in range(12)])
    split = SplitConfig(0.5, 0.25, 0.25, "salt")
    first = export(sqlite_store, ExportRequest("codeio", tmp_path / "1", split_config=split))
    assert set(first.rows) == {"train", "validation", "test"}
    chains.fill(sqlite_store, [f"animal{i}" for i in range(24)])
    second = add(sqlite_store, tmp_path / "2")  # split as its parent was
    assert (second.n_rows, dict(second.retractions)) == (36, {})
    assert set(second.rows) == {"train", "validation", "test"}
    with pytest.raises(UsageError, match="was split with the salt 'salt'"):
        add(sqlite_store, tmp_path / "3", split_config=SplitConfig(0.5, 0.25, 0.25, "other"))


def test_increment_retracts_the_losing_rows_of_merged_clusters(
    store: Database, tmp_path: Path
) -> None:
    names = [f"animal{i}" for i in range(16)]
    chains.fill(store, names)
    split = SplitConfig(0.5, 0.0, 0.5, "salt")
    first = export(store, ExportRequest("codeio", tmp_path / "1", split_config=split))
    codes = {name: [f"def main_solution(x):\n    return '{name}' * x\n"] for name in names}
    where = {
        name: split_
        for split_ in ("train", "test")
        for name in names
        if f"What does {name} give" in (tmp_path / "1" / f"{split_}.jsonl").read_text()
    }
    loser = next(n for n in names if where[n] == "train")
    winner = next(n for n in names if where[n] == "test")
    with store.write() as connection:  # the loser's function was found in the winner's file too
        from annoy_store.db.tables import sample_origins, sources

        sample = connection.scalar(select(samples.c.id).where(samples.c.refcode == codes[loser][0]))
        source = connection.scalar(
            select(sources.c.id).where(sources.c.content.startswith(f"# {winner}\n"))
        )
        row = {"digest": "bridge", "sample_id": sample, "source_id": source}
        connection.execute(insert(sample_origins).values(**row))
    second = add(store, tmp_path / "2")
    assert (second.n_rows, dict(second.retractions)) == (0, {"set_aside": 3})
    assert {row["split"] for row in retracted(tmp_path / "2")} == {"train"}
    assert "excluded" in second.warnings[0]
    whole = export(store, ExportRequest("codeio", tmp_path / "3", split_config=split))
    assert whole.removed["set_aside"] == 3
    assert whole.n_rows == first.n_rows - 3
